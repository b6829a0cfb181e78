"""TensorFlow 1's bilinear resizing: by hand, against a loop over pixels, and against torch-fidelity's values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from released_inception import expected, pixels, sampled

from genjax.ops import resize

tf1_bilinear = jax.jit(resize.tf1_bilinear, static_argnums=1)


def by_loop(image, size):
  """One plane, pixel by pixel in float64; the grid is TensorFlow's, in float32."""
  old = image.shape
  steps = [np.float32(o / n) for o, n in zip(old, size, strict=True)]
  result = np.zeros(size)
  for row in range(size[0]):
    for column in range(size[1]):
      y, x = (float(np.float32(at) * step) for at, step in zip((row, column), steps, strict=True))
      top, left = int(y), int(x)
      bottom, right = min(top + 1, old[0] - 1), min(left + 1, old[1] - 1)
      upper = image[top, left] * (1 - (x - left)) + image[top, right] * (x - left)
      lower = image[bottom, left] * (1 - (x - left)) + image[bottom, right] * (x - left)
      result[row, column] = upper * (1 - (y - top)) + lower * (y - top)
  return result


def test_the_grid_begins_at_the_first_pixel_and_repeats_the_last():
  row = jnp.array([0.0, 8.0])[None, None, :, None]
  np.testing.assert_array_equal(tf1_bilinear(row, (1, 4))[0, 0, :, 0], [0, 4, 8, 8])
  column = jnp.arange(6, dtype=jnp.uint8)[None, :, None, None]
  np.testing.assert_array_equal(tf1_bilinear(column, (3, 1))[0, :, 0, 0], [0, 2, 4])  # nothing is smoothed
  np.testing.assert_allclose(tf1_bilinear(column, (4, 1))[0, :, 0, 0], [0, 1.5, 3, 4.5])


def test_one_pixel_becomes_a_tent():
  impulse = np.zeros((1, 3, 3, 1), np.uint8)
  impulse[0, 1, 1] = 100
  tent = np.array([0, 0.5, 1, 0.5, 0, 0])
  np.testing.assert_array_equal(tf1_bilinear(jnp.asarray(impulse), (6, 6))[0, ..., 0], 100 * np.outer(tent, tent))


@pytest.mark.parametrize(
  ("old", "new"), [((32, 32), (61, 47)), ((5, 9), (23, 4)), ((1, 1), (3, 2)), ((23, 46), (23, 23))]
)
def test_a_checkerboard_is_resized_as_a_loop_does(old, new):
  board = (255 * (np.indices(old).sum(0) % 2)).astype(np.uint8)
  result = tf1_bilinear(jnp.asarray(board)[None, :, :, None], new)
  assert result.dtype == jnp.float32
  np.testing.assert_allclose(result[0, :, :, 0], by_loop(board.astype(float), new), atol=1e-4)


@pytest.mark.parametrize("size", ["32x32", "7x13", "640x481"])
def test_torch_fidelity_has_the_same_values_at_299(size):
  images = pixels(1, *map(int, size.split("x")))
  result = np.asarray(tf1_bilinear(jnp.asarray(images), (299, 299)))
  np.testing.assert_allclose(sampled(result.transpose(0, 3, 1, 2)), expected()[f"tf1/{size}"], rtol=1e-6, atol=1e-4)
