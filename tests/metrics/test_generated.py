"""Samples are drawn a batch at a time, once for all metrics of an evaluation, and never exist whole."""

import jax
import numpy as np
import pytest

from genjax.evaluate import Evaluation, measure
from genjax.metrics import generated
from genjax.metrics.copies import copies
from genjax.metrics.frechet import frechet
from genjax.metrics.generated import batch_of, batches, gathered
from genjax.metrics.kid import kid
from genjax.metrics.pixels import paired
from genjax.metrics.prdc import prdc
from genjax.metrics.samples import Given, Samples
from genjax.train.compiled import jit_sample
from genjax.train.mesh import make_mesh

REAL = np.zeros((1, 4, 4, 1), np.uint8)
KEY = jax.random.key(0)


class Pixels:
  """An extractor that counts what it sees."""

  description, digest = "pixels", "pixels"

  def __init__(self):
    self.seen, self.most = 0, 0

  def features(self, images):
    self.seen, self.most = self.seen + len(images), max(self.most, len(images))
    return images.reshape(len(images), -1).astype(np.float32) + 1e3


def view(key, state, n):
  return jax.random.uniform(key, (n, 4, 4, 1), minval=-1.0)


@pytest.fixture
def small_batches(monkeypatch):
  """Seven samples a batch."""
  monkeypatch.setattr(generated, "BATCH_BYTES", 7 * 4 * 16)


def test_what_fits_is_drawn_at_once_with_the_key_itself():
  (whole,) = batches(view, KEY, None, 100, REAL)
  np.testing.assert_array_equal(whole, paired(view(KEY, None, 100), REAL, name="x"))
  assert batch_of(5000, (32, 32, 3)) == 5000  # what the shipped configs measure
  assert batch_of(50_000, (64, 64, 3)) * 64 * 64 * 3 * 4 <= 64 << 20
  assert batch_of(50_000, (64, 64, 3)) % 64 == 0


def test_more_come_in_equal_batches_each_with_a_key_of_its_own(small_batches):
  asked = []
  drawn = list(batches(lambda *a: asked.append(a[2]) or view(*a), KEY, None, 17, REAL))
  assert asked == [6, 6, 6]
  assert [len(part) for part in drawn] == [6, 6, 5]
  np.testing.assert_array_equal(drawn[1], next(batches(view, jax.random.fold_in(KEY, 1), None, 6, REAL)))


def test_images_that_are_given_come_in_their_order_whatever_the_batch(small_batches):
  images = np.random.default_rng(0).integers(0, 256, (17, 4, 4, 1), np.uint8)
  drawn = gathered(Given(images), KEY, None, 15, real=REAL, wants=frozenset({"pixels"}))
  np.testing.assert_array_equal(drawn.pixels, images[:15])
  np.testing.assert_array_equal(Given(images)(KEY, None, 3), images[:3])


@pytest.mark.parametrize("size", [1, 7, 50])
def test_moments_are_those_of_all_samples_whatever_the_batch_also_far_from_0(monkeypatch, size):
  monkeypatch.setattr(generated, "BATCH_BYTES", size * 4 * 16)
  extractor = Pixels()
  wants = frozenset({"moments", "pixels"})
  drawn = gathered(view, KEY, None, 50, real=REAL, wants=wants, extractor=extractor)
  flat = drawn.pixels.reshape(50, -1).astype(np.float64)
  np.testing.assert_allclose(drawn.moments.mean, flat.mean(0) + 1e3, rtol=1e-12)
  np.testing.assert_allclose(drawn.moments.covariance(), np.cov(flat, rowvar=False), rtol=1e-9, atol=1e-6)
  assert (extractor.seen, extractor.most, drawn.features) == (50, min(size, 50), None)


def test_places_count_samples_within_their_batch_as_a_conditional_system_does(small_batches):
  drawn = gathered(view, KEY, None, 17, real=REAL, wants=frozenset({"pixels"}))
  assert drawn.places.tolist() == [*range(6), *range(6), *range(5)]


def test_metrics_of_one_evaluation_draw_once_and_share_one_pass_in_any_order(data, small_batches, monkeypatch):
  monkeypatch.setattr(generated, "BATCH_BYTES", 7 * 4 * 64)
  settings = {"samples": 30, "train_split": "test"}
  alone = {}
  for order in ("frechet kid copies", "copies kid frechet"):
    extractor = Pixels()
    metrics = {
      "frechet": frechet(extractor=extractor, **settings),
      "kid": kid(extractor=extractor, subsets=2, subset_size=10, **settings),
      "copies": copies(**settings),
    }
    drawn = []
    sample = lambda key, state, n, drawn=drawn: drawn.append(n) or jax.random.uniform(key, (n, 8, 8, 1), minval=-1.0)
    evaluation = Evaluation({name: metrics[name] for name in order.split()}, {name: name for name in metrics})
    before = extractor.seen
    numbers = measure(evaluation, KEY, {"step": 0}, data, {}, sample)
    assert drawn == [6] * 5
    assert extractor.seen - before in (30, 30 + 500, 30 + 1000)  # the real ones are looked at once, or are in the cache
    for metric in metrics.values():
      own = metric.measure(KEY, {"sample": sample}, {"step": 0}, data)
      for key, number in own.items():
        alone.setdefault(key, number)
        for other in (numbers[key], alone[key]):
          assert (other.value, other.card) == (pytest.approx(number.value, rel=1e-12), number.card), key


def test_eight_devices_measure_what_one_measures(data):
  extractor, of_all = Pixels(), []
  kid_of = kid(samples=32, subsets=2, subset_size=10, train_split="test", extractor=extractor)
  metrics = {"kid": kid_of, "prdc": prdc(samples=32, train_split="test", extractor=extractor)}
  metrics["frechet"] = frechet(samples=32, train_split="test", extractor=extractor)
  state = {"step": jax.numpy.int32(0)}
  for devices in (1, 8):
    draw = lambda key, state, n: jax.random.uniform(key, (n, 8, 8, 1), minval=-1.0)
    sample = jit_sample(draw, make_mesh(jax.devices()[:devices]))
    evaluation = Evaluation(metrics, {name: name for name in metrics})
    numbers = measure(evaluation, KEY, state, data, {}, sample)
    of_all.append({name: number.value for name, number in numbers.items()})
  assert of_all[0] == of_all[1]


def test_another_key_state_or_number_draws_anew():
  shared, states = Samples(view), [{"step": 0}, {"step": 1}]
  ask = lambda key, state, n: gathered(shared, key, state, n, real=REAL, wants=frozenset({"pixels"}))
  first = ask(KEY, states[0], 5)
  assert ask(KEY, states[0], 5) is first
  others = [(jax.random.key(1), states[0], 5), (KEY, states[1], 5), (KEY, states[0], 6)]
  assert len({id(drawn) for drawn in (first, *(ask(*other) for other in others))}) == 4
  with pytest.raises(ValueError, match="generated images are 4x4x1 and the real images 8x8x1"):
    gathered(view, KEY, None, 2, real=np.zeros((1, 8, 8, 1), np.uint8), wants=frozenset({"pixels"}))
