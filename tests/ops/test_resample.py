"""The filter [1, 3, 3, 1] against a loop over pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ops.resample import TAPS, blur, down, up

KERNEL = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
IMAGES = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)


def _filtered(images, before, after):
  """Sums of the kernel times pixels, outside of which all is 0."""
  padded = np.pad(images.astype(np.float64), ((0, 0), (before, after), (before, after), (0, 0)))
  high, broad = padded.shape[1] - 3, padded.shape[2] - 3
  result = np.zeros((images.shape[0], high, broad, images.shape[3]))
  for row in range(high):
    for column in range(broad):
      window = padded[:, row : row + 4, column : column + 4]
      result[:, row, column] = (window * KERNEL[None, :, :, None]).sum((1, 2))
  return result


def _apart(images):
  """Zeros after every pixel."""
  broad = np.zeros((images.shape[0], 2 * images.shape[1], 2 * images.shape[2], images.shape[3]))
  broad[:, ::2, ::2] = images
  return broad


def test_the_taps_sum_to_one_and_are_symmetric():
  assert sum(TAPS) == 1
  assert list(reversed(TAPS)) == list(TAPS)


@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 1), (2, 2)])
def test_the_blur_is_the_kernels_sum_at_every_place(padding):
  message = blur(jnp.asarray(IMAGES), padding)
  np.testing.assert_allclose(message, _filtered(IMAGES, *padding), rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(blur(jnp.asarray(IMAGES), padding, 4.0), 4 * message, rtol=1e-6)


def test_doubling_is_zeros_between_pixels_then_four_times_the_filter():
  expected = 4 * _filtered(_apart(IMAGES), 2, 1)
  np.testing.assert_allclose(up(jnp.asarray(IMAGES)), expected, rtol=1e-5, atol=1e-6)


def test_halving_is_the_filter_at_every_second_place():
  expected = _filtered(IMAGES, 1, 1)[:, ::2, ::2]
  np.testing.assert_allclose(down(jnp.asarray(IMAGES)), expected, rtol=1e-5, atol=1e-6)
  with pytest.raises(ValueError, match="3x4 cannot be halved"):
    down(jnp.ones((1, 3, 4, 1)))


def test_inside_the_border_a_flat_image_stays_as_it_is():
  flat = jnp.full((1, 8, 8, 2), 3.0)
  np.testing.assert_array_equal(blur(flat, (0, 0)), jnp.full((1, 5, 5, 2), 3.0))
  np.testing.assert_array_equal(up(flat)[:, 1:-1, 1:-1], jnp.full((1, 14, 14, 2), 3.0))
  np.testing.assert_array_equal(down(flat)[:, 1:-1, 1:-1], jnp.full((1, 2, 2, 2), 3.0))


def test_doubling_is_four_times_the_transpose_of_halving():
  """<up(x), y> = 4 <x, down(y)>: one filter, so gradients of one are the other."""
  small, large = jax.random.normal(jax.random.key(0), (1, 2, 3, 2)), jax.random.normal(jax.random.key(1), (1, 4, 6, 2))
  gradient = jax.grad(lambda x: (up(x) * large).sum())(small)
  np.testing.assert_allclose(gradient, 4 * down(large), rtol=1e-5, atol=1e-6)


def test_bfloat16_stays_bfloat16():
  x = jnp.asarray(IMAGES, jnp.bfloat16)
  assert {f(x).dtype for f in (up, down, lambda x: blur(x, (1, 1)))} == {jnp.dtype(jnp.bfloat16)}
