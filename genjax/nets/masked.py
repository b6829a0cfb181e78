"""Masked convolutions: a pixel sees those above it and to its left, and of itself the channels before its own.

A whole pass takes features [B, H, W, D]. A pass of one pixel takes `at`, its row and column, and features [B, D]; those
of earlier pixels are kept in the collection "cache", which must be mutable. Pixels come in raster order; one may come
several times, and the last time counts.

Papers   masks A and B  van den Oord, Kalchbrenner & Kavukcuoglu 2016, arXiv:1601.06759, section 3.4: of the features of
                        a pixel, the first C-th part belongs to the first channel, and so on; a part sees those before
                        it, and itself too where the mask is B
Departs  Kernels have no rows below their own, which the papers mask.
Shapes   images or features [B, H, W, I] -> [B, H, W, O], C channels; [B, I] -> [B, O].
         The first layer of a net is given whole images also in a pass of one pixel: it reads what it may see of them.
Checked  tests/nets/test_pixel_nets.py
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genjax.ops.conv import conv

Array = jax.Array
At = tuple[Array, Array]  # row and column


def channel_mask(inputs: int, outputs: int, channels: int, *, strict: bool, parts: int = 1) -> np.ndarray:
  """Which of a pixel's own features an output sees, [inputs, outputs] float32.

  Args:
    inputs, outputs: numbers of features; a channel has as even a share of them as goes.
    channels: C.
    strict: mask A, earlier channels only; else B, its own as well.
    parts: of the outputs, side by side, each of which has features of all channels (the gates of a unit).
  """
  of_input = np.arange(inputs) * channels // inputs
  of_output = np.tile(np.arange(outputs // parts) * channels * parts // outputs, parts)
  sees = of_input[:, None] < of_output[None] if strict else of_input[:, None] <= of_output[None]
  return sees.astype(np.float32)


class MaskedConv(nn.Module):
  """A convolution of what comes before a pixel, and of its own features by a mask of channels.

  Attributes:
    features: O.
    channels: C.
    grid: H, W.
    above: rows above that are seen.
    side: pixels that are seen to the left and, in the rows above, to the right.
    strict: mask A, for the first layer of a net; else B.
    parts: see `channel_mask`.
    dtype: of the products.
  """

  features: int
  channels: int
  grid: tuple[int, int]
  above: int = 0
  side: int = 0
  strict: bool = False
  parts: int = 1
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, at: At | None = None) -> Array:
    across = 2 * self.side + 1 if self.above else self.side + 1
    shape = (self.above + 1, across, x.shape[-1], self.features)
    bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
    kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
    own = channel_mask(*shape[2:], self.channels, strict=self.strict, parts=self.parts)
    mask = np.ones(shape, np.float32)
    mask[-1, self.side] = own
    mask[-1, self.side + 1 :] = 0
    kernel, x = (kernel * mask).astype(self.dtype), x.astype(self.dtype)
    if shape[:2] == (1, 1):
      return added(x @ kernel[0, 0], bias)
    if at is None:
      return added(conv(x, kernel, ((self.above, 0), (self.side, across - self.side - 1))), bias)
    near = self._near(x, at, shape[:2])
    return added(near.reshape(len(x), -1) @ kernel.reshape(-1, self.features), bias)

  def _near(self, x: Array, at: At, window: Sequence[int]) -> Array:
    """What the kernel covers at a place, [B, rows, columns, D]; kept with a frame of zeros."""
    edges = ((0, 0), (self.above, 0), (self.side, self.side), (0, 0))
    if x.ndim == 4:
      return lax.dynamic_slice(jnp.pad(x, edges), (0, *at, 0), (len(x), *window, x.shape[-1]))
    row, column = at if self.above else (jnp.zeros_like(at[0]), at[1])  # one row is enough where none above is seen
    rows = self.grid[0] if self.above else 1
    shape = (len(x), rows + self.above, self.grid[1] + 2 * self.side, x.shape[-1])
    kept = self.variable("cache", "seen", jnp.zeros, shape, x.dtype)
    kept.value = lax.dynamic_update_slice(kept.value, x[:, None, None], (0, row + self.above, column + self.side, 0))
    return lax.dynamic_slice(kept.value, (0, row, column, 0), (len(x), *window, x.shape[-1]))


class RowConv(nn.Module):
  """A convolution of a row and of rows above it, over all of their width; no mask.

  A pass of one row takes features [B, W, D], row after row from the first.

  Attributes:
    features: O.
    above: rows above that are seen.
    side: pixels that are seen on either side.
    dtype: of the products.
  """

  features: int
  above: int
  side: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    shape = (self.above + 1, 2 * self.side + 1, x.shape[-1], self.features)
    kernel = self.param("kernel", nn.initializers.lecun_normal(), shape).astype(self.dtype)
    bias = self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
    x, sides = x.astype(self.dtype), (self.side, self.side)
    if x.ndim == 4:
      return added(conv(x, kernel, ((self.above, 0), sides)), bias)
    kept = self.variable("cache", "rows", jnp.zeros, (len(x), self.above, *x.shape[1:]), x.dtype)
    rows = jnp.concatenate([kept.value, x[:, None]], 1)
    kept.value = rows[:, 1:]
    return added(conv(rows, kernel, ((0, 0), sides))[:, 0], bias)


def added(x: Array, bias: Array) -> Array:
  """x [..., O] plus a bias [O]."""
  return x + bias.reshape((1,) * (x.ndim - 1) + bias.shape)


def shifted_down(x: Array) -> Array:
  """Every row of [B, H, ...] one lower; the first becomes zeros."""
  return jnp.pad(x[:, :-1], ((0, 0), (1, 0), *[(0, 0)] * (x.ndim - 2)))
