"""The Frechet distance of samples on digits, its anchors, and what stands beside it."""

import functools
import json

import numpy as np
import pytest
from toy_images import data_of

from genjax.metrics.card import compare
from genjax.metrics.copies import copies
from genjax.metrics.extractor import make_extractor
from genjax.metrics.frechet import _warn, anchors, distance, frechet, frechet_anchors, pixel_gaussian, reference
from genjax.ops.frechet import frechet_distance


@pytest.fixture(scope="module")
def measure(data):
  """Images -> the numbers of "frechet" and "copies", as many images as there are."""
  metrics = {}

  def of(images, **card):
    views = {"sample": lambda key, state, n: images[:n]}
    numbers = {}
    for builder in (frechet, copies):
      settings = (builder, len(images), *card.items())
      metrics.setdefault(settings, builder(samples=len(images), **card))
      numbers |= metrics[settings].measure(None, views, None, data)
    return numbers

  return of


@pytest.fixture(scope="module")
def read_against(data):
  return frechet_anchors().measure(None, {}, None, data)


def test_noise_pixel_gaussian_and_real_images_come_in_this_order(read_against):
  value = {name: number.value for name, number in read_against.items()}
  assert value["noise"] > 2 * value["pixel_gaussian"]
  assert value["pixel_gaussian"] > 5 * value["real"]
  assert value["real"] > 0


def test_random_features_keep_that_order(digits):
  unlabelled = data_of({"train": (digits.train, None), "test": (digits.held_out, None)}, name="a folder")
  numbers = frechet_anchors().measure(None, {}, None, unlabelled)
  assert "random features" in numbers["real"].card.extractor
  assert numbers["noise"].value > numbers["pixel_gaussian"].value > numbers["real"].value


def test_labelled_data_gets_a_classifier(digits, extractor):
  train = {"image": digits.train, "label": digits.train_labels}
  held_out = {"image": digits.held_out, "label": digits.held_out_labels}
  made = make_extractor(train, held_out, classes=10, data_name="digits")
  assert (made.digest, made.accuracy, made.description) == (
    extractor.digest, extractor.accuracy, extractor.description,
  )  # fmt: skip


def test_the_distance_is_that_of_numpys_moments_of_the_features(digits, extractor, measure):
  images = digits.train[:100]
  a, b = (extractor.features(x).astype(np.float64) for x in (images, digits.held_out))
  wanted = frechet_distance(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))
  assert measure(images)["frechet"].value == pytest.approx(wanted, rel=1e-9)


def test_features_may_come_from_a_function_of_images_in_the_unit_range(digits, data):
  images, flat = digits.train[:100], lambda x: x.reshape(len(x), -1) / np.float64(127.5) - 1
  metric = frechet(samples=100, extractor=lambda images: images[:, ::2, ::2])
  number = metric.measure(None, {"sample": lambda key, state, n: images}, None, data)["frechet"]
  a, b = (flat(x[:, ::2, ::2]) for x in (images, digits.held_out))
  wanted = frechet_distance(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))
  assert number.value == pytest.approx(wanted, rel=1e-5)
  other = frechet(samples=100, extractor=lambda images: images[:, 1::2, ::2])
  digests = {
    m.measure(None, {"sample": lambda key, state, n: images}, None, data)["frechet"].card.extractor_sha256
    for m in (metric, other)
  }
  assert len(digests) == 2
  with pytest.raises(ValueError, match=r"extractor 3; wanted metrics.frechet.Features"):
    frechet(extractor=3)
  with pytest.raises(ValueError, match=r"an extractor gave .* for 256 images"):
    frechet(extractor=lambda images: images.sum()).measure(None, {"sample": lambda key, state, n: images}, None, data)


def test_the_reference_is_at_distance_0_of_itself(digits, measure):
  assert measure(digits.held_out)["frechet"].value == pytest.approx(0, abs=1e-6)


