import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from genjax.objectives.boosting import mixture_weight, training_weights

LOGITS = np.random.default_rng(0).normal(size=50).astype(np.float32) * 2


@pytest.mark.parametrize("beta", [0.05, 0.3, 0.5, 0.9, 1.0])
def test_weights_are_those_of_the_level_that_bisection_finds(beta):
  made = (1 - beta) * np.exp(-LOGITS.astype(np.float64))
  level = brentq(lambda level: np.maximum(level - made, 0).sum() / (50 * beta) - 1, 0, made.max() + 50, xtol=1e-12)
  weights = jax.jit(training_weights, static_argnums=1)(jnp.asarray(LOGITS), beta)
  np.testing.assert_allclose(weights, np.maximum(level - made, 0) / (50 * beta), atol=1e-6)
  np.testing.assert_allclose(weights.sum(), 1, rtol=1e-5)


def test_images_that_the_mixture_misses_get_most_and_equal_ones_the_same():
  weights = training_weights(jnp.array([-3.0, 0.0, 3.0]), 0.5)
  assert weights[0] <= weights[1] < weights[2]
  np.testing.assert_allclose(training_weights(jnp.full(4, 1.7), 0.5), 0.25, rtol=1e-6)


def test_saturated_logits_are_finite():
  weights = training_weights(jnp.array([-1e4, 1e4, 0.0]), 0.5)
  assert np.isfinite(weights).all()
  np.testing.assert_allclose(weights.sum(), 1, rtol=1e-4)


def test_the_mixture_is_uniform_over_its_generators():
  kept = np.ones(1)
  for step in range(2, 6):
    beta = mixture_weight(step)
    kept = np.append((1 - beta) * kept, beta)
  np.testing.assert_allclose(kept, 0.2)
  with pytest.raises(ValueError, match="count from 1"):
    mixture_weight(0)
  with pytest.raises(ValueError, match=r"not in \(0, 1\]"):
    training_weights(jnp.zeros(3), 0.0)
