"""Encoders, from images to features, and decoders, from latents to images: fully connected ones and convolutional ones.

Papers   VAE    Kingma & Welling 2014, arXiv:1312.6114, appendix C: one hidden layer with tanh, 500 units for MNIST
         pooling, upsampling  Zeiler & Fergus 2014, arXiv:1311.2901, simplified as for autoencoders
         DCGAN  Radford, Metz & Chintala 2016, arXiv:1511.06434: 4x4 convolutions of stride 2, weights N(0, 0.02^2)
Departs  Mean and log variance of the latents are linear in an encoder's features; systems/vae.py adds these two layers.
         The convolutional nets have no batch normalisation, so an image's code does not depend on its batch.
Shapes   encoder: images [B, H, W, C] -> features [B, D]; decoder: latents [B, Z] -> real numbers [B, H, W, C] float32,
         which the likelihood reads (logits or means). Convolutional: H and W are multiples of 2^len(widths).
Checked  tests/nets/test_coder.py
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.activations import Activation
from genjax.nets.convnet import Conv
from genjax.nets.dcgan import EDGES, START, Doubling, grid_of
from genjax.nets.mlp import hidden
from genjax.nets.pooling import max_pool

Array = jax.Array


class MLPEncoder(nn.Module):
  """Hidden layers on the flat image; the last hidden layer is the features.

  Attributes:
    widths: of the hidden layers.
    activation: of the hidden layers.
    dtype: of the hidden layers; the features are float32.
  """

  widths: tuple[int, ...] = (500,)
  activation: Activation = "tanh"
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array) -> Array:
    flat = images.reshape(images.shape[0], -1)
    return hidden(flat, self.widths, self.activation, dtype=self.dtype).astype(jnp.float32)


class MLPDecoder(nn.Module):
  """Hidden layers, then a linear layer to the image.

  Attributes:
    shape: H, W, C.
    widths: of the hidden layers.
    activation: of the hidden layers.
    dtype: of the hidden layers; the image is float32.
  """

  shape: tuple[int, int, int]
  widths: tuple[int, ...] = (500,)
  activation: Activation = "tanh"
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, latent: Array) -> Array:
    x = hidden(latent, self.widths, self.activation, dtype=self.dtype).astype(jnp.float32)
    return nn.Dense(math.prod(self.shape))(x).reshape(-1, *self.shape)


class ConvEncoder(nn.Module):
  """Strided convolutions with ReLU, then a hidden layer, whose units are the features.

  Attributes:
    widths: channels of the convolutions; each halves the image.
    features: D.
    dtype: of the convolutions.
  """

  widths: tuple[int, ...] = (32, 64)
  features: int = 256
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array) -> Array:
    halved = lambda x, channels: nn.relu(Conv(channels, (4, 4), strides=(2, 2), padding=EDGES, dtype=self.dtype)(x))
    return _features(self, images, halved)


def _features(net: nn.Module, images: Array, halved: Callable[[Array, int], Array]) -> Array:
  """The features [B, D] of an encoder whose layers are `halved`: (images, channels) -> images of half the side."""
  grid_of(images.shape[1:], len(net.widths))
  x = images.astype(net.dtype)
  for channels in net.widths:
    x = halved(x, channels)
  return nn.relu(nn.Dense(net.features)(x.reshape(x.shape[0], -1).astype(jnp.float32)))


class PoolingEncoder(nn.Module):
  """3x3 convolutions with ReLU, each followed by the greatest of 2x2, then a hidden layer: the features.

  Attributes:
    widths: channels of the convolutions; each halves the image.
    features: D.
    dtype: of the convolutions.
  """

  widths: tuple[int, ...] = (32, 64)
  features: int = 256
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array) -> Array:
    halved = lambda x, channels: max_pool(nn.relu(Conv(channels, (3, 3), dtype=self.dtype)(x)))
    return _features(self, images, halved)


class UpsamplingDecoder(nn.Module):
  """A linear layer to a grid, then 3x3 convolutions, before each of which every pixel becomes 2x2 of it.

  The unpooling of a DeconvNet puts each number back to the place that the encoder's pooling took it from; this one
  needs no places, so it decodes a code alone.

  Attributes:
    shape: H, W, C.
    widths: channels of the grid and of the hidden layers; ReLU follows each.
    dtype: of the convolutions.
  """

  shape: tuple[int, int, int]
  widths: tuple[int, ...] = (64, 32)
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, latent: Array) -> Array:
    height, width = grid_of(self.shape, len(self.widths))
    first = nn.Dense(height * width * self.widths[0])
    doubled = lambda x, channels: Conv(channels, (3, 3), dtype=self.dtype)(x.repeat(2, 1).repeat(2, 2))
    return _image(self, first(latent).reshape(-1, height, width, self.widths[0]), doubled)


class ConvDecoder(nn.Module):
  """A linear layer to a grid, then transposed convolutions, each of which doubles the grid.

  Attributes:
    shape: H, W, C.
    widths: channels of the grid and of the hidden layers; ReLU follows each.
    dtype: of the convolutions.
  """

  shape: tuple[int, int, int]
  widths: tuple[int, ...] = (64, 32)
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, latent: Array) -> Array:
    height, width = grid_of(self.shape, len(self.widths))
    first = nn.Dense(height * width * self.widths[0], kernel_init=START)
    doubled = lambda x, channels: Doubling(channels, dtype=self.dtype)(x)
    return _image(self, first(latent).reshape(-1, height, width, self.widths[0]), doubled)


def _image(net: nn.Module, x: Array, doubled: Callable[[Array, int], Array]) -> Array:
  """The image of a decoder from its first grid, by layers (images, channels) -> images of twice the side."""
  x = x.astype(net.dtype)
  for channels in (*net.widths[1:], net.shape[2]):
    x = doubled(nn.relu(x), channels)
  return x.astype(jnp.float32)
