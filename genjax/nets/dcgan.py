"""DCGAN: a generator of transposed convolutions, a critic of strided ones.

Papers   DCGAN  Radford, Metz & Chintala 2016, arXiv:1511.06434: all convolutions stride 2, batch normalisation except
         at the generator's output and the critic's input, ReLU and leaky ReLU (0.2), tanh; weights N(0, 0.02^2)
Departs  4x4 kernels, which stride 2 covers evenly (the paper's figure: 5x5). No sigmoid: a critic gives logits. Widths
         and their number are free, so small images do. Other norms for objectives with a gradient penalty, which
         has no meaning where images of a batch are mixed (WGAN-GP, section 4).
Shapes   latent [B, Z] -> images [B, H, W, C] in [-1, 1]; images -> (logits [B], aux); H and W are multiples of
         2^len(widths). Both take labels [B] too.
Checked  tests/nets/test_gan_nets.py: the transposed convolution against lax's own, parameter counts by hand.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.convnet import layer_norm
from genjax.nets.discrimination import Discrimination
from genjax.nets.labels import beside, logit
from genjax.nets.spectral import layers
from genjax.ops.conv import transposed

Array = jax.Array
Initializer = jax.nn.initializers.Initializer
Norm = Literal["batch", "layer", "none"]
CriticNorm = Literal["batch", "layer", "none", "spectral"]
EDGES = ((1, 1), (1, 1))
START = nn.initializers.normal(0.02)


class DCGANGenerator(nn.Module):
  """A grid from one linear layer, doubled by each transposed convolution.

  Attributes:
    shape: H, W, C.
    widths: channels of the grid and of every layer before the last; each is followed by one doubling.
    norm: of the hidden layers.
    classes: number of labels of the data, for calls that pass labels.
    dtype: of the convolutions.
  """

  shape: tuple[int, int, int]
  widths: tuple[int, ...] = (1024, 512, 256, 128)
  norm: Norm = "batch"
  classes: int | None = None
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, latent: Array, labels: Array | None = None, *, train: bool = False) -> Array:
    height, width = grid_of(self.shape, len(self.widths))
    x = nn.Dense(height * width * self.widths[0], kernel_init=START)(beside(latent, labels, self.classes))
    x = x.reshape(-1, height, width, self.widths[0]).astype(self.dtype)
    for channels in (*self.widths[1:], self.shape[2]):
      x = nn.relu(normalise(x, self.norm, train))
      x = Doubling(channels, dtype=self.dtype)(x)
    return jnp.tanh(x.astype(jnp.float32))


class DCGANCritic(nn.Module):
  """Strided convolutions, then one number.

  Attributes:
    widths: channels of the convolutions, each halves the image.
    norm: of all but the first; "spectral": of all weights instead (SN-GAN).
    classes: number of labels of the data, for calls that pass labels.
    kernels: of minibatch discrimination before the last layer; 0: none.
    dtype: of the convolutions.
  """

  widths: tuple[int, ...] = (128, 256, 512, 1024)
  norm: CriticNorm = "batch"
  classes: int | None = None
  kernels: int = 0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, images: Array, labels: Array | None = None, *, train: bool = False
  ) -> tuple[Array, dict[str, Array]]:
    grid_of(images.shape[1:], len(self.widths))
    spectral = self.norm == "spectral"
    convolution, _ = layers(spectral, train)
    x = images.astype(self.dtype)
    for number, channels in enumerate(self.widths):
      x = convolution(channels, (4, 4), strides=(2, 2), padding=EDGES, kernel_init=START, dtype=self.dtype)(x)
      if number and not spectral:
        x = normalise(x, self.norm, train)
      x = nn.leaky_relu(x, 0.2)
    features = x.reshape(x.shape[0], -1).astype(jnp.float32)
    joined = Discrimination(self.kernels)(features) if self.kernels else features
    logits = logit(joined, labels, self.classes, kernel_init=START, spectral=spectral, train=train)
    return logits, {"features": features}

  @property
  def per_image(self) -> bool:
    return self.norm != "batch" and not self.kernels


class Doubling(nn.Module):
  """A transposed 4x4 convolution of stride 2: exactly twice as high and wide.

  Attributes:
    channels: of the result.
    dtype: of the convolution.
  """

  channels: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    kernel = self.param("kernel", START, (4, 4, self.channels, x.shape[-1]))
    bias = self.param("bias", nn.initializers.zeros, (self.channels,))
    doubled = transposed(x.astype(self.dtype), kernel.astype(self.dtype), EDGES, (2, 2))
    return doubled + bias.astype(self.dtype)[None, None, None]


def normalise(x: Array, norm: Norm, train: bool) -> Array:
  """The norm by name, only inside a flax module."""
  match norm:
    case "batch":
      return BatchNorm(_around_one)(x, train)
    case "layer":
      return layer_norm()(x).astype(x.dtype)
    case "none":
      return x
  raise ValueError(f"norm {norm!r}; use 'batch', 'layer' or 'none'")


class BatchNorm(nn.Module):
  """Batch normalisation: in training by the statistics of the batch, else by their running averages.

  Attributes:
    scale_init: of the scale; DCGAN's code draws it around 1.
  """

  scale_init: Initializer = nn.initializers.ones

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    norm = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=jnp.float32, scale_init=self.scale_init)
    return norm(x).astype(x.dtype)


def _around_one(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
  return 1 + 0.02 * jax.random.normal(key, shape, dtype)


def grid_of(shape: tuple[int, ...], halvings: int) -> tuple[int, int]:
  """Height and width after as many halvings."""
  height, width = shape[:2]
  times = 2**halvings
  if height % times or width % times or min(height, width) < times:
    raise ValueError(
      f"images {height}x{width} are not {times} times a grid; use another number of widths than {halvings}"
    )
  return height // times, width // times
