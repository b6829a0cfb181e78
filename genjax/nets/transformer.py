"""Transformer blocks whose norm comes first; the mixing of tokens is attention, local attention or an MLP.

Papers   ViT        Dosovitskiy et al. 2021, arXiv:2010.11929, eq 2-3; GELU, an MLP four times as wide
         MLP-Mixer  Tolstikhin et al. 2021, arXiv:2105.01601, eq 1: fixed weights between tokens, an MLP across them
         SLN        ViTGAN, Lee et al. 2022, arXiv:2107.04589, eq 3.13 of the thesis: gamma(w) * (h - mean) / deviation
                    + beta(w), gamma and beta linear in w
Departs  gamma(w) = 1 + a linear layer, so that no modulation is LayerNorm. "normalised" residuals are those of the
         released code, which adds what comes out of the norm; the thesis' eq 3.9-3.10 add what goes in ("plain").
         GELU has its tanh form: our choice, flax's default; ViT's equation does not say, the released ViTGAN has SiLU.
         The Mixer's MLP across tokens is half as wide as a token, as in the paper's models.
Shapes   x [B, T, D], w [B, W] or None -> [B, T, D]. Norms are float32.
Checked  tests/nets/test_vitgan_layers.py
"""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.improved_spectral import Norm, NormedDense
from genjax.nets.self_attention import Attention, SelfAttention

Array = jax.Array
Mixing = Literal["global", "local", "mlp"]
Residual = Literal["plain", "normalised"]
EPSILON = 1e-6  # beside the variance, as in ViT


class SelfModulatedNorm(nn.Module):
  """LayerNorm of every token; with w its scale and offset are linear in w, else free parameters.

  Attributes:
    equalised: of the layer from w, see nets/improved_spectral.py.
    dtype: of the result.
  """

  equalised: bool = True
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, w: Array | None = None) -> Array:
    if w is None:
      return nn.LayerNorm(EPSILON, dtype=jnp.float32, name="norm")(x).astype(self.dtype)
    normal = nn.LayerNorm(EPSILON, dtype=jnp.float32, use_bias=False, use_scale=False, name="norm")(x)
    modulation = NormedDense(2 * x.shape[-1], equalised=self.equalised, name="modulation")(w.astype(jnp.float32))
    gamma, beta = jnp.split(modulation[:, None], 2, -1)
    return ((1 + gamma) * normal + beta).astype(self.dtype)


class MLP(nn.Module):
  """A hidden layer with GELU, and back to the width, along the last axis.

  Attributes:
    hidden: its width.
    norm, equalised, dtype, train: of the layers, see nets/improved_spectral.py.
  """

  hidden: int
  norm: Norm = "none"
  equalised: bool = True
  dtype: jnp.dtype = jnp.float32
  train: bool = False

  @nn.compact
  def __call__(self, x: Array) -> Array:
    own = {"norm": self.norm, "equalised": self.equalised, "dtype": self.dtype, "train": self.train}
    up = NormedDense(self.hidden, **own, name="up")
    down = NormedDense(x.shape[-1], **own, name="down")
    return down(nn.gelu(up(x)))


class Block(nn.Module):
  """Norm, mixing of tokens, residual; norm, MLP, residual.

  Attributes:
    grid: rows and columns of the tokens.
    heads, attention, conv_projection: of the attention.
    ratio: the MLP's width over the token's.
    mixing: of tokens: "global" attention, "local" in 3x3, or an "mlp" across them.
    residual: what is added, see above.
    norm, equalised, dtype: of the layers, see nets/improved_spectral.py.
  """

  grid: tuple[int, int]
  heads: int = 6
  ratio: int = 4
  mixing: Mixing = "global"
  attention: Attention = "dot"
  conv_projection: bool = False
  residual: Residual = "plain"
  norm: Norm = "none"
  equalised: bool = True
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, w: Array | None = None, *, train: bool = False) -> Array:
    if self.residual not in ("plain", "normalised"):
      raise ValueError(f"residual {self.residual!r}; use 'plain' or 'normalised'")
    own = {"norm": self.norm, "equalised": self.equalised, "dtype": self.dtype, "train": train}
    for name, layer in (("mix", self._mix(own)), ("mlp", MLP(self.ratio * x.shape[-1], **own, name="mlp"))):
      normal = SelfModulatedNorm(self.equalised, self.dtype, name=f"{name}_norm")(x, w)
      x = layer(normal) + (normal if self.residual == "normalised" else x)
    return x

  def _mix(self, own: dict[str, Any]) -> Callable[[Array], Array]:
    match self.mixing:
      case "mlp":
        return lambda x: MLP(x.shape[-1] // 2, **own, name="mix")(x.swapaxes(1, 2)).swapaxes(1, 2)
      case "global" | "local":
        kind = (self.attention, self.mixing == "local", self.conv_projection)
        return SelfAttention(self.grid, self.heads, *kind, **own, name="mix")
    raise ValueError(f"mixing {self.mixing!r}; use 'global', 'local' or 'mlp'")


def run(block: Block, x: Array, w: Array | None = None, *, train: bool = False, remat: bool = False) -> Array:
  """block(x, w, train=train); with `remat` its insides are computed again for the gradient, not kept.

  For accelerators. What a critic of the thesis' size keeps for its gradient falls from 1006 to 53 MiB at 64 images, but
  XLA's CPU compiler runs the second computation early, and its peak stays.
  """
  call = lambda block, x, w: block(x, w, train=train)
  return nn.remat(call)(block, x, w) if remat else call(block, x, w)
