"""Resizing by the bilinear rule of TensorFlow 1, which the graph of FID's Inception begins with.

Pixel i of the result lies at i * (old side / new side) of the old image: a grid that begins at the first pixel and is
not centred, and nothing is smoothed when an image shrinks. Past the last pixel there is the last one.

Papers   tf.image.resize_bilinear of TensorFlow 1.x with align_corners=False, core/kernels/resize_bilinear_op.cc.
Shapes   images [B, H, W, C], any number type -> [B, h, w, C] float32, in the range of the images.
Checked  tests/ops/test_resize.py: by hand, a loop over pixels, and torch-fidelity's values.
"""

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


def tf1_bilinear(images: Array, size: tuple[int, int]) -> Array:
  """The images at another height and width."""
  x = images.astype(jnp.float32)
  (top, bottom, down), (left, right, across) = map(_grid, x.shape[1:3], size)
  x = _between(x[:, :, left], x[:, :, right], across[None, None, :, None])
  return _between(x[:, top], x[:, bottom], down[None, :, None, None])


def _between(low: Array, high: Array, share: np.ndarray) -> Array:
  return low + (high - low) * share


def _grid(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """For each new pixel of a side the old ones before and after it, and its distance from the former: [new]."""
  place = np.arange(new, dtype=np.float32) * np.float32(old / new)  # in float32, as TensorFlow: its rounding counts
  before = place.astype(np.int32)
  return before, np.minimum(before + 1, old - 1), place - before.astype(np.float32)
