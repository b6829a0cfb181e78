"""Metrics of features on digits: real images score well, noise does not; extractors by name; references are kept."""

import jax
import numpy as np
import pytest
from toy_images import data_of

from genjax.evaluate import Evaluation, measure
from genjax.make import Maker, make
from genjax.metrics import features
from genjax.metrics.features import real_of
from genjax.ops.frechet import frechet_distance
from genjax.ops.kernel_distance import subset_distances
from genjax.registry import METRICS, UsageError, load

KEY = jax.random.key(0)
N = 200
NAMES = ("frechet", "fid", "fid_infinity", "intra_fid", "kid", "prdc", "inception_score", "mode_score", "two_sample")


def made(name, data, **settings):
  """A metric as a config names it."""
  return make("metrics", {"name": name, **settings}, Maker({**data.facts, "seed": 3, "ema": True}))


@pytest.fixture(scope="module")
def numbers(data, digits, extractor):
  """Kind of image -> every number of all metrics."""
  by_class = [list(np.flatnonzero(digits.train_labels == label)[: N // 10]) for label in range(10)]
  cycling = digits.train[np.array(by_class).T.ravel()]
  noise = np.random.default_rng(0).integers(0, 256, (N, 8, 8, 1), np.uint8)
  sevens = np.repeat(digits.train[digits.train_labels == 7][:20], 10, 0)
  kinds = {"real": cycling, "noise": noise, "sevens": sevens}
  more = {"kid": {"subsets": 10, "subset_size": 50}, "fid_infinity": {"points": 5}}
  of_inception = {name: {"extractor": extractor} for name in ("fid", "fid_infinity", "intra_fid")}
  metrics = {name: make_with(name, data, N, {**more.get(name, {}), **of_inception.get(name, {})}) for name in NAMES}
  metrics["sliced_wasserstein"] = made("sliced_wasserstein", data, samples=N, patches=8, directions=32)
  evaluation = Evaluation(metrics, {name: name for name in metrics})
  views = {"classes": lambda state: 10}
  return {
    kind: measure(evaluation, KEY, {"step": 0}, data, views, lambda key, state, n, images=images: images[:n])
    for kind, images in kinds.items()
  }


def make_with(name, data, samples, settings):
  """`make`, and an extractor that is an object."""
  return load(METRICS[name])(samples=samples, seed=3, ema=True, **settings)


def test_real_images_are_better_than_noise_by_every_number_that_has_a_direction(numbers):
  value = {kind: {name: number.value for name, number in of.items()} for kind, of in numbers.items()}
  for lower in ("frechet", "fid", "fid_infinity", "intra_fid", "kid", "sliced_wasserstein", "mode_divergence"):
    assert value["real"][lower] < value["noise"][lower], lower
  for higher in ("precision", "recall", "density", "coverage", "inception_score", "mode_score"):
    assert value["real"][higher] > value["noise"][higher], higher
  assert value["real"]["frechet"] == value["real"]["fid"]
  assert abs(value["real"]["two_sample"] - 0.5) < 0.15
  assert value["noise"]["two_sample"] > 0.95
  assert value["real"]["inception_score"] > 4


def test_one_digit_is_precise_and_covers_one_class(numbers):
  value = {name: number.value for name, number in numbers["sevens"].items()}
  assert value["precision"] > 0.8
  assert value["recall"] < 0.3
  assert value["coverage"] < 0.2
  assert value["mode_classes"] <= 2 < 10 == numbers["real"]["mode_classes"].value
  assert value["mode_score"] < value["inception_score"] < 2


def test_cards_say_how_each_number_was_measured(numbers, extractor):
  cards = {name: number.card for name, number in numbers["real"].items()}
  assert {card.extractor_sha256 for name, card in cards.items() if "sliced" not in name} == {extractor.digest}
  assert cards["kid"].metric == "kid, polynomial kernel of degree 3, 10 subsets of 50 (seed 2020)"
  assert cards["precision"].metric == "precision, 3 neighbours"
  assert cards["coverage"].metric == "coverage, 5 neighbours"
  assert cards["inception_score"].metric.startswith("inception score of 10 classes, 10 splits")
  assert "trained on digits, not Inception" in cards["inception_score"].extractor
  assert "128" not in cards["sliced_wasserstein"].metric
  assert (cards["two_sample"].reference, cards["kid"].reference, cards["inception_score"].reference) == (N, 500, 0)
  assert "20 generated" in cards["intra_fid"].warning
  assert {(card.seed, card.ema, card.generated) for card in cards.values()} == {(3, True, N)}


def test_numbers_are_those_of_the_formulas_on_the_features(numbers, digits, extractor):
  drawn = np.array([np.flatnonzero(digits.train_labels == label)[: N // 10] for label in range(10)]).T.ravel()
  of = [extractor.features(x) for x in (digits.train[drawn], digits.held_out)]
  kid = subset_distances(*of, subsets=10, size=50)
  assert numbers["real"]["kid"].value == pytest.approx(kid.mean(), rel=1e-4)
  each = []
  for label in range(10):
    a, b = of[0][label::10].astype(np.float64), of[1][digits.held_out_labels == label].astype(np.float64)
    each.append(frechet_distance(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False)))
  assert numbers["real"]["intra_fid"].value == pytest.approx(np.mean(each), rel=1e-6)


def test_an_extractor_is_a_word_or_a_section(data, digits, extractor):
  views = {"sample": lambda key, state, n: digits.train[:n]}
  number = lambda **settings: made("frechet", data, samples=40, **settings).measure(KEY, views, None, data)["frechet"]
  assert number(extractor="classifier").card == number().card
  assert number(extractor="classifier").card.extractor_sha256 == extractor.digest
  drawn = number(extractor={"name": "random", "extractor_seed": 4, "width": 6})
  assert "random features of an untrained convolutional net (seed 4)" in drawn.card.extractor
  with pytest.raises(UsageError, match="did you mean random"):
    made("frechet", data, extractor="rndom")
  with pytest.raises(UsageError, match=r"config.metrics.extractor.width=0; use a number above 0"):
    made("frechet", data, extractor={"name": "random", "width": 0})


def test_inception_is_named_with_its_file_and_where_there_is_none_one_line_says_what_it_wants(data):
  special = {"weights": lambda *_: pytest.fail("weights of a net of genjax")}
  maker = Maker({**data.facts, "seed": 0, "ema": False}, special=special)
  inception = {"name": "inception", "weights": "none.pth"}
  for section in ({"name": "kid", "extractor": inception}, {"name": "fid", "weights": "none.pth"}):
    with pytest.raises(UsageError, match=r'weights "none.pth" is no file; wanted pt_inception-2015-12-05'):
      make("metrics", section, maker)
  with pytest.raises(
    UsageError, match=r"fid is measured in Inception's features: say weights=PATH of pt_inception-2015"
  ):
    make("metrics", {"name": "fid"}, maker)


def test_settings_that_make_no_number_are_refused_when_the_metric_is_made(data, extractor):
  with pytest.raises(UsageError, match="subset_size 1; the unbiased estimate takes 2 or more"):
    made("kid", data, subset_size=1)
  with pytest.raises(ValueError, match="points 1; a line takes 2 or more"):
    make_with("fid_infinity", data, 20, {"extractor": extractor, "points": 1})
  with pytest.raises(ValueError, match="a class has 1 images"):
    make_with("intra_fid", data, 19, {"extractor": extractor}).check(data)


def test_what_gives_no_logits_is_refused_before_anything_is_compiled(data, digits):
  unlabelled = data_of({"train": (digits.train, None), "test": (digits.held_out, None)}, name="a folder")
  with pytest.raises(ValueError, match="class logits are needed"):
    made("inception_score", data, extractor="random").check(data)
  with pytest.raises(ValueError, match="class logits are needed"):
    made("mode_score", unlabelled).check(unlabelled)
  with pytest.raises(ValueError, match=r"a folder/train has no classes, so no classifier is trained on it"):
    made("kid", unlabelled, extractor="classifier").check(unlabelled)
  made("kid", unlabelled).check(unlabelled)


def test_logits_of_another_net_are_features_that_have_logits(data, digits):
  def logits(images):
    return images.reshape(len(images), -1)[:, 20:24] * 3

  logits.logits, logits.description = True, "the view classify of another run"
  metric = make_with("inception_score", data, 60, {"extractor": logits})
  metric.check(data)
  views = {"sample": lambda key, state, n: digits.train[:n]}
  number = metric.measure(KEY, views, None, data)["inception_score"]
  assert number.card.metric.startswith("inception score of 4 classes")
  assert number.card.extractor == "the view classify of another run"


class Counting:
  description, digest = "pixels", "counted"

  def __init__(self):
    self.seen = 0

  def features(self, images):
    self.seen += len(images)
    return images.reshape(len(images), -1).astype(np.float32)


def test_what_real_images_say_is_kept_by_content_and_extractor(digits, tmp_path, monkeypatch, caplog):
  monkeypatch.setenv("GENJAX_CACHE", str(tmp_path))
  images, extractor = digits.held_out[:30], Counting()

  def asked(images=images, extractor=extractor):
    features._OPENED.clear()  # as in a new process
    real = real_of(extractor, images, split="x/test")
    return real.moments, real.features

  moments, of = asked()
  np.testing.assert_allclose(moments.covariance(), np.cov(of, rowvar=False), rtol=1e-9, atol=1e-9)
  assert extractor.seen == 60
  again = asked()
  assert extractor.seen == 60
  np.testing.assert_array_equal(again[0].m2, moments.m2)
  asked(images=255 - images)
  assert extractor.seen == 120
  other = Counting()
  other.digest = "another"
  asked(extractor=other)
  assert other.seen == 60
  for path in (tmp_path / "references").iterdir():
    path.write_bytes(b"damaged")
  asked()
  assert extractor.seen == 180
  assert "the cached reference" in caplog.text


def test_metrics_of_one_process_hold_the_features_of_real_images_once(data):
  first, second = (made(name, data, samples=40) for name in ("kid", "prdc"))
  views = {"sample": lambda key, state, n: jax.random.uniform(key, (n, 8, 8, 1), minval=-1.0)}
  before = {id(real) for real in features._OPENED.values() if isinstance(real, features.Real)}
  for metric in (first, second):
    metric.measure(KEY, views, None, data)
  after = {id(real) for real in features._OPENED.values() if isinstance(real, features.Real)}
  assert len(after - before) <= 1
