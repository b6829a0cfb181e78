import jax
import numpy as np
import pytest
from toy_images import data_of

from genjax.core import Dataset, Split
from genjax.metrics.likelihood import log_prob

RNG = np.random.default_rng(0)


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
