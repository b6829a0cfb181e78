"""Layers whose weights keep the largest singular value that they started with, or have 1, or are free.

  "isn"   improved spectral normalisation: sigma(W_init) W / sigma(W)
  "sn"    spectral normalisation: W / sigma(W)
  "none"  W

Papers   ISN  ViTGAN, Lee et al. 2022, arXiv:2107.04589, eq 3.7 of the thesis
         SN   Miyato et al. 2018, arXiv:1802.05957, Algorithm 1
Departs  The power iteration starts from the first singular vector itself, so sigma is exact before the first step. The
         released code restarts it from one fixed vector in every pass, and forgets sigma(W_init) in its checkpoints.
State    collection "spectral": u [O] and, of "isn", sigma_init []. In training a layer makes one power iteration and
         writes u (`mutable=["spectral"]`), else it only measures along u. sigma_init is never written again.
Shapes   as flax's Dense and Conv. Parameters, sigma and u are float32; `dtype` is of the product.
Checked  tests/nets/test_improved_spectral.py: singular values by numpy's SVD.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from genjax.nets.equalised import equal_kernel
from genjax.ops.conv import conv
from genjax.ops.spectral import largest, singular

Array = jax.Array
Norm = Literal["isn", "sn", "none"]
START = nn.initializers.lecun_normal()


class NormedDense(nn.Module):
  """A linear layer.

  Attributes:
    features: of the result.
    norm: of the weights, see above.
    equalised: whether weights are drawn from N(0, 1) and scaled when used (equalised learning rate), or drawn small.
    bias: whether there is one, from 0.
    dtype: of the product.
    train: see above; without effect where the norm is "none".
  """

  features: int
  norm: Norm = "none"
  equalised: bool = True
  bias: bool = True
  dtype: jnp.dtype = jnp.float32
  train: bool = False

  @nn.compact
  def __call__(self, x: Array) -> Array:
    kernel = effective(self, (x.shape[-1], self.features), self.norm, self.equalised, self.train)
    y = x.astype(self.dtype) @ kernel.astype(self.dtype)
    return with_bias(self, y) if self.bias else y


class NormedConv(nn.Module):
  """A 3x3 convolution with a bias, its kernel seen as a matrix [9 I, O].

  Attributes:
    features: channels of the result.
    stride: of both axes; H and W become ceil(H / stride) and ceil(W / stride).
    norm, equalised, dtype, train: as of NormedDense.
  """

  features: int
  stride: int = 1
  norm: Norm = "none"
  equalised: bool = True
  dtype: jnp.dtype = jnp.float32
  train: bool = False

  @nn.compact
  def __call__(self, x: Array) -> Array:
    kernel = effective(self, (3, 3, x.shape[-1], self.features), self.norm, self.equalised, self.train)
    x, strides = x.astype(self.dtype), (self.stride, self.stride)
    padding = lax.padtype_to_pads(x.shape[1:3], (3, 3), strides, "SAME")
    return with_bias(self, conv(x, kernel.astype(self.dtype), tuple(padding), strides))


class Kernel(nn.Module):
  """Effective weights alone, for a layer that joins several before it multiplies; its scope is named as a layer's.

  Attributes:
    shape: of the weights [..., I, O].
    norm, equalised, train: as of NormedDense.
  """

  shape: tuple[int, ...]
  norm: Norm = "none"
  equalised: bool = True
  train: bool = False

  @nn.compact
  def __call__(self) -> Array:
    return effective(self, self.shape, self.norm, self.equalised, self.train)


def effective(module: nn.Module, shape: tuple[int, ...], norm: Norm, equalised: bool, train: bool) -> Array:
  """The weights [..., I, O] that a layer multiplies with, float32; only inside `module`, which keeps them."""
  if norm not in ("isn", "sn", "none"):
    raise ValueError(f"norm {norm!r}; use 'isn', 'sn' or 'none'")
  kernel = equal_kernel(module, shape) if equalised else module.param("kernel", START, shape)
  if norm == "none":
    return kernel
  first = None if module.has_variable("spectral", "u") else largest(kernel)
  u = module.variable("spectral", "u", lambda: first[1])
  iterate = train and first is None
  sigma, after = singular(kernel, u.value, steps=int(iterate))
  if iterate:
    u.value = after
  wanted = module.variable("spectral", "sigma_init", lambda: first[0]).value if norm == "isn" else 1.0
  return kernel * (wanted / jnp.where(sigma > 0, sigma, 1.0))


def with_bias(module: nn.Module, y: Array) -> Array:
  """y [..., O] plus a parameter of `module`."""
  bias = module.param("bias", nn.initializers.zeros, y.shape[-1:])
  return y + bias.astype(y.dtype).reshape((1,) * (y.ndim - 1) + (-1,))
