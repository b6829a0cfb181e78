"""Mean and greatest of 2x2 pixels, and the check that images are large enough for a net.

Shapes   x [B, H, W, C] -> [B, H', W', C], H' and W' half of H and W, rounded down or up.
Departs  flax.linen.avg_pool: the same means by a reshape, which is quicker: in a scan on 2 CPU cores, 50x32x32x64,
         the value 3 times, its first derivative 2 times, its second 4 times.
         flax.linen.max_pool: on a CPU the same values and slopes as maxima of four strided slices, which is quicker.
         Where several pixels are the greatest, the first has the slope.
Checked  tests/nets/test_pooling.py
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array


def max_pool(x: Array) -> Array:
  """The greatest of 2x2 pixels. An odd last row or column is left out."""
  return lax.platform_dependent(x, cpu=_max_of_slices, default=lambda x: nn.max_pool(x, (2, 2), (2, 2)))


@jax.custom_jvp
def _max_of_slices(x: Array) -> Array:
  return _greatest(*_slices(x))


@_max_of_slices.defjvp
def _of_the_first(given: tuple[Array], way: tuple[Array]) -> tuple[Array, Array]:
  """The slope of the first of the greatest pixels, row by row, as nn.max_pool's.

  The pixels are compared with each other and not with the greatest: a compiler that works out a pixel twice may round
  it in two ways, and none would equal the greatest.
  """
  (a, b, c, d), (da, db, dc, dd) = _slices(given[0]), _slices(way[0])
  upper, lower = jnp.where(a >= b, da, db), jnp.where(c >= d, dc, dd)
  slope = jnp.where(jnp.maximum(a, b) >= jnp.maximum(c, d), upper, lower)
  return _greatest(a, b, c, d), slope


def _greatest(a: Array, b: Array, c: Array, d: Array) -> Array:
  return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))


def _slices(x: Array) -> tuple[Array, ...]:
  """The four pixels of each 2x2, row by row."""
  x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
  return tuple(x[:, row::2, column::2] for row in range(2) for column in range(2))


def mean_pool(x: Array, *, up: bool = False) -> Array:
  """Means of 2x2 pixels. An odd last row or column is left out; with `up` it is its own mean."""
  height, width = x.shape[1:3]
  if up:
    x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
  x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
  return x.reshape(x.shape[0], x.shape[1] // 2, 2, x.shape[2] // 2, 2, x.shape[3]).mean((2, 4))


def check_sides(images: Array, halvings: int, remedy: str, *, up: bool = False) -> None:
  """Refuses images of which a halving would be given a side of one pixel.

  Args:
    images: [B, H, W, C].
    halvings: how often the net halves them.
    remedy: what to change in the net, for the message.
    up: whether its halvings round up: strides with padding do, poolings do not.

  Raises:
    ValueError: with the least side that survives.
  """
  if images.ndim != 4:
    raise ValueError(f"images have shape {images.shape}; a net takes [B, H, W, C]")
  least = 2 ** (halvings - 1) + 1 if up and halvings else 2**halvings
  if min(images.shape[1:3]) < least:
    raise ValueError(
      f"images {images.shape[1]}x{images.shape[2]} do not survive {halvings} {'strides' if up else 'poolings'}; "
      f"use {remedy}, or sides of at least {least}"
    )
