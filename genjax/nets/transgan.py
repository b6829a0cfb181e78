"""A generator like TransGAN's: transformer blocks on ever finer grids of ever narrower tokens, no convolution.

Papers   TransGAN  Jiang et al. 2021, arXiv:2102.07074: tokens of 8x8 from one linear layer, stages of blocks, pixel
                   shuffle between them, a linear layer to the image; the largest 32x32 net: width 1024, 5, 4 and 2
                   blocks, 4 heads, MLP 4 times as wide
Departs  Like it, not it: norms are LayerNorm, as in the paper's first version (its last: one without parameters);
         positions are learned and absolute only (its last version adds relative ones to the logits). Attention is
         global: its grid attention begins above 32x32. The critic may be any.
Shapes   latent [B, Z] -> images [B, H, W, C] float32, around [-1, 1] but not bounded; it takes labels [B] too.
Checked  tests/nets/test_transgan.py: parameters by hand, the shuffle against a loop, a block against numpy.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.dcgan import grid_of
from genjax.nets.labels import beside

Array = jax.Array
XAVIER = nn.initializers.xavier_uniform()


class TransGANGenerator(nn.Module):
  """Latents to images.

  Attributes:
    shape: H, W, C.
    width: of the first stage's tokens; each shuffle quarters it.
    depths: blocks of each stage; between stages the grid doubles.
    heads: of attention, in all stages.
    ratio: the MLP's width over the tokens'.
    classes: number of labels of the data, for calls that pass labels; they go beside the latent.
    remat: whether blocks are computed again for their gradients.
    dtype: of the products; norms, softmax and images are float32.
  """

  shape: tuple[int, int, int]
  width: int = 1024
  depths: tuple[int, ...] = (5, 4, 2)
  heads: int = 4
  ratio: int = 4
  classes: int | None = None
  remat: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, latent: Array, labels: Array | None = None) -> Array:
    doublings = len(self.depths) - 1
    height, width = grid_of(self.shape, doublings)
    if self.width % (self.heads * 4**doublings):
      raise ValueError(
        f"width {self.width} quartered {doublings} times has no {self.heads} equal heads; "
        f"use a multiple of {self.heads * 4**doublings}"
      )
    x = nn.Dense(height * width * self.width, kernel_init=XAVIER, name="grid")(beside(latent, labels, self.classes))
    x = x.reshape(-1, height, width, self.width).astype(self.dtype)
    block = nn.remat(Block) if self.remat else Block
    for stage, depth in enumerate(self.depths):
      if stage:
        x = shuffled(x)
      batch, *sides, channels = x.shape
      places = self.param(f"places_{stage}", nn.initializers.normal(0.02), (*sides, channels))
      x = (x + places.astype(self.dtype)[None]).reshape(batch, -1, channels)
      for number in range(depth):
        x = block(self.heads, self.ratio, self.dtype, name=f"block_{stage}_{number}")(x)
      x = x.reshape(batch, *sides, channels)
    return nn.Dense(self.shape[2], kernel_init=XAVIER, dtype=self.dtype, name="image")(x).astype(jnp.float32)


class Block(nn.Module):
  """x + attention(norm(x)), then y + MLP(norm(y)), on tokens [B, L, D].

  Attributes:
    heads, ratio, dtype: as of the net.
  """

  heads: int
  ratio: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    batch, length, width = x.shape
    dense = lambda features, name, bias=True: nn.Dense(features, bias, kernel_init=XAVIER, dtype=self.dtype, name=name)
    norm = lambda x, name: nn.LayerNorm(epsilon=1e-5, dtype=jnp.float32, name=name)(x).astype(self.dtype)
    joined = dense(3 * width, "query_key_value", False)(norm(x, "norm_0"))
    query, key, value = jnp.moveaxis(joined.reshape(batch, length, 3, self.heads, -1), 2, 0)
    seen = jax.nn.dot_product_attention(query, key, value)
    x += dense(width, "output")(seen.reshape(batch, length, width))
    y = nn.gelu(dense(self.ratio * width, "hidden")(norm(x, "norm_1")), approximate=False)
    return x + dense(width, "shrink")(y)


def shuffled(x: Array) -> Array:
  """Each pixel's channels as four pixels of a quarter of them: [B, H, W, 4 C] -> [B, 2 H, 2 W, C].

  Channel 4 c + 2 row + column becomes channel c of that row and column, as in PyTorch's PixelShuffle.
  """
  batch, height, width, channels = x.shape
  x = x.reshape(batch, height, width, channels // 4, 2, 2)
  return x.transpose(0, 1, 4, 2, 5, 3).reshape(batch, 2 * height, 2 * width, channels // 4)
