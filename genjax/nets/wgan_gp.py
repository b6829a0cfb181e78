"""The residual critics of WGAN-GP: for 32x32 images (SVHN, CIFAR-10), and for 64x64 (CelebA, figure 2.3).

Papers   WGAN-GP  Gulrajani et al. 2017, arXiv:1704.00028, and its code, `gan_cifar_resnet` and `gan_64x64` ("Good")
         WINN     Lee et al., CVPR 2018; dissertation (UCSD 2022): figure 2.3, sections 2.5.4 and 2.5.5
Departs  A mean pooling and a 1x1 convolution commute: every shortcut pools first. A 3x3 convolution and its 2x2 mean
         are one 4x4 convolution of stride 2 with the same 3x3 weights (`pooled`): in a scan on CPU cores the 32x32
         critic's image gradient takes 0.7 of the time of two steps, its penalty's gradient 0.6.
         Its auxiliary classifier is our head.
         Odd sides lose their last row and column where they are pooled.
         Dropout, where asked for, comes before the second convolution of the last two units.
Shapes   images [B, H, W, C] float32 in [-1, 1] -> logits [B] float32, aux.
Checked  tests/nets/test_wgan_gp.py: 1,053,825 and 7,491,841 parameters, by hand; `pooled` against the two steps.
"""

from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.convnet import Conv, layer_norm
from genjax.nets.heads import Drop, Head
from genjax.nets.pooling import check_sides, mean_pool
from genjax.ops.conv import general

Array = jax.Array
GLOROT = nn.initializers.glorot_uniform()
HE = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")  # as that code draws it: 4 / (fan in + fan out)


class WganGp32(nn.Module):
  """Four units, two of them pooled, no norm; ReLU and a mean over the maps.

  Attributes:
    width: of every convolution.
    head_classes, f_on: of the head, see nets/heads.py.
    dropout: dropout rate inside the last two units.
    dtype: of the convolutions and the residual stream; the head is float32.
  """

  width: int = 128
  head_classes: int | None = None
  f_on: Literal["logits", "features"] = "logits"
  dropout: float = 0.0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> tuple[Array, dict[str, Array]]:
    check_sides(images, 2, "a net with fewer")
    unit = partial(Unit, self.width, dtype=self.dtype)
    x = unit(opening=True)(images.astype(self.dtype))
    x = unit()(x)
    x = unit(down=False, dropout=self.dropout)(x, train)
    x = unit(down=False, dropout=self.dropout)(x, train)
    features = nn.relu(x).astype(jnp.float32).mean((1, 2))
    return Head(self.head_classes, self.f_on, GLOROT)(features)

  @property
  def per_image(self) -> bool:
    return not self.dropout


class WganGp64(nn.Module):
  """A 3x3 stem, four pooled units with LayerNorm, then the head on all that is left.

  Attributes:
    width: of the stem.
    factors: widths of the units, in stems.
    head_classes, f_on: of the head, see nets/heads.py.
    dropout: dropout rate inside the last two units.
    dtype: of the convolutions and the residual stream; norms and head are float32.
  """

  width: int = 64
  factors: tuple[int, ...] = (2, 4, 8, 8)
  head_classes: int | None = None
  f_on: Literal["logits", "features"] = "logits"
  dropout: float = 0.0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> tuple[Array, dict[str, Array]]:
    count = len(self.factors)
    check_sides(images, count, f"fewer units than factors {tuple(self.factors)}")
    x = Conv(self.width, (3, 3), kernel_init=GLOROT, dtype=self.dtype)(images.astype(self.dtype))
    for number, factor in enumerate(self.factors):
      dropout = self.dropout if number >= count - 2 else 0.0
      x = Unit(factor * self.width, norm=True, dropout=dropout, dtype=self.dtype)(x, train)
    return Head(self.head_classes, self.f_on, GLOROT)(x.reshape(x.shape[0], -1))

  @property
  def per_image(self) -> bool:
    return not self.dropout


class Unit(nn.Module):
  """x + conv(relu(conv(relu(x)))), the sum pooled or not.

  Attributes:
    width: of the result.
    down: whether it is pooled.
    norm: LayerNorm before each ReLU, and no bias in the first convolution.
    opening: x is the image: no ReLU before the first convolution, which has the width of the result.
    dropout: dropout rate before the second convolution.
    dtype: of the convolutions and the result.
  """

  width: int
  down: bool = True
  norm: bool = False
  opening: bool = False
  dropout: float = 0.0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, train: bool = False) -> Array:
    middle = self.width if self.opening else x.shape[-1]
    y = x if self.opening else self._activated(x)
    y = Conv(middle, (3, 3), use_bias=not self.norm, kernel_init=HE, dtype=self.dtype)(y)
    y = Drop(self.dropout)(self._activated(y), train)
    conv = PooledConv if self.down else Conv
    y = conv(self.width, (3, 3), kernel_init=HE, dtype=self.dtype)(y)
    if self.down or x.shape[-1] != self.width:
      x = mean_pool(x) if self.down else x
      x = Conv(self.width, (1, 1), kernel_init=GLOROT, dtype=self.dtype, name="shortcut")(x)
    return x + y

  def _activated(self, x: Array) -> Array:
    return nn.relu(layer_norm()(x).astype(x.dtype) if self.norm else x)


def pooled(x: Array, w: Array, strides, padding, **more) -> Array:
  """A 3x3 convolution and the means of its 2x2 pixels, in one: each weight spread over the four that it comes to.

  flax's `conv_general_dilated` argument for a 3x3 convolution of stride 1 and padding "SAME".
  """
  if w.shape[:2] != (3, 3) or set(strides) != {1} or padding != "SAME":
    raise ValueError(f"pooled is for 3x3 weights, stride 1 and SAME; got {w.shape}, {strides} and {padding}")
  shifts = [((i, 1 - i), (j, 1 - j), (0, 0), (0, 0)) for i in (0, 1) for j in (0, 1)]
  spread = sum(jnp.pad(w, shift) for shift in shifts) / 4
  return general(x, spread, (2, 2), ((1, 1), (1, 1)), **more)


PooledConv = partial(nn.Conv, conv_general_dilated=pooled)
