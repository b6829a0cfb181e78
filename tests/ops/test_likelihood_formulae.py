"""Densities, and means of weights, against scipy."""

import jax
import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

from genjax.ops.likelihood import log_mean_exp, log_normal


def test_the_density_of_normal_numbers_is_scipys():
  x = np.random.default_rng(0).normal(size=(3, 2, 5)).astype(np.float32)
  np.testing.assert_allclose(log_normal(x), norm.logpdf(x).sum((1, 2)), rtol=1e-5)


def test_the_mean_of_weights_is_that_of_their_exponentials():
  draw = lambda key: 100 + 3 * jax.random.normal(key, (4,))  # whose exponentials float32 does not hold
  each = np.float64([draw(key) for key in jax.random.split(jax.random.key(0), 7)])
  np.testing.assert_allclose(log_mean_exp(jax.random.key(0), draw, 7), logsumexp(each, 0) - np.log(7), rtol=1e-6)
  np.testing.assert_allclose(log_mean_exp(jax.random.key(0), draw, 1), draw(jax.random.split(jax.random.key(0), 1)[0]))
