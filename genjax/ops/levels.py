"""Images as levels of grey or colour, the whole numbers that a discrete likelihood speaks of, and as black and white.

Papers   static binarisation   Larochelle & Murray 2011: every pixel is drawn once with its grey level's probability
         dynamic binarisation  Salakhutdinov & Murray 2008: it is drawn anew whenever an image is used
Departs  "static": the draw is ours, of a key that an image's own pixels make; it is not the file that Larochelle
         published.
Shapes   images [B, H, W, C] float32 in [-1, 1]; levels of the same shape, int32 in 0 ... L - 1, even over [-1, 1].
Checked  tests/ops/test_levels.py
"""

import jax
import jax.numpy as jnp
import numpy as np

from genjax.ops.augment import to_uint8

Array = jax.Array
_MIX = np.uint32(2654435761)  # odd, so that multiplying by its powers loses no bit (Knuth's multiplicative hashing)


def to_levels(images: Array, levels: int) -> Array:
  """The nearest of `levels` levels."""
  scaled = (images.astype(jnp.float32) + 1.0) * ((levels - 1) / 2)
  return jnp.clip(jnp.round(scaled), 0, levels - 1).astype(jnp.int32)


def to_images(level: Array, levels: int) -> Array:
  """The images that have these levels; undoes `to_levels` exactly. Places between levels are mapped in proportion."""
  return (2.0 * level.astype(jnp.float32) - (levels - 1)) * (1 / (levels - 1))


def binarised(key: Array | None, images: Array) -> Array:
  """Images in {-1, 1}: a pixel x is white, 1, with probability (x + 1) / 2. Black and white ones stay as they are.

  Args:
    key: of the draw, of which every image has its own part; None: the one draw that belongs to each image for good,
      whatever batch it is in.
    images: see Shapes.
  """
  fixed = key is None
  keys = _own_keys(images) if fixed else jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(len(images)))
  uniform = jax.vmap(lambda key: jax.random.uniform(key, images.shape[1:]))(keys)
  return jnp.where(uniform < (images + 1) / 2, 1.0, -1.0)


def _own_keys(images: Array) -> Array:
  """A key of each image [B], a hash of its 8-bit pixels."""
  flat = to_uint8(images).reshape(len(images), -1).astype(jnp.uint32)
  powers = np.cumprod(np.full(flat.shape[1], _MIX, np.uint32), dtype=np.uint32)
  return jax.vmap(jax.random.key)((flat + 1) @ jnp.asarray(powers))
