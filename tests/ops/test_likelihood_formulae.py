import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from genjax.ops.augment import to_uint8, to_unit
from genjax.ops.likelihood import binary, from_levels, grey_levels, log_mean_exp, log_normal


@pytest.mark.parametrize("levels", [2, 17, 32, 255, 256])
def test_levels_survive_eight_bits(levels):
  places = jnp.arange(levels, dtype=jnp.float32)
  images = from_levels(places, levels)
  assert (images[0], images[-1]) == (-1, 1)
  np.testing.assert_array_equal(grey_levels(to_unit(to_uint8(images)), levels), places)
  np.testing.assert_array_equal(grey_levels(jnp.array([-3.0, 3.0]), levels), [0, levels - 1])


def test_images_become_white_as_often_as_they_are_bright():
  uniform = (np.arange(1000) + 0.5) / 1000
  for grey, white in ((-1.0, 0), (0.0, 500), (0.5, 750), (1.0, 1000)):
    drawn = binary(uniform, jnp.full(1000, grey))
    assert set(np.unique(drawn)) <= {-1, 1}
    assert (drawn == 1).sum() == white


def test_the_density_of_normal_numbers_is_scipys():
  x = np.random.default_rng(0).normal(size=(3, 2, 5)).astype(np.float32)
  np.testing.assert_allclose(log_normal(x), norm.logpdf(x).sum((1, 2)), rtol=1e-5)


def test_the_mean_of_weights_is_that_of_their_exponentials():
  draw = lambda key: 100 + 3 * jax.random.normal(key, (4,))  # whose exponentials float32 does not hold
  each = np.float64([draw(key) for key in jax.random.split(jax.random.key(0), 7)])
  np.testing.assert_allclose(log_mean_exp(jax.random.key(0), draw, 7), logsumexp(each, 0) - np.log(7), rtol=1e-6)
  np.testing.assert_allclose(log_mean_exp(jax.random.key(0), draw, 1), draw(jax.random.split(jax.random.key(0), 1)[0]))
