"""DenseNet-20 with LayerNorm: the third kind of critic that WINN's figure 2.8 samples from.

Papers   WINN      Lee et al., CVPR 2018; dissertation (UCSD 2022) section 2.5.7, figure 2.8
         DenseNet  Huang et al. 2017, arXiv:1608.06993
Departs  The net was not released. Ours is DenseNet's basic form (no bottleneck, no compression) for 64x64 images,
         counted as our ResNet-13, without the linear layer: a stem, 4 blocks of 4 layers, 3 transitions: 20
         convolutions. Growth 32 and a stem of 64, as in the paper's nets for large images: 1,755,905 parameters.
         LayerNorm for batch norm, as a gradient penalty is each image's own; swish, as in WINN's released nets.
         Dropout, where asked for, comes after each convolution of the last block; the paper's after all.
Shapes   images [B, H, W, C] float32 in [-1, 1] -> logits [B] float32, aux; features: means over the last maps.
Checked  tests/nets/test_densenet.py: the parameter count, by hand.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.convnet import Conv, layer_norm
from genjax.nets.heads import Drop, Head
from genjax.nets.pooling import check_sides, mean_pool

Array = jax.Array


class DenseNet(nn.Module):
  """Blocks in which every layer reads all earlier ones; a 1x1 convolution and 2x2 means between blocks.

  Attributes:
    layers: of each block.
    growth: channels that a layer adds.
    stem: channels of the first convolution.
    head_classes, f_on: of the head, see nets/heads.py.
    dropout: dropout rate after the convolutions of the last block.
    dtype: of the convolutions; norms and head are float32.
  """

  layers: tuple[int, ...] = (4, 4, 4, 4)
  growth: int = 32
  stem: int = 64
  head_classes: int | None = None
  f_on: Literal["logits", "features"] = "logits"
  dropout: float = 0.0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> tuple[Array, dict[str, Array]]:
    check_sides(images, len(self.layers) - 1, f"fewer blocks than layers {tuple(self.layers)}")
    last = len(self.layers) - 1
    x = self._conv(self.stem, 3)(images.astype(self.dtype))
    for block, layers in enumerate(self.layers):
      for _ in range(layers):
        y = self._conv(self.growth, 3)(_activated(x))
        x = jnp.concatenate([x, Drop(self.dropout)(y, train) if block == last else y], -1)
      if block < last:
        x = mean_pool(self._conv(x.shape[-1], 1)(_activated(x)))
    features = _activated(x).astype(jnp.float32).mean((1, 2))
    return Head(self.head_classes, self.f_on)(features)

  @property
  def per_image(self) -> bool:
    return not self.dropout

  def _conv(self, width: int, size: int) -> nn.Conv:
    init = nn.initializers.he_normal()
    return Conv(width, (size, size), use_bias=False, kernel_init=init, dtype=self.dtype)


def _activated(x: Array) -> Array:
  return nn.swish(layer_norm()(x).astype(x.dtype))
