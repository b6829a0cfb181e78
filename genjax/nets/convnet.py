"""The plain convolutional critic of WINN: 3x3 convolutions, LayerNorm, swish, mean pooling, one number out.

Papers   WINN  Lee et al., CVPR 2018, "Appendix C" (as in the released notebooks; the appendix was not published)
Departs  Block widths are free; the default is the 64x64 net of the textures and CelebA, 2,354,177 parameters.
         Head: with `head_classes` it classifies too (the thesis' 2.5.6 uses other nets).
         Dropout, where asked for, comes after the activations of the last block.
Shapes   images [B, H, W, C] float32, any H and W that survive the poolings -> logits [B] float32, aux.
Checked  tests/nets/test_convnet.py: the parameter count, the first layer unnormalised, the norm's axes.
"""

from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.heads import Drop, Head
from genjax.nets.pooling import check_sides
from genjax.ops.conv import general

Array = jax.Array
Conv = partial(nn.Conv, conv_general_dilated=general)


def uniform(std: float):
  """Uniform weights of the given standard deviation, as the released code draws all of its own."""
  bound = std * 3**0.5

  def init(key, shape, dtype=jnp.float32):
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return init


def layer_norm(name: str | None = None) -> nn.LayerNorm:
  """Moments over height, width and channels of one image; scale and offset per channel, in float32."""
  return nn.LayerNorm(epsilon=1e-5, reduction_axes=(-3, -2, -1), feature_axes=-1, dtype=jnp.float32, name=name)


class ConvNet(nn.Module):
  """Blocks of convolutions, each block closed by a 2x2 mean pooling, then one linear layer.

  Attributes:
    blocks: widths of the convolutions, block by block.
    std: of the initial weights.
    dtype: of the convolutions; norms and the logit are float32.
    head_classes, f_on: of the head, see nets/heads.py.
    dropout: dropout rate after the activations of the last block.
  """

  blocks: tuple[tuple[int, ...], ...] = ((32, 64), (64, 128), (128, 256), (256, 512))
  std: float = 0.02
  dtype: jnp.dtype = jnp.float32
  head_classes: int | None = None
  f_on: Literal["logits", "features"] = "logits"
  dropout: float = 0.0

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> tuple[Array, dict[str, Array]]:
    check_sides(images, len(self.blocks), "fewer blocks")
    x = images.astype(self.dtype)
    for number, widths in enumerate(self.blocks):
      for place, width in enumerate(widths):
        x = Conv(width, (3, 3), kernel_init=uniform(self.std), dtype=self.dtype)(x)
        if number or place:
          x = layer_norm()(x).astype(self.dtype)
        x = nn.swish(x)
        if number == len(self.blocks) - 1:
          x = Drop(self.dropout)(x, train)
      x = nn.avg_pool(x, (2, 2), (2, 2))
    head = Head(self.head_classes, self.f_on, uniform(self.std))
    nn.share_scope(self, head)  # its layers are named as the net's own, as they always were
    return head(x.reshape(x.shape[0], -1))

  @property
  def per_image(self) -> bool:
    return not self.dropout
