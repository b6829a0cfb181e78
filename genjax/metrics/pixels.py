"""The door of every metric: images become 8-bit pixels by one rule, whether generated or real.

Shapes   images [N, H, W, C] uint8, or floats in [-1, 1] (beyond is clipped).
Checked  tests/metrics/test_pixels.py
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from genjax.ops.augment import to_uint8


def as_uint8(images: Any, *, name: str = "images") -> np.ndarray:
  """The images as uint8 on the host: round((x + 1) * 127.5) if they are floats.

  Raises:
    ValueError: not [N, H, W, C], no image, another dtype, NaN or Inf.
  """
  array = np.asarray(images)
  if array.ndim != 4 or 0 in array.shape:
    raise ValueError(f"{name} have shape {array.shape}; wanted [N, H, W, C] with at least one image")
  if array.dtype == np.uint8:
    return array
  if not jnp.issubdtype(array.dtype, jnp.floating):
    raise ValueError(f"{name} are {array.dtype}; wanted uint8, or floats in [-1, 1]")
  bad = int((~np.isfinite(array.astype(np.float32))).any(axis=(1, 2, 3)).sum())
  if bad:
    raise ValueError(f"{bad} of {len(array)} {name} hold NaN or Inf; the sampler or the network diverged")
  return np.asarray(to_uint8(jnp.asarray(array)))


def paired(images: Any, other: np.ndarray, *, name: str) -> np.ndarray:
  """`as_uint8(images)`, which must have the height, width and channels of `other`."""
  pixels = as_uint8(images, name=name)
  if pixels.shape[1:] != other.shape[1:]:
    raise ValueError(f"{name} are {_size(pixels)} and the real images {_size(other)}; they are compared unresized")
  return pixels


def _size(pixels: np.ndarray) -> str:
  return "x".join(map(str, pixels.shape[1:]))
