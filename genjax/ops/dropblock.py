"""DropBlock: squares of a feature map are set to zero, as in the released MetaOptNet.

Papers   Ghiasi, Lin & Le 2018, arXiv:1810.12890; Lee 2021 (thesis), section 4.4.1: DB(keep rate, block)
Departs  As released: seeds lie where a whole block fits, each channel has its own, and what stays is scaled by places
         over places kept in the whole batch. Every seed drops its whole block. The released code adds the b * b offsets
         of a block to the list of seeds repeated b * b times, each list in its own order, so that a seed meets all
         offsets, and whole blocks go, only where the number of seeds and b * b have no common divisor but 1.
Shapes   x [B, H, W, C]; b the block's side, at most H and W.
Checked  tests/ops/test_dropblock.py
"""

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array


def seed_rate(keep: Array, block: int, side: int) -> Array:
  """gamma: how often a place is a seed so that about `keep` of the map stays, from the side F of the map."""
  return (1 - keep) / block**2 * side**2 / (side - block + 1) ** 2


def keep_rate(count: Array, *, drop: float = 0.1, over: float = 40_000.0) -> Array:
  """Falls from 1 to 1 - drop in `over` calls; `count` is the number of the call, from 1."""
  return jnp.maximum(1 - drop * count / over, 1 - drop)


def dropblock(key: Array, x: Array, gamma: Array, block: int) -> Array:
  """Drops blocks from seeds of rate `gamma`, and scales the rest up.

  Raises:
    ValueError: a block that does not fit in the map.
  """
  height, width = x.shape[1:3]
  if not 1 <= block <= min(height, width):
    raise ValueError(f"blocks of {block} do not fit in maps of {height}x{width}; use a block of at most that side")
  shape = (x.shape[0], height - block + 1, width - block + 1, x.shape[3])
  seeds = jax.random.bernoulli(key, jnp.clip(gamma, 0, 1), shape)
  # a place is dropped if one of the b x b seeds above and to the left of it is set
  around = ((0, 0), (block - 1, block - 1), (block - 1, block - 1), (0, 0))
  dropped = lax.reduce_window(seeds.astype(x.dtype), 0.0, lax.max, (1, block, block, 1), (1, 1, 1, 1), around)
  kept = 1 - dropped
  scale = kept.size / jnp.maximum(kept.sum(dtype=jnp.float32), 1)
  return x * kept * scale.astype(x.dtype)
