"""Image to channels and back: what a flow of several scales does between them.

Papers   RealNVP  Dinh, Sohl-Dickstein & Bengio 2017, arXiv:1605.08803, section 3.6: 2x2 places become 4 channels;
                  section 3.4: masks as of a checkerboard
Shapes   x [B, H, W, C] <-> [B, H / 2, W / 2, 4C]; channel 4c + 2i + j is place (i, j) of channel c.
Checked  tests/ops/test_squeeze.py
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


def squeezed(x: Array) -> Array:
  """Every 2x2 places as 4 channels. Raises ValueError for odd sides."""
  batch, height, width, channels = x.shape
  if height % 2 or width % 2:
    raise ValueError(f"images of {height}x{width} cannot be halved again; use fewer levels")
  blocks = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4)
  return blocks.reshape(batch, height // 2, width // 2, 4 * channels)


def unsqueezed(x: Array) -> Array:
  """The images whose `squeezed` these are."""
  batch, height, width, channels = x.shape
  blocks = x.reshape(batch, height, width, channels // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3)
  return blocks.reshape(batch, 2 * height, 2 * width, channels // 4)


def unflattened(latents: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
  """Latents [B, D] cut into arrays [B, *shape] of these shapes, in order."""
  ends = np.cumsum([math.prod(shape) for shape in shapes])
  cuts = jnp.split(latents, ends[:-1], 1)
  return [cut.reshape(-1, *shape) for cut, shape in zip(cuts, shapes, strict=True)]


def checkerboard(height: int, width: int) -> Array:
  """[H, W, 1], 1 where row and column add up to an even number, else 0."""
  return jnp.asarray((1 - np.indices((height, width)).sum(0) % 2)[..., None], jnp.float32)
