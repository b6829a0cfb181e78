"""Encoder and decoder between images and a grid of features: the nets of the VQ-VAE.

Papers   VQ-VAE  van den Oord, Vinyals & Kavukcuoglu 2017, arXiv:1711.00937, section 4.1: two strided 4x4 convolutions,
                 two residual blocks of ReLU, 3x3, ReLU, 1x1; the decoder the other way round; 256 features
Shapes   images [B, H, W, C] -> features [B, h, w, D], h = H / 2^len(widths); features of any depth -> real numbers
         [B, H, W, C] float32.
Checked  tests/systems/test_vqvae.py
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.convnet import Conv
from genjax.nets.dcgan import EDGES, Doubling, grid_of

Array = jax.Array


class GridEncoder(nn.Module):
  """Strided convolutions, then residual blocks.

  Attributes:
    widths: features of the convolutions; each halves the image. The last is D.
    blocks: number of residual blocks.
    dtype: of the convolutions.
  """

  widths: tuple[int, ...] = (256, 256)
  blocks: int = 2
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array) -> Array:
    grid_of(images.shape[1:], len(self.widths))
    x = images.astype(self.dtype)
    for number, width in enumerate(self.widths):
      x = nn.relu(x) if number else x
      x = Conv(width, (4, 4), strides=(2, 2), padding=EDGES, dtype=self.dtype)(x)
    for _ in range(self.blocks):
      x = Residual(self.dtype)(x)
    return nn.relu(x).astype(jnp.float32)


class GridDecoder(nn.Module):
  """Residual blocks, then transposed convolutions, each of which doubles the grid.

  Attributes:
    shape: H, W, C.
    widths: features of the grid, and after each doubling but the last.
    blocks: number of residual blocks.
    dtype: of the convolutions.
  """

  shape: tuple[int, int, int]
  widths: tuple[int, ...] = (256, 256)
  blocks: int = 2
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, features: Array) -> Array:
    x = Conv(self.widths[0], (3, 3), dtype=self.dtype)(features.astype(self.dtype))
    for _ in range(self.blocks):
      x = Residual(self.dtype)(x)
    for width in (*self.widths[1:], self.shape[2]):
      x = Doubling(width, dtype=self.dtype)(nn.relu(x))
    return x.astype(jnp.float32)


class Residual(nn.Module):
  """ReLU, 3x3 convolution, ReLU, 1x1, plus the input.

  Attributes:
    dtype: of the convolutions.
  """

  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    y = Conv(x.shape[-1], (3, 3), dtype=self.dtype)(nn.relu(x))
    return x + nn.Dense(x.shape[-1], dtype=self.dtype)(nn.relu(y))
