import jax
import numpy as np
import pytest
from toy_images import data_of

from genjax.core import Dataset, Split
from genjax.metrics.likelihood import bits_per_dim, log_prob, nats
from genjax.ops.likelihood import Likelihood

RNG, KEY = np.random.default_rng(0), jax.random.key(0)


def test_tokens_of_a_uniform_model_cost_their_bits():
  tokens = RNG.integers(0, 8, (23, 6)).astype(np.int32)
  data = Dataset(lambda step: {}, split=lambda name: Split(f"toy/{name}", "", {"tokens": tokens}))
  view = lambda state, x: -np.log(8.0) * (x >= 0).sum(1)
  numbers = log_prob(batch=10).measure(jax.random.key(0), {"log_prob": view}, {}, data)
  np.testing.assert_allclose(numbers["log_prob"].value, -6 * np.log(8), rtol=1e-6)
  np.testing.assert_allclose(numbers["bits"].value, 3, rtol=1e-6)
  assert (numbers["bits"].card.split, numbers["bits"].card.reference) == ("toy/test", 23)


def test_images_are_prepared_and_what_fills_the_last_batch_is_not_counted():
  images = RNG.integers(0, 256, (23, 2, 2, 1), np.uint8)
  data = data_of({"test": (images, np.zeros(23, np.int32))}, classes=1, name="toy")
  view = lambda state, x: state * (x**2).sum((1, 2, 3))
  wanted = 3 * ((images / 127.5 - 1) ** 2).sum((1, 2, 3)).mean()
  for batch in (7, 23, 100):
    value = log_prob(batch=batch).measure(jax.random.key(0), {"log_prob": view}, np.float32(3), data)["log_prob"].value
    np.testing.assert_allclose(value, wanted, rtol=1e-5)


def test_data_without_examples_of_either_kind_are_refused():
  data = Dataset(lambda step: {}, split=lambda name: Split("toy/test", "", {"source": np.zeros((2, 1))}))
  with pytest.raises(ValueError, match="toy/test has source; wanted tokens or image"):
    log_prob().check(data)


def toy():
  images = RNG.integers(0, 256, (23, 2, 2, 1), np.uint8)
  return images, data_of({"test": (images, np.zeros(23, np.int32))}, classes=1, name="toy")


def test_many_weights_reach_a_likelihood_that_their_logs_do_not():
  """Weights exp(s z - s^2 / 2), z normal, have mean 1 for every s."""
  _, data = toy()
  weight = lambda key, state, x: 0.7 * jax.random.normal(key, (len(x),)) - 0.245
  of = lambda count: nats(batch=7, importance_samples=count).measure(KEY, {"log_weight": weight}, {}, data)["nats"]
  np.testing.assert_allclose(of(4000).value, 0, atol=0.02)
  assert 0 < of(1).value < 0.6
  assert of(1) == of(1)
  assert of(4000).card.importance_samples == 4000


def test_static_images_are_black_and_white_drawn_once_and_dynamic_ones_anew():
  images, data = toy()
  white = lambda state, x: (x == 1).sum((1, 2, 3)) - 1e9 * ((x != 1) & (x != -1)).any((1, 2, 3))
  of = lambda key, **how: -nats(**how).measure(jax.random.key(key), {"log_prob": white}, {}, data)["nats"].value
  static = of(0, binarisation="static")
  np.testing.assert_allclose(static, images.sum() / 255 / 23, atol=0.5)  # four of its deviations
  assert static == of(1, binarisation="static", batch=7)
  assert len({of(key, binarisation="dynamic", batch=30) for key in range(4)}) > 1
  card = nats(binarisation="static").measure(KEY, {"log_prob": white}, {}, data)["nats"].card
  assert (card.binarisation, card.likelihood) == ("static", None)


def test_a_card_says_what_the_model_says_of_its_likelihood():
  _, data = toy()
  views = {"log_prob": lambda state, x: -x.sum((1, 2, 3)), "likelihood": lambda state: Likelihood("exact")}
  number = bits_per_dim().measure(KEY, views, {}, data)["bits_per_dim"]
  assert (number.card.likelihood, number.card.importance_samples) == ("exact probability", None)
  assert (number.card.binarisation, number.card.dequantisation) == ("none", None)
  views["likelihood"] = lambda state: Likelihood("bound", "density", importance_samples=5)
  card = bits_per_dim().measure(KEY, views, {}, data)["bits_per_dim"].card
  assert (card.likelihood, card.importance_samples) == ("bound density", 5)


@pytest.mark.parametrize(
  ("settings", "said"), [({"importance_samples": 0}, "importance_samples 0"), ({"binarisation": "some"}, "'some'")]
)
def test_settings_out_of_range_are_refused(settings, said):
  with pytest.raises(ValueError, match=said):
    bits_per_dim(**settings)