def test_as_many_images_as_features_or_fewer_are_a_warning_once_in_the_log_and_in_every_card(
  digits, extractor, caplog, monkeypatch
):
  monkeypatch.setattr("genjax.metrics.frechet._warn", functools.cache(_warn.__wrapped__))
  all_of_them = reference(extractor, digits.held_out, split="test")
  assert distance(extractor, digits.train[:65], all_of_them).card.warning is None
  few = [distance(extractor, digits.train[:64], all_of_them).card.warning for _ in range(2)]
  few.append(
    distance(extractor, digits.train[:65], reference(extractor, digits.held_out[:20], split="test")).card.warning
  )
  assert few[0] == few[1]
  assert [line.split(" images in 64 features: their covariance is singular")[0] for line in few] == [
    *2 * ["frechet of 64 generated"],
    "frechet of 20 reference",
  ]
  assert [record.getMessage() for record in caplog.records] == few[1:]
  assert all("\n" not in line for line in few)


def test_fewer_images_are_further_away(digits, measure):
  """The bias in N, and the reason why N is on the card."""
  few, many = (measure(digits.train[:n])["frechet"] for n in (60, 1200))
  assert few.value > 1.3 * many.value
  with pytest.raises(ValueError, match="generated: 60 and 1200"):
    compare(few, many)


def test_the_pixel_gaussian_has_the_mean_and_covariance_of_the_training_pixels(monkeypatch):
  monkeypatch.setattr("genjax.metrics.frechet._BLOCK", 5)
  rng = np.random.default_rng(0)
  base = rng.normal(size=(12, 6)) @ rng.normal(size=(6, 6)) * 8 + 128  # so few that ddof 0 would be 8 % off
  train = np.clip(np.round(base), 0, 255).astype(np.uint8).reshape(12, 3, 2, 1)
  drawn = pixel_gaussian(rng, train, 200_000).reshape(-1, 6).astype(np.float64)
  flat = train.reshape(-1, 6).astype(np.float64)
  wanted = np.cov(flat, rowvar=False)
  np.testing.assert_allclose(drawn.mean(0), flat.mean(0), rtol=0, atol=0.2)
  np.testing.assert_allclose(np.cov(drawn, rowvar=False), wanted, rtol=0, atol=0.02 * np.diag(wanted).max())


def test_anchors_are_drawn_by_seed_with_as_many_images_each(digits, extractor):
  held_out = reference(extractor, digits.held_out, split="test")
  first, again, other = (anchors(extractor, digits.train, held_out, n=50, seed=seed) for seed in (0, 0, 1))
  assert first == again
  assert all(first[name].value != other[name].value for name in first)
  assert {number.card.generated for number in first.values()} == {50}
  all_of_them = digits.train[:50]  # none twice: as many as there are, are all
  real = anchors(extractor, all_of_them, held_out, n=50)["real"].value
  assert real == pytest.approx(distance(extractor, all_of_them, held_out).value, rel=1e-9)


def test_samples_are_measured_with_cards_that_compare_with_the_anchors(digits, measure, read_against, extractor):
  numbers = measure(digits.train[:500], ema=True, seed=3)
  assert set(numbers) == {"frechet", "copies", "nearest_ratio", "duplicates", "diversity"}
  card = numbers["frechet"].card
  assert (card.generated, card.reference, card.split, card.ema, card.seed) == (500, 500, "digits/test", True, 3)
  assert card.extractor_sha256 == extractor.digest
  assert compare(numbers["frechet"], read_against["pixel_gaussian"]) < 0
  json.dumps({name: number.to_dict() for name, number in numbers.items()})


def test_the_seed_of_a_run_changes_no_number(digits, measure):
  value = lambda seed: {name: number.value for name, number in measure(digits.train[:60], seed=seed).items()}
  assert value(0) == value(5)


def test_training_images_shown_as_samples_are_copies_though_their_distance_is_small(digits, measure):
  assert measure(digits.train[:500])["copies"].value == 1.0


def test_images_that_diverged_or_do_not_fit_are_refused(digits, measure, extractor):
  bad = np.zeros((4, 8, 8, 1), np.float32)
  bad[1] = np.nan
  with pytest.raises(ValueError, match="1 of 4 generated images hold NaN"):
    measure(bad)
  with pytest.raises(ValueError, match="generated images are 16x8x1"):
    measure(np.zeros((4, 16, 8, 1), np.float32))
  with pytest.raises(ValueError, match="samples 1; a Frechet distance takes two"):
    measure(digits.train[:1])
  with pytest.raises(ValueError, match="1 image"):
    distance(extractor, digits.train[:1], reference(extractor, digits.held_out, split="test"))
