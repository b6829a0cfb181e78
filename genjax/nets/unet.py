"""A U-Net that knows how noisy its images are: the net of diffusion models.

Papers   U-Net  Ronneberger, Fischer & Brox 2015, arXiv:1505.04597
         DDPM   Ho, Jain & Abbeel 2020, arXiv:2006.11239, appendix B: residual blocks of two 3x3 convolutions with group
                normalisation and swish, the time's embedding added between them, self-attention at 16x16, dropout 0.1.
                The defaults are the net for 32x32 images: 35.7 million parameters
         time   Vaswani et al. 2017, arXiv:1706.03762, section 3.5: sines and cosines
Departs  Halving is a 3x3 convolution of stride 2 with one pixel of zeros on every edge; the released code pads below
         and at the right only.
         labels  Dhariwal & Nichol 2021, arXiv:2105.05233: a vector for each, added to the time's embedding
Shapes   images [B, H, W, C], time [B], labels [B] int32 in 0 ... classes (the last stands for none) or nothing
         -> [B, H, W, C] float32, or as many channels as `outputs` says; H and W are multiples of 2^(len(widths) - 1).
Checked  tests/nets/test_unet.py: the number of parameters, the embedding in numpy
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.convnet import Conv
from genjax.nets.dcgan import grid_of
from genjax.nets.labels import check_labels
from genjax.ops.attention import by_product

Array = jax.Array
ZERO = nn.initializers.zeros


class UNet(nn.Module):
  """Residual blocks down to the coarsest grid and up again; each block going up also sees one of those going down.

  Attributes:
    widths: channels of every level, from the finest to the coarsest; each level halves the one before.
    blocks: residual blocks of a level going down; one more going up.
    attention: levels whose blocks are followed by self-attention; the coarsest grid's middle always has it.
    groups: of every group normalisation; divides all widths.
    dropout: share of dropped activations within a block.
    classes: number of labels of the data, for calls with labels.
    outputs: channels of the result; None: as many as the images have.
    dtype: of convolutions and attention; norms and the result are float32.
  """

  widths: tuple[int, ...] = (128, 256, 256, 256)
  blocks: int = 2
  attention: tuple[int, ...] = (1,)
  groups: int = 32
  dropout: float = 0.1
  classes: int | None = None
  outputs: int | None = None
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, time: Array, labels: Array | None = None, *, train: bool = False) -> Array:
    check_labels(labels, self.classes)
    grid_of(images.shape[1:], len(self.widths) - 1)
    if bad := [width for width in self.widths if width % self.groups]:
      raise ValueError(f"widths {self.widths}: {bad[0]} is not a multiple of groups {self.groups}; use multiples of it")
    t = nn.Dense(4 * self.widths[0])(embedded(time, self.widths[0]))
    t = nn.Dense(4 * self.widths[0])(nn.swish(t))
    t = nn.swish(t if labels is None else t + nn.Embed(self.classes + 1, t.shape[-1], name="labels")(labels))

    def block(x: Array, width: int, attend: bool) -> Array:
      x = Residual(width, self.groups, self.dropout, self.dtype)(x, t, train=train)
      return Attention(self.groups, self.dtype)(x) if attend else x

    x = _conv(self.widths[0], self.dtype)(images.astype(self.dtype))
    seen, last = [x], len(self.widths) - 1
    for level, width in enumerate(self.widths):
      for _ in range(self.blocks):
        x = block(x, width, level in self.attention)
        seen.append(x)
      if level < last:
        x = _conv(width, self.dtype, strides=2)(x)
        seen.append(x)
    x = block(block(x, self.widths[-1], True), self.widths[-1], False)
    for level, width in reversed(list(enumerate(self.widths))):
      for _ in range(self.blocks + 1):
        x = block(jnp.concatenate([x, seen.pop()], -1), width, level in self.attention)
      if level:
        x = _conv(width, self.dtype)(x.repeat(2, 1).repeat(2, 2))  # the nearest pixel
    x = nn.swish(_norm(self.groups)(x)).astype(self.dtype)
    return _conv(self.outputs or images.shape[-1], self.dtype, kernel_init=ZERO)(x).astype(jnp.float32)


class Residual(nn.Module):
  """Norm, swish, convolution, the time; norm, swish, dropout, convolution; plus the input.

  Attributes:
    width: channels of the result; where the input has others, a linear layer maps it.
    groups, dropout, dtype: see UNet.
  """

  width: int
  groups: int
  dropout: float
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, t: Array, *, train: bool) -> Array:
    y = _conv(self.width, self.dtype)(nn.swish(_norm(self.groups)(x)).astype(self.dtype))
    y = y + nn.Dense(self.width)(t)[:, None, None].astype(self.dtype)
    y = nn.Dropout(self.dropout, deterministic=not train)(nn.swish(_norm(self.groups)(y)))
    y = _conv(self.width, self.dtype, kernel_init=ZERO)(y.astype(self.dtype))
    return y + (x if x.shape[-1] == self.width else nn.Dense(self.width, dtype=self.dtype)(x))


class Attention(nn.Module):
  """One head of self-attention over all places, plus the input.

  Attributes:
    groups, dtype: see UNet.
  """

  groups: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    batch, height, width, channels = x.shape
    flat = _norm(self.groups)(x).astype(self.dtype).reshape(batch, height * width, 1, channels)
    q, k, v = jnp.split(nn.Dense(3 * channels, dtype=self.dtype)(flat), 3, -1)
    mixed = nn.Dense(channels, kernel_init=ZERO, dtype=self.dtype)(by_product(q, k, v))
    return x + mixed.reshape(x.shape)


def embedded(time: Array, width: int, longest: float = 10_000.0) -> Array:
  """Sines and cosines of the time [B] in `width` / 2 frequencies each, from 1 to 1 / longest: [B, width] float32."""
  half = width // 2
  frequencies = jnp.exp(-math.log(longest) / max(half - 1, 1) * jnp.arange(half))
  angles = time.astype(jnp.float32)[:, None] * frequencies[None]
  return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)


def _norm(groups: int) -> nn.GroupNorm:
  return nn.GroupNorm(groups, dtype=jnp.float32)


def _conv(
  width: int,
  dtype: jnp.dtype,
  strides: int = 1,
  kernel_init: jax.nn.initializers.Initializer = nn.initializers.lecun_normal(),  # noqa: B008 - a constant
) -> nn.Conv:
  return Conv(width, (3, 3), strides=strides, padding=((1, 1), (1, 1)), kernel_init=kernel_init, dtype=dtype)
