"""DiT: a transformer on patches of noisy images, in the U-Net's place as the net of diffusion models.

Papers   DiT  Peebles & Xie 2023, arXiv:2212.09748, section 3: adaLN-Zero. The defaults are DiT-S/2: width 384, 12
         blocks, 6 heads, patches of 2
         positions  Vaswani et al. 2017, arXiv:1706.03762, section 3.5, for rows and columns apart
Departs  Images instead of the latents of an autoencoder.
Shapes   images [B, H, W, C], time [B], labels [B] int32 in 0 ... classes (the last stands for none) or nothing
         -> [B, H, W, C] float32, or as many channels as `outputs` says; `patch` divides H and W.
Checked  tests/nets/test_dit.py: the number of parameters, that a fresh net says 0, a block in numpy
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.labels import check_labels
from genjax.nets.unet import embedded
from genjax.ops.attention import by_product
from genjax.ops.patches import assemble, cut

Array = jax.Array
ZERO = nn.initializers.zeros
_FREQUENCIES = 256  # of the time's embedding


class DiT(nn.Module):
  """Patches to tokens, blocks that the time and the label modulate, tokens to patches.

  Attributes:
    patch: pixels of a patch's side.
    width: of the tokens; a multiple of 4 and of `heads`.
    depth: number of blocks.
    heads: of attention.
    ratio: width of the MLP over that of a token.
    classes: number of labels of the data, for calls with labels.
    outputs: channels of the result; None: as many as the images have.
    dtype: of the layers; norms and the result are float32.
  """

  patch: int = 2
  width: int = 384
  depth: int = 12
  heads: int = 6
  ratio: int = 4
  classes: int | None = None
  outputs: int | None = None
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, time: Array, labels: Array | None = None) -> Array:
    check_labels(labels, self.classes)
    _, height, width, channels = images.shape
    if height % self.patch or width % self.patch:
      raise ValueError(f"images of {height}x{width} in patches of {self.patch}; use a patch that divides both sides")
    if self.width % 4 or self.width % self.heads:
      raise ValueError(f"width {self.width}; use a multiple of 4 and of heads {self.heads}")
    rows, columns, outputs = height // self.patch, width // self.patch, self.outputs or channels
    c = nn.Dense(self.width, kernel_init=nn.initializers.normal(0.02))(embedded(time, _FREQUENCIES))
    c = nn.Dense(self.width, kernel_init=nn.initializers.normal(0.02))(nn.swish(c))
    if labels is not None:
      c = c + nn.Embed(self.classes + 1, self.width, embedding_init=nn.initializers.normal(0.02), name="labels")(labels)
    c = nn.swish(c).astype(self.dtype)

    x = nn.Dense(self.width, dtype=self.dtype, name="patches")(cut(images.astype(self.dtype), self.patch))
    x = x + places(rows, columns, self.width)[None].astype(self.dtype)
    for number in range(self.depth):
      x = Block(self.heads, self.ratio, self.dtype, name=f"block{number}")(x, c)
    shift, scale = jnp.split(_modulation(2 * self.width, self.dtype)(c)[:, None], 2, -1)
    x = nn.Dense(self.patch**2 * outputs, kernel_init=ZERO, dtype=self.dtype)(_modulated(x, shift, scale))
    return assemble(x, self.patch, (height, width, outputs)).astype(jnp.float32)


class Block(nn.Module):
  """Attention and an MLP, each behind a norm that is shifted and scaled, and in front of a gate, by the condition.

  Scales, shifts and gates are linear in the condition and 0 at first, so that a fresh block changes nothing.

  Attributes:
    heads, ratio, dtype: see DiT.
  """

  heads: int
  ratio: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, c: Array) -> Array:
    width = x.shape[-1]
    parts = jnp.split(_modulation(6 * width, self.dtype)(c)[:, None], 6, -1)
    shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = parts
    layer = lambda size, name: nn.Dense(size, kernel_init=nn.initializers.xavier_uniform(), dtype=self.dtype, name=name)
    heads = lambda y: y.reshape(*y.shape[:2], self.heads, width // self.heads)
    q, k, v = jnp.split(layer(3 * width, "qkv")(_modulated(x, shift, scale)), 3, -1)
    mixed = by_product(heads(q), heads(k), heads(v)).reshape(x.shape)
    x = x + gate * layer(width, "out")(mixed)
    hidden = nn.gelu(layer(self.ratio * width, "up")(_modulated(x, shift_mlp, scale_mlp)))
    return x + gate_mlp * layer(width, "down")(hidden)


def places(rows: int, columns: int, width: int) -> Array:
  """Sines and cosines of the row and of the column, half of the width each: [rows * columns, width] float32."""
  of = lambda count: embedded(jnp.arange(count), width // 2)
  row, column = jnp.repeat(of(rows), columns, 0), jnp.tile(of(columns), (rows, 1))
  return jnp.concatenate([row, column], -1)


def _modulation(size: int, dtype: jnp.dtype) -> nn.Dense:
  return nn.Dense(size, kernel_init=ZERO, dtype=dtype)


def _modulated(x: Array, shift: Array, scale: Array) -> Array:
  normal = nn.LayerNorm(1e-6, use_bias=False, use_scale=False, dtype=jnp.float32)(x).astype(x.dtype)
  return normal * (1 + scale) + shift
