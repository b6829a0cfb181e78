import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genjax.ops.pixel_likelihood import bernoulli, categorical, likelihood_of, logistic_mixture

RNG = np.random.default_rng(0)
EVERY = {  # likelihood, outputs that spread over the levels
  "bernoulli": (bernoulli(), np.array([0.7])),
  "categorical": (categorical(5), RNG.normal(size=5)),
  "logistic_mixture": (logistic_mixture(8, 2), np.array([0.3, -0.2, -0.9, 0.5, -1.0, -2.0])),
}


def outputs_of(rows, components):
  """Logits, means and log scales of any kind: sharp, flat, far beside the image."""
  draw = lambda low, high: RNG.uniform(low, high, (rows, components))
  return np.concatenate([draw(-2, 2), draw(-1.5, 1.5), draw(-9, 2)], -1).astype(np.float32)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_a_mixture_of_logistics_sums_to_one_over_all_levels(levels):
  outputs = outputs_of(40, 3)
  log_prob = jax.jit(logistic_mixture(levels, 3).log_prob)(outputs[:, None], np.arange(levels)[None])
  assert np.isfinite(log_prob).all()
  np.testing.assert_allclose(np.exp(np.float64(log_prob)).sum(1), 1, rtol=1e-5)


def test_a_level_has_what_the_mixture_has_between_its_edges():
  outputs, level = outputs_of(60, 4), np.arange(60) * 4
  logits, means, log_scales = np.split(np.float64(outputs), 3, -1)
  weights = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  scales = np.exp(np.maximum(log_scales, -7))
  edge = lambda at: stats.logistic.cdf((at / 127.5 - 1)[:, None], means, scales)
  mass = np.where(level[:, None] == 0, edge(level + 0.5), edge(level + 0.5) - edge(level - 0.5))
  wanted = (weights * mass).sum(1)
  seen = wanted > 1e-9  # below it numpy's difference of two numbers near 1 is rounding
  result = jax.jit(logistic_mixture(256, 4).log_prob)(outputs, level)
  assert seen.sum() > 20
  np.testing.assert_allclose(np.exp(np.float64(result))[seen], wanted[seen], rtol=1e-3)


def test_a_level_far_from_every_logistic_still_has_a_slope_towards_it():
  of = lambda x: logistic_mixture(256, 1).log_prob(x, np.array([3])).sum()
  gradient = jax.jit(jax.grad(of))(np.array([[0.0, 0.9, -7.0]], np.float32))
  assert np.isfinite(gradient).all()
  np.testing.assert_allclose(gradient[0, 1], -np.exp(7), rtol=1e-3)  # the slope of the tail, -1 / scale


@pytest.mark.parametrize("name", EVERY)
def test_samples_have_the_likelihood_s_probabilities(name):
  likelihood, outputs = EVERY[name]
  assert outputs.shape == (likelihood.outputs,)
  log_prob = jax.jit(likelihood.log_prob)(outputs[None], np.arange(likelihood.levels))
  probabilities = np.exp(np.float64(log_prob))
  np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-5)
  n = 4000
  drawn = jax.jit(likelihood.sample)(jax.random.key(0), np.broadcast_to(outputs, (n, likelihood.outputs)))
  counts = np.bincount(drawn, minlength=likelihood.levels)
  assert drawn.dtype == jnp.int32
  assert stats.chisquare(counts, n * probabilities / probabilities.sum()).pvalue > 1e-4


def test_levels_that_a_likelihood_cannot_have_are_refused():
  assert likelihood_of("bernoulli", None, 1).levels == 2
  assert likelihood_of("categorical", None, 1).levels == 256
  with pytest.raises(ValueError, match="levels 4 with likelihood 'bernoulli'; use 2"):
    likelihood_of("bernoulli", 4, 1)
  with pytest.raises(ValueError, match="levels 1; use at least 2"):
    likelihood_of("categorical", 1, 1)
