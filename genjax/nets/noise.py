"""Where chains start: p0, images of a random convolutional decoder that is never trained, or of a Gaussian.

Papers   WINN  Lee et al., CVPR 2018, "Appendix D" (as in the released notebooks; the appendix was not published)
Departs  Sizes other than 64: the decoder starts from the smallest grid of at least 4 that doubling leads from (28: 4,
         7, 14, 28), its widths halve as in the original. By default each call draws a new decoder, as the released
         code does at test time; it keeps one for all of training (`decoder_seed` = a number).
Shapes   (key, n) -> images [n, H, W, C] float32 in [-1, 1].
Checked  tests/nets/test_noise.py: range, 4,306,947 parameters at 64x64, min-max per image.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.convnet import layer_norm, uniform

Array = jax.Array
Noise = Callable[[Array, int], Array]


class RandomDecoder(nn.Module):
  """conv5x5, nearest upsampling, LayerNorm, repeated until the size is reached; linear throughout.

  Attributes:
    shape: H, W, C of the images.
    width: channels of the latent grid; the released code has 512.
  """

  shape: tuple[int, int, int]
  width: int = 512

  @nn.compact
  def __call__(self, latent: Array) -> Array:
    *sizes, last = grids(self.shape[:2])[1:]
    x = latent
    for stage, size in enumerate(sizes, 1):
      x = nn.Conv(max(self.width >> stage, 1), (5, 5), kernel_init=uniform(0.1))(x)
      x = layer_norm()(_nearest(x, size))
    x = nn.Conv(self.shape[2], (5, 5), kernel_init=uniform(0.1))(x)
    return _nearest(x, last)


def grids(size: tuple[int, int]) -> list[tuple[int, int]]:
  """The sizes of the decoder's stages, from the latent grid up: 64 -> 4, 8, 16, 32, 64."""
  sizes = [size]
  while max(sizes[0]) > 4:
    sizes.insert(0, tuple(max(-(-side // 2), min(4, side)) for side in sizes[0]))
  return sizes if len(sizes) > 1 else sizes * 2


def decoder(shape: tuple[int, int, int], *, width: int = 512, decoder_seed: int | None = None) -> Noise:
  """p0 of Appendix D: uniform latents through a random decoder, each image stretched to [-1, 1].

  Images of one call share a decoder, so a caller who wants many kinds of noise calls it in small batches.
  """
  net = RandomDecoder(shape, width)
  grid = (*grids(shape[:2])[0], width)

  def noise(key: Array, n: int) -> Array:
    key_net, key_latent = jax.random.split(key)
    if decoder_seed is not None:
      key_net = jax.random.key(decoder_seed)
    latent = jax.random.uniform(key_latent, (n, *grid), minval=-1.0, maxval=1.0)
    images = net.apply(net.init(key_net, latent[:1]), latent)
    low = images.min((1, 2, 3), keepdims=True)
    high = images.max((1, 2, 3), keepdims=True)
    return jnp.clip((images - low) / jnp.maximum(high - low, 1e-12) * 2 - 1, -1, 1)

  return noise


def gaussian(shape: tuple[int, int, int], *, std: float = 0.3) -> Noise:
  """p0 as a Gaussian of mean 0, clipped to [-1, 1]; std 0.3 as in the released code."""
  return lambda key, n: jnp.clip(std * jax.random.normal(key, (n, *shape)), -1, 1)


def _nearest(x: Array, size: tuple[int, int]) -> Array:
  return jax.image.resize(x, (x.shape[0], *size, x.shape[3]), "nearest")
