"""Fully connected generator and critic: for points, and for images small enough to need no convolution.

Papers   GAN  Goodfellow et al. 2014, arXiv:1406.2661; WGAN-GP  arXiv:1704.00028, appendix: three layers of 512 for its
         toy sets
Shapes   latent [B, Z] -> images [B, H, W, C]; images -> (logits [B], aux); both take labels [B] too.
Checked  tests/nets/test_gan_nets.py
"""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.activations import ACTIVATIONS, Activation
from genjax.nets.discrimination import Discrimination
from genjax.nets.labels import beside, logit
from genjax.nets.spectral import layers

Array = jax.Array


class MLPGenerator(nn.Module):
  """Hidden layers, then a linear one to the image.

  Attributes:
    shape: H, W, C.
    widths: of the hidden layers.
    activation: of the hidden layers, by its name in activations.py.
    bounded: tanh at the end, so that images are in [-1, 1]; without it they are real numbers.
    classes: number of labels of the data, for calls that pass labels.
    dtype: of the hidden layers.
  """

  shape: tuple[int, int, int]
  widths: tuple[int, ...] = (512, 512, 512)
  activation: Activation = "relu"
  bounded: bool = True
  classes: int | None = None
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, latent: Array, labels: Array | None = None) -> Array:
    x = hidden(beside(latent, labels, self.classes), self.widths, self.activation, dtype=self.dtype)
    x = nn.Dense(math.prod(self.shape))(x.astype(jnp.float32)).reshape(-1, *self.shape)
    return jnp.tanh(x) if self.bounded else x


class MLPCritic(nn.Module):
  """Hidden layers, then one number.

  Attributes:
    widths: of the hidden layers.
    activation: of the hidden layers, by its name in activations.py.
    spectral: whether all weights are spectrally normalised (SN-GAN).
    classes: number of labels of the data, for calls that pass labels.
    kernels: of minibatch discrimination before the last layer; 0: none.
    dtype: of the hidden layers; features and logits are float32.
  """

  widths: tuple[int, ...] = (512, 512, 512)
  activation: Activation = "relu"
  spectral: bool = False
  classes: int | None = None
  kernels: int = 0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, images: Array, labels: Array | None = None, *, train: bool = False
  ) -> tuple[Array, dict[str, Array]]:
    flat = images.reshape(images.shape[0], -1)
    mode = {"spectral": self.spectral, "train": train, "dtype": self.dtype}
    features = hidden(flat, self.widths, self.activation, **mode).astype(jnp.float32)
    joined = Discrimination(self.kernels)(features) if self.kernels else features
    return logit(joined, labels, self.classes, spectral=self.spectral, train=train), {"features": features}

  @property
  def per_image(self) -> bool:
    return not self.kernels


def hidden(
  x: Array,
  widths: tuple[int, ...],
  activation: Activation,
  *,
  spectral: bool = False,
  train: bool = False,
  dtype: jnp.dtype = jnp.float32,
) -> Array:
  """Hidden layers of these widths on x [B, D] in `dtype`, only inside a flax module."""
  if activation not in ACTIVATIONS:
    raise ValueError(f"activation {activation!r}; use one of {', '.join(ACTIVATIONS)}")
  _, dense = layers(spectral, train)
  dense = dense if spectral else partial(dense, dtype=dtype)  # a spectral layer's is that of x
  x = x.astype(dtype)
  for width in widths:
    x = ACTIVATIONS[activation](dense(width, kernel_init=nn.initializers.he_normal())(x))
  return x
