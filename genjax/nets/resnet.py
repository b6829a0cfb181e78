"""Residual critics with LayerNorm and swish: ResNet-32 of WINN's classifiers, ResNet-13 of its figure 2.8.

Papers   WINN    Lee et al., CVPR 2018; dissertation (UCSD 2022) sections 2.5.6 and 2.5.7, figure 2.8
         ResNet  He et al. 2016, arXiv:1512.03385 and 1603.05027 (pre-activation)
Departs  ResNet-32 is the released one, 463,877 parameters for MNIST: pre-activation units, the first of all without a
         norm of its own; a widening shortcut is a 2x2 mean and zero channels, half before and half after. Its L2
         terms never reached the loss, and are not here. Odd sides: the mean rounds up, as the strided convolution does.
         ResNet-13 was not released. Ours: the same units, counted without the linear layer: a stem and 3 stages of
         2 units of 2 convolutions. Widths 64, 128, 256: 2,733,633 parameters, near the 64x64 ConvNet's 2,354,177,
         which made the other CelebA pictures. No batch norm: a gradient penalty is each image's own.
         Dropout, where asked for, comes between the two convolutions of the last stage's units, as in Wide ResNets
         (Zagoruyko & Komodakis 2016, arXiv:1605.07146).
Shapes   images [B, H, W, C] float32 in [-1, 1], any H and W that survive the strides -> logits [B] float32, aux;
         features [B, widths[-1]], means over the last maps.
Checked  tests/nets/test_resnet.py: the parameter counts, by hand; the unit against numpy.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.convnet import Conv, layer_norm
from genjax.nets.heads import Drop, Head
from genjax.nets.pooling import check_sides, mean_pool

Array = jax.Array


class ResNet(nn.Module):
  """A 3x3 stem, stages of residual units, a mean over the maps, the head.

  Attributes:
    widths: of the stages; all but the first enter with stride 2.
    units: of each stage.
    head_classes, f_on: of the head, see nets/heads.py.
    dropout: dropout rate inside the units of the last stage.
    dtype: of the convolutions and the residual stream; norms and head are float32.
  """

  widths: tuple[int, ...]
  units: tuple[int, ...]
  head_classes: int | None = None
  f_on: Literal["logits", "features"] = "logits"
  dropout: float = 0.0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> tuple[Array, dict[str, Array]]:
    if len(self.widths) != len(self.units) or min(self.units) < 1:
      raise ValueError(f"units {self.units} for widths {self.widths}; use one number, at least 1, for each stage")
    check_sides(images, len(self.widths) - 1, f"fewer stages than widths {tuple(self.widths)}", up=True)
    x = _activated(_conv3x3(self.widths[0], self.dtype)(images.astype(self.dtype)))
    last = len(self.widths) - 1
    for stage, (width, units) in enumerate(zip(self.widths, self.units, strict=True)):
      for place in range(units):
        x = Unit(
          width,
          stride=2 if stage and not place else 1,
          activated=not stage and not place,
          dropout=self.dropout if stage == last else 0.0,
          dtype=self.dtype,
        )(x, train)
    features = _activated(x).astype(jnp.float32).mean((1, 2))
    return Head(self.head_classes, self.f_on, nn.initializers.lecun_uniform())(features)

  @property
  def per_image(self) -> bool:
    return not self.dropout


class ResNet32(ResNet):
  """The released classifier: 3 stages of 5 units."""

  widths: tuple[int, ...] = (16, 32, 64)
  units: tuple[int, ...] = (5, 5, 5)


class ResNet13(ResNet):
  """For 64x64 images: 3 stages of 2 units."""

  widths: tuple[int, ...] = (64, 128, 256)
  units: tuple[int, ...] = (2, 2, 2)


class Unit(nn.Module):
  """x + conv(swish(norm(conv(swish(norm(x)))))), at stride 1 or 2.

  Attributes:
    width: of both convolutions.
    stride: of the first.
    activated: whether x comes normed and activated already.
    dropout: dropout rate before the second convolution.
    dtype: of the convolutions and the result.
  """

  width: int
  stride: int = 1
  activated: bool = False
  dropout: float = 0.0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, train: bool = False) -> Array:
    y = x if self.activated else _activated(x)
    y = _conv3x3(self.width, self.dtype, self.stride)(y)
    y = Drop(self.dropout)(_activated(y), train)
    return _shortcut(x, self.width, self.stride) + _conv3x3(self.width, self.dtype)(y)


def _activated(x: Array) -> Array:
  return nn.swish(layer_norm()(x).astype(x.dtype))


def _conv3x3(width: int, dtype: jnp.dtype, stride: int = 1) -> nn.Conv:
  init = nn.initializers.he_normal()
  return Conv(width, (3, 3), (stride, stride), use_bias=False, kernel_init=init, dtype=dtype)


def _shortcut(x: Array, width: int, stride: int) -> Array:
  """x at the unit's stride and width, without parameters."""
  more = width - x.shape[-1]
  if more < 0:
    raise ValueError(f"a stage of width {width} after one of {x.shape[-1]}; use widths that do not shrink")
  x = mean_pool(x, up=True) if stride == 2 else x
  return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (more // 2, more - more // 2)))
