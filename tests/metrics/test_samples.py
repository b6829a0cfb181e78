"""The Frechet distance on digits, its anchors, and the one door to all measures of samples."""

import json

import numpy as np
import pytest

from genjax.metrics.card import compare
from genjax.metrics.evaluator import make_extractor, sample_metrics
from genjax.metrics.frechet import anchors, frechet, pixel_gaussian, reference
from genjax.ops.frechet import frechet_distance


@pytest.fixture(scope="module")
def metrics(digits, extractor):
  return sample_metrics(extractor, digits.train, digits.held_out, n=500, split="digits/test")


def test_noise_pixel_gaussian_and_real_images_come_in_this_order(metrics):
  value = {name: number.value for name, number in metrics.anchors.items()}
  assert value["noise"] > 2 * value["pixel_gaussian"]
  assert value["pixel_gaussian"] > 5 * value["real"]
  assert value["real"] > 0


def test_random_features_keep_that_order(digits):
  data = {"image": digits.train}, {"image": digits.held_out}
  extractor = make_extractor(*data, classes=None, data_name="a folder")
  assert extractor.kind == "random"
  found = anchors(extractor, digits.train, reference(extractor, digits.held_out, split="test"), n=500)
  assert found["noise"].value > found["pixel_gaussian"].value > found["real"].value


def test_labelled_data_gets_a_classifier(digits, extractor):
  train = {"image": digits.train, "label": digits.train_labels}
  held_out = {"image": digits.held_out, "label": digits.held_out_labels}
  made = make_extractor(train, held_out, classes=10, data_name="digits")
  assert made.digest == extractor.digest
  assert made.accuracy == extractor.accuracy


def test_the_distance_is_that_of_numpys_moments_of_the_features(digits, extractor):
  images = digits.train[:100]
  number = frechet(extractor, images, reference(extractor, digits.held_out, split="test"))
  a, b = (extractor.features(x).astype(np.float64) for x in (images, digits.held_out))
  wanted = frechet_distance(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))
  assert number.value == pytest.approx(wanted, rel=1e-9)


def test_the_reference_is_at_distance_0_of_itself(digits, metrics):
  assert metrics.measure(digits.held_out).numbers["frechet"].value == pytest.approx(0, abs=1e-6)


def test_fewer_images_are_further_away(digits, metrics):
  """The bias in N, and the reason why N is on the card."""
  few, many = (metrics.measure(digits.train[:n]).numbers["frechet"] for n in (60, 1200))
  assert few.value > 1.3 * many.value
  with pytest.raises(ValueError, match="generated: 60 and 1200"):
    compare(few, many)


def test_the_pixel_gaussian_has_the_mean_and_covariance_of_the_training_pixels():
  rng = np.random.default_rng(0)
  base = rng.normal(size=(700, 6)) @ rng.normal(size=(6, 6)) * 8 + 128
  train = np.clip(np.round(base), 0, 255).astype(np.uint8).reshape(700, 3, 2, 1)
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


def test_samples_are_measured_with_cards_that_compare_with_the_anchors(digits, metrics, extractor):
  measured = metrics.measure(digits.train[:500], ema=True, seed=3)
  assert set(measured.values()) == {"frechet", "copies", "nearest_ratio", "duplicates", "diversity"}
  card = measured.numbers["frechet"].card
  assert (card.generated, card.reference, card.split, card.ema, card.seed) == (500, 500, "digits/test", True, 3)
  assert card.extractor_sha256 == extractor.digest
  assert compare(measured.numbers["frechet"], metrics.anchors["pixel_gaussian"]) < 0
  json.dumps({name: number.to_dict() for name, number in measured.numbers.items()})


def test_training_images_shown_as_samples_are_copies_though_their_distance_is_small(digits, metrics):
  measured = metrics.measure(digits.train[:500])
  assert measured.numbers["copies"].value == 1.0
  np.testing.assert_array_equal(measured.copies.nearest, np.arange(500))


def test_images_that_diverged_or_do_not_fit_are_refused(digits, metrics, extractor):
  bad = np.zeros((4, 8, 8, 1), np.float32)
  bad[1] = np.nan
  with pytest.raises(ValueError, match="1 of 4 generated images hold NaN"):
    metrics.measure(bad)
  with pytest.raises(ValueError, match="generated images are 16x8x1"):
    metrics.measure(np.zeros((4, 16, 8, 1), np.float32))
  with pytest.raises(ValueError, match="1 image"):
    frechet(extractor, digits.train[:1], reference(extractor, digits.held_out, split="test"))
