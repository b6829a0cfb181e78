"""Self-attention over tokens of a grid: by product or distance, of all or of neighbours, with convolved projections.

Papers   ViTGAN  Lee et al. 2022, arXiv:2107.04589, section 3.4.1 of the thesis: eq 3.6, and 3x3 convolutions of the
                 grid for queries, keys and values
         local   Ramachandran et al. 2019, arXiv:1906.05909: a window of 3x3 (Table 3.4 of the thesis)
Departs  A token that is no place of the grid (class, latent) is convolved as a 1x1 grid of its own: by the kernel's
         middle. The papers do not say. It sees all tokens and all see it, also where attention is local.
         "l2" is the squared distance of Kim et al. 2021, "euclidean" the distance itself: see ops/attention.py.
         "lipschitz" is their whole layer, whose values pass the key's own matrix.
Shapes   x [B, E + L, D] -> the same; L = rows * columns tokens of a grid in raster order after E extra tokens.
Checked  tests/nets/test_self_attention.py
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.improved_spectral import Kernel, Norm, NormedDense
from genjax.ops.attention import ATTENTIONS, by_squared_distance
from genjax.ops.conv import conv
from genjax.ops.patches import neighbours

Array = jax.Array
Attention = Literal["dot", "l2", "euclidean", "lipschitz"]


class SelfAttention(nn.Module):
  """Heads of attention side by side, then one linear layer with a bias; projections have none.

  Attributes:
    grid: rows and columns.
    heads: they share the width evenly.
    attention: "dot" has matrices for query, key and value; all others one for query and key, and one for value.
    local: whether a token sees only the 3x3 around it.
    convolution: whether projections are 3x3 convolutions.
    norm, equalised, dtype, train: of the layers, see nets/improved_spectral.py.
  """

  grid: tuple[int, int]
  heads: int = 6
  attention: Attention = "dot"
  local: bool = False
  convolution: bool = False
  norm: Norm = "none"
  equalised: bool = True
  dtype: jnp.dtype = jnp.float32
  train: bool = False

  @nn.compact
  def __call__(self, x: Array) -> Array:
    if self.attention not in (*ATTENTIONS, "lipschitz"):
      raise ValueError(f"attention {self.attention!r}; use one of {', '.join(ATTENTIONS)}, lipschitz")
    if self.attention == "lipschitz" and self.convolution:
      raise ValueError("attention 'lipschitz' has values through the key's matrix; set conv_projection to False")
    if x.shape[-1] % self.heads:
      raise ValueError(f"width {x.shape[-1]} does not divide over {self.heads} heads; use a multiple of {self.heads}")
    x, heads = x.astype(self.dtype), (*x.shape[:2], self.heads, x.shape[-1] // self.heads)
    names = ("query", "key", "value") if self.attention == "dot" else ("query_key", "value")
    sides = (3, 3) if self.convolution else ()
    shape, own = (*sides, *x.shape[-1:] * 2), (self.norm, self.equalised, self.train)
    kernels = [Kernel(shape, *own, name=name)() for name in names]
    mask = _window(self.grid, x.shape[1]) if self.local else None
    if self.attention == "lipschitz":
      q = (x @ kernels[0].astype(self.dtype)).reshape(heads)
      key, value = (kernel.reshape(-1, *heads[2:]) for kernel in kernels)
      of_values = jnp.einsum("whd,whe->hde", key, value) * heads[3] ** -0.5
      mixed = by_squared_distance(q, q, jnp.einsum("blhd,hde->blhe", q, of_values.astype(self.dtype)), mask)
    else:
      parts = jnp.split(self._project(x, jnp.concatenate(kernels, -1).astype(self.dtype)), len(kernels), -1)
      parts = [part.reshape(heads) for part in parts]
      q, k, v = parts if self.attention == "dot" else (parts[0], *parts)
      mixed = ATTENTIONS[self.attention](q, k, v, mask)
    out = NormedDense(x.shape[-1], self.norm, self.equalised, dtype=self.dtype, train=self.train, name="out")
    return out(mixed.reshape(x.shape))

  def _project(self, x: Array, kernel: Array) -> Array:
    """All projections in one product: [B, E + L, D] -> [B, E + L, O]."""
    if not self.convolution:
      return x @ kernel
    extra = x.shape[1] - self.grid[0] * self.grid[1]
    places = x[:, extra:].reshape(x.shape[0], *self.grid, x.shape[2])
    places = conv(places, kernel, ((1, 1), (1, 1))).reshape(x.shape[0], -1, kernel.shape[-1])
    return jnp.concatenate([x[:, :extra] @ kernel[1, 1], places], 1) if extra else places


def _window(grid: tuple[int, int], length: int) -> Array:
  """Who sees whom, [length, length]: neighbours on the grid; the tokens before it see all and are seen by all."""
  extra = length - grid[0] * grid[1]
  return jnp.pad(neighbours(*grid), ((extra, 0), (extra, 0)), constant_values=True)
