"""Layers whose weights are drawn from N(0, 1) and scaled when used: Adam's steps are then equal for all of them.

Papers   equalised learning rate  Karras et al. 2018, arXiv:1710.10196, section 4.1
         multiplier, gain         StyleGAN2, Karras et al. 2020, arXiv:1912.04958: effective weight =
                                  m * w / sqrt(fan in), w ~ N(0, 1) / m, bias = m * b, m the multiplier; the root of
                                  2 that a leaky ReLU costs is in `leaky`
Shapes   x [..., I] -> [..., O]; images [B, H, W, I] -> [B, H', W', O].
Checked  tests/nets/test_equalised.py: the effective weight and its gradient by hand.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from genjax.ops.conv import conv
from genjax.ops.resample import blur

Array = jax.Array


class EqualDense(nn.Module):
  """A linear layer with equalised learning rate.

  Attributes:
    features: of the result.
    multiplier: of the learning rate of weight and bias; 0.01 in a mapping network.
    bias: the effective bias at the start; None: there is no bias.
    dtype: of the product.
  """

  features: int
  multiplier: float = 1.0
  bias: float | None = 0.0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    kernel = equal_kernel(self, (x.shape[-1], self.features), self.multiplier)
    y = x.astype(self.dtype) @ kernel.astype(self.dtype)
    if self.bias is None:
      return y
    bias = self.multiplier * self.param("bias", nn.initializers.constant(self.bias / self.multiplier), (self.features,))
    return y + bias.astype(self.dtype).reshape((1,) * (y.ndim - 1) + (-1,))


class EqualConv(nn.Module):
  """A convolution with equalised learning rate; `down`: the image is blurred, then every second place is taken.

  Attributes:
    features: channels of the result.
    size: of the kernel's sides, odd.
    down: whether the result is half as high and wide.
    bias: whether there is one, from 0.
    dtype: of the convolution.
  """

  features: int
  size: int = 3
  down: bool = False
  bias: bool = True
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    kernel = equal_kernel(self, (self.size, self.size, x.shape[-1], self.features))
    x, edge, stride = x.astype(self.dtype), self.size // 2, 1
    if self.down:
      x, edge, stride = blur(x, (edge + 1, edge + 1)), 0, 2
    y = conv(x, kernel.astype(self.dtype), ((edge, edge), (edge, edge)), (stride, stride))
    if self.bias:
      y += self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)[None, None, None]
    return y


def equal_kernel(module: nn.Module, shape: tuple[int, ...], multiplier: float = 1.0) -> Array:
  """The effective kernel [..., I, O] of a parameter "kernel" of `module`, float32."""
  fan_in = 1
  for side in shape[:-1]:
    fan_in *= side
  return module.param("kernel", nn.initializers.normal(1 / multiplier), shape) * (multiplier * fan_in**-0.5)


def leaky(x: Array) -> Array:
  """Leaky ReLU of slope 0.2 times the root of 2, which keeps the second moment of a normal x to within 4 %."""
  return nn.leaky_relu(x, 0.2) * 2**0.5


def pixel_norm(x: Array) -> Array:
  """x over the root of its mean square along the last axis (+ 1e-8): [..., D]."""
  return x * lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-8)
