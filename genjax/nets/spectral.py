"""Spectral normalisation as layers: weights that are divided by their largest singular value.

Papers   SN-GAN  Miyato et al. 2018, arXiv:1802.05957
Shapes   as flax's Conv and Dense; the vector u [O] of each layer is in the collection "spectral". In training a layer
         makes one power iteration and writes it (`mutable=["spectral"]`), else it only measures along it.
Checked  tests/nets/test_resnet_gan.py, tests/systems/test_averages.py
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from genjax.nets.convnet import Conv
from genjax.ops.conv import conv
from genjax.ops.spectral import normalise, singular, start_vector

Array = jax.Array
Initializer = jax.nn.initializers.Initializer


class SpectralDense(nn.Module):
  """A linear layer with a bias.

  Attributes:
    features: of the result.
    kernel_init: of the weights.
    train: see above.
  """

  features: int
  kernel_init: Initializer = nn.initializers.lecun_normal()
  train: bool = False

  @nn.compact
  def __call__(self, x: Array) -> Array:
    kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
    bias = self.param("bias", nn.initializers.zeros, (self.features,))
    return x @ divided(self, kernel, self.train).astype(x.dtype) + bias.astype(x.dtype)[None]


class SpectralConv(nn.Module):
  """A convolution with a bias; its kernel is seen as a matrix [h * w * I, O].

  Attributes:
    features: channels of the result.
    kernel_size, strides, padding, kernel_init, dtype: as of flax's Conv; padding "SAME" or pairs of numbers.
    train: see above.
  """

  features: int
  kernel_size: tuple[int, int] = (3, 3)
  strides: tuple[int, int] = (1, 1)
  padding: str | tuple[tuple[int, int], tuple[int, int]] = "SAME"
  kernel_init: Initializer = nn.initializers.lecun_normal()
  dtype: jnp.dtype = jnp.float32
  train: bool = False

  @nn.compact
  def __call__(self, x: Array) -> Array:
    kernel = self.param("kernel", self.kernel_init, (*self.kernel_size, x.shape[-1], self.features))
    bias = self.param("bias", nn.initializers.zeros, (self.features,))
    padding = self.padding
    if isinstance(padding, str):
      padding = tuple(lax.padtype_to_pads(x.shape[1:3], self.kernel_size, self.strides, padding))
    y = conv(x.astype(self.dtype), divided(self, kernel, self.train).astype(self.dtype), padding, self.strides)
    return y + bias.astype(self.dtype)[None, None, None]


def divided(module: nn.Module, kernel: Array, train: bool) -> Array:
  """The kernel over its largest singular value, only inside `module`, which keeps the vector."""
  u = module.variable("spectral", "u", lambda: start_vector(module.make_rng("params"), kernel))
  iterate = train or module.is_initializing()
  kernel, after = normalise(kernel, u.value, steps=int(iterate))
  if iterate:
    u.value = after
  return kernel


def iterated(params: Mapping[str, Any], spectral: Mapping[str, Any]) -> dict[str, Any]:
  """The collection "spectral" of a net, here or in improved_spectral.py, after one power iteration on these weights.

  The vector "u" of a layer is that of its "kernel"; whatever else a layer keeps, such as "sigma_init", stays.
  """
  after = {}
  for name, value in spectral.items():
    if isinstance(value, Mapping):
      after[name] = iterated(params[name], value)
    else:
      after[name] = singular(params["kernel"], value)[1].astype(value.dtype) if name == "u" else value
  return after


def layers(spectral: bool, train: bool) -> tuple[Callable[..., nn.Module], Callable[..., nn.Module]]:
  """(convolution, linear layer): spectrally normalised, or plain."""
  return (partial(SpectralConv, train=train), partial(SpectralDense, train=train)) if spectral else (Conv, nn.Dense)
