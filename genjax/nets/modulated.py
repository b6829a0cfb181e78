"""Convolutions that a style scales: modulated and demodulated, with noise, and the layer that makes an image.

A style s [B, I] multiplies the input channels of a kernel, w'_bio = s_bi w_io, and demodulation divides each output
channel by the length of its w'. Both are diagonal, so neither needs a kernel for each image: the input is scaled by s,
convolved with the one w, and the result scaled by 1 / sqrt(sum over k and i of (s_bi w_kio)^2 + 1e-8).

Papers   StyleGAN2  Karras et al. 2020, arXiv:1912.04958, section 2.2, eq 1 and 3
Departs  Without a stream "noise" the noise is fixed: it is drawn from the layer's place, the same for all images and
         all runs; the published nets keep it as a buffer. Training passes the stream or not, as its system decides: it
         is no train mode.
Shapes   x [B, H, W, I], w [B, W] -> [B, H, W, O], or [B, 2H, 2W, O] with `up`.
Checked  tests/nets/test_modulated.py: a kernel for each image, in numpy.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genjax.nets.equalised import EqualDense, equal_kernel, leaky
from genjax.ops.conv import conv, transposed
from genjax.ops.resample import blur, up

Array = jax.Array


class ModulatedConv(nn.Module):
  """A convolution without bias whose input channels a style scales.

  Attributes:
    features: channels of the result.
    size: of the kernel's sides, odd; 3 with `up`.
    up: whether the result is twice as high and wide: a transposed convolution of stride 2, then the blur.
    demodulate: whether output channels are divided by the length of their kernel.
    dtype: of the convolution; the style and the lengths are float32.
  """

  features: int
  size: int = 3
  up: bool = False
  demodulate: bool = True
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, w: Array) -> Array:
    style = EqualDense(x.shape[-1], bias=1.0, name="style")(w.astype(jnp.float32))
    kernel = equal_kernel(self, (self.size, self.size, x.shape[-1], self.features))
    x = x.astype(self.dtype) * style.astype(self.dtype)[:, None, None]
    if self.up:
      x = blur(transposed(x, kernel.swapaxes(2, 3).astype(self.dtype), ((0, 0), (0, 0)), (2, 2)), (1, 1), 4.0)
    else:
      edge = (self.size // 2, self.size // 2)
      x = conv(x, kernel.astype(self.dtype), (edge, edge))
    if not self.demodulate:
      return x
    squares = jnp.matmul(style**2, (kernel**2).sum((0, 1)), precision=lax.Precision.HIGHEST)
    return x * lax.rsqrt(squares + 1e-8).astype(self.dtype)[:, None, None]


class StyledConv(nn.Module):
  """A modulated 3x3 convolution, noise, bias, leaky ReLU.

  Attributes:
    features: channels of the result.
    place: of the layer in its net, which its fixed noise is drawn from.
    up: whether the result is twice as high and wide.
    dtype: of the convolution.
  """

  features: int
  place: int = 0
  up: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, w: Array) -> Array:
    x = ModulatedConv(self.features, up=self.up, dtype=self.dtype, name="conv")(x, w)
    noise = self._noise(x.shape) * self.param("strength", nn.initializers.zeros, ())
    bias = self.param("bias", nn.initializers.zeros, (self.features,))
    return leaky(x + noise.astype(x.dtype) + bias.astype(x.dtype)[None, None, None])

  def _noise(self, shape: tuple[int, ...]) -> Array:
    """[B, H, W, 1] of its own for each image, or [1, H, W, 1]."""
    if self.has_rng("noise"):
      return jax.random.normal(self.make_rng("noise"), (*shape[:3], 1))
    fixed = np.random.default_rng(self.place).normal(size=(1, *shape[1:3], 1))  # a constant: quicker to compile
    return jnp.asarray(fixed, jnp.float32)


class ToImage(nn.Module):
  """A modulated 1x1 convolution, not demodulated, with a bias, plus the image of the coarser layers: "to RGB".

  Attributes:
    channels: of the image.
    dtype: of the convolution; the image is float32.
  """

  channels: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, w: Array, coarser: Array | None = None) -> Array:
    """x [B, H, W, I], w [B, W], coarser [B, H/2, W/2, channels] or None -> [B, H, W, channels]."""
    y = ModulatedConv(self.channels, 1, demodulate=False, dtype=self.dtype, name="conv")(x, w).astype(jnp.float32)
    y += self.param("bias", nn.initializers.zeros, (self.channels,))[None, None, None]
    return y if coarser is None else y + up(coarser)
