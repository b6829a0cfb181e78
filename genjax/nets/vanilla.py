"""The vanilla 4-layer CNN of WINN's classifiers: a smaller DCGAN discriminator.

Papers   WINN   Lee et al., CVPR 2018; dissertation (UCSD 2022) section 2.5.6: "vanilla network architecture resembling"
                ICN's "which has less filters and parameters"; ICN "adopted DCGAN discriminator"
         ICN    Jin, Lazarow & Tu, NIPS 2017;  DCGAN  Radford et al. 2016, arXiv:1511.06434
Departs  The net was not released. Ours: DCGAN's four 5x5 convolutions of stride 2, half as many filters (32 to 256, not
         64 to 512), and as in the two nets that were released, swish for leaky ReLU, LayerNorm for batch norm (none on
         the first layer), uniform weights of deviation 0.02. DCGAN's first layer has no norm either.
         Dropout, where asked for, comes after the activations of the last two layers.
Shapes   images [B, H, W, C] float32 in [-1, 1] -> logits [B] float32, aux. 28x28: 14, 7, 4, 2.
Checked  tests/nets/test_vanilla.py: 1,087,637 parameters for MNIST, by hand.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.convnet import Conv, layer_norm, uniform
from genjax.nets.heads import Drop, Head
from genjax.nets.pooling import check_sides

Array = jax.Array


class VanillaNet(nn.Module):
  """Strided convolutions, then the head on all that is left.

  Attributes:
    widths, strides: of the layers, one each. Small images need fewer strides of 2: (1, 2, 2, 2) takes 8x8.
    std: of the initial weights.
    head_classes, f_on: of the head, see nets/heads.py.
    dropout: dropout rate after the last two layers.
    dtype: of the convolutions; norms and head are float32.
  """

  widths: tuple[int, ...] = (32, 64, 128, 256)
  strides: tuple[int, ...] = (2, 2, 2, 2)
  std: float = 0.02
  head_classes: int | None = None
  f_on: Literal["logits", "features"] = "logits"
  dropout: float = 0.0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> tuple[Array, dict[str, Array]]:
    if len(self.widths) != len(self.strides) or set(self.strides) - {1, 2}:
      raise ValueError(f"strides {self.strides} for widths {self.widths}; use one stride, 1 or 2, for each width")
    check_sides(images, self.strides.count(2), f"fewer 2s in strides {tuple(self.strides)}", up=True)
    x = images.astype(self.dtype)
    for number, (width, stride) in enumerate(zip(self.widths, self.strides, strict=True)):
      x = Conv(width, (5, 5), (stride, stride), kernel_init=uniform(self.std), dtype=self.dtype)(x)
      if number:
        x = layer_norm()(x).astype(self.dtype)
      x = nn.swish(x)
      if number >= len(self.widths) - 2:
        x = Drop(self.dropout)(x, train)
    return Head(self.head_classes, self.f_on, uniform(self.std))(x.reshape(x.shape[0], -1))

  @property
  def per_image(self) -> bool:
    return not self.dropout
