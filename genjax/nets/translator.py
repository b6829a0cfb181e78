"""Nets that translate images, and a critic of patches: those of CycleGAN.

Papers   CycleGAN  Zhu et al. 2017, arXiv:1703.10593, appendix 7.2; the generator is that of Johnson, Alahi & Fei-Fei
                   2016, arXiv:1603.08155: reflected edges, instance normalisation (Ulyanov et al. 2016)
         PatchGAN  Isola et al. 2017, arXiv:1611.07004: a logit for each of the 70x70 patches
Departs  Images are doubled by 4x4 transposed convolutions, the paper's are 3x3. The critic's last width has stride 1,
         as in the released code and as patches of 70x70 ask; the appendix says 2.
Shapes   Translator: images [B, H, W, C] -> [B, H, W, channels] in [-1, 1]; H and W are multiples of 2^halvings.
         PatchCritic: images -> (logits [B, h, w], aux {"features"}).
Checked  tests/nets/test_translator.py: the numbers of parameters, by hand
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.convnet import Conv
from genjax.nets.dcgan import EDGES, START, Doubling, grid_of

Array = jax.Array


class Translator(nn.Module):
  """Convolutions that halve the image, residual blocks, transposed convolutions that double it.

  Attributes:
    width: channels at full size; each halving doubles them.
    halvings: of the image.
    blocks: residual blocks at the smallest size; the paper has 6 for 128x128 images and 9 for larger ones.
    kernel: of the first and the last convolution.
    channels: of the result; None: as many as the image has.
    dtype: of the convolutions; norms and the result are float32.
  """

  width: int = 64
  halvings: int = 2
  blocks: int = 9
  kernel: int = 7
  channels: int | None = None
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array) -> Array:
    grid_of(images.shape[1:], self.halvings)
    widths = [self.width << level for level in range(self.halvings + 1)]
    x = self._act(self._reflected(self.width, self.kernel)(images.astype(self.dtype)))
    for width in widths[1:]:
      x = self._act(Conv(width, (3, 3), strides=2, padding=((1, 1), (1, 1)), **self._own())(x))
    for _ in range(self.blocks):
      y = self._act(self._reflected(widths[-1], 3)(x))
      x = x + _normal(self._reflected(widths[-1], 3)(y)).astype(self.dtype)
    for width in widths[-2::-1]:
      x = self._act(Doubling(width, dtype=self.dtype)(x))
    return jnp.tanh(self._reflected(self.channels or images.shape[-1], self.kernel)(x).astype(jnp.float32))

  def _own(self):
    return {"kernel_init": START, "dtype": self.dtype}

  def _act(self, x: Array) -> Array:
    return nn.relu(_normal(x)).astype(self.dtype)

  def _reflected(self, width: int, kernel: int) -> nn.Conv:
    return Conv(width, (kernel, kernel), padding="REFLECT", **self._own())


class PatchCritic(nn.Module):
  """Strided convolutions, then a logit for every place.

  Attributes:
    widths: channels of the convolutions; all but the last halve the image. All but the first are normalised.
    dtype: of the convolutions; norms and logits are float32.
  """

  widths: tuple[int, ...] = (64, 128, 256, 512)
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array) -> tuple[Array, dict[str, Array]]:
    x = images.astype(self.dtype)
    for number, width in enumerate(self.widths):
      strides = 2 if number < len(self.widths) - 1 else 1
      x = Conv(width, (4, 4), strides, padding=EDGES, kernel_init=START, dtype=self.dtype)(x)
      x = nn.leaky_relu(_normal(x) if number else x, 0.2).astype(self.dtype)
    logits = Conv(1, (4, 4), padding=EDGES, kernel_init=START, dtype=self.dtype)(x)
    return logits[..., 0].astype(jnp.float32), {"features": x.astype(jnp.float32)}


def _normal(x: Array) -> Array:
  """Instance normalisation in float32, without scale and offset: each channel of each image has mean 0, variance 1."""
  x = x.astype(jnp.float32)
  return (x - x.mean((1, 2), keepdims=True)) * jax.lax.rsqrt(x.var((1, 2), keepdims=True) + 1e-5)
