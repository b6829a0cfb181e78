"""Layers that can be run backwards, each with the logarithm of its Jacobian's determinant: the parts of a flow.

Papers   Glow     Kingma & Dhariwal 2018, arXiv:1807.03039, table 1: actnorm, the invertible 1x1 convolution by its LU
                  form (eq 10 and 11), affine coupling
         RealNVP  Dinh, Sohl-Dickstein & Bengio 2017, arXiv:1605.08803, eq 9: coupling by a mask
Departs  Glow's released code is followed where it differs from the paper: a coupling scales by sigmoid(h + 2) after it
         shifts, and the last convolution of its net has a factor exp(3 f) for each channel. Its padding has a channel
         that marks the border; here it is zeros.
         RealNVP: actnorm in place of batch normalisation, so that the density of an image does not depend on its batch;
         residual nets with LayerNorm over channels.
Shapes   Every layer: (x [B, H, W, C] float32, reverse=False) -> (y of x's shape, log |det dy/dx| [B]). With `reverse` x
         is what the layer gave, y what it was given, and the log-determinant that of the inverse.
Init     Depends on the data: `init` of a net that has an ActNorm wants a batch as the net will see it, whose channels
         then leave each ActNorm with mean 0 and deviation 1. A batch that is split over devices counts as one.
Checked  tests/nets/test_bijections.py: inverses, log-determinants against jax.jacobian's, the first batch's moments
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import lu, solve_triangular

from genjax.nets.convnet import Conv

Array = jax.Array
Result = tuple[Array, Array]
EXACT = lax.Precision.HIGHEST
SMALL = nn.initializers.normal(0.05)
_CONSTANT = 1e-6  # added to the deviation of a channel that does not vary


class ActNorm(nn.Module):
  """y = (x + bias) exp(log_scale), one of each for a channel; they start so that the first batch is standardised."""

  @nn.compact
  def __call__(self, x: Array, reverse: bool = False) -> Result:
    axes = tuple(range(x.ndim - 1))
    bias = self.param("bias", lambda _: -x.astype(jnp.float32).mean(axes))
    log_scale = self.param("log_scale", lambda _: -jnp.log(x.astype(jnp.float32).std(axes) + _CONSTANT))
    log_det = jnp.broadcast_to(log_scale.sum() * (x.shape[1] * x.shape[2]), x.shape[:1])
    shift, scale = bias[None, None, None], jnp.exp(log_scale)[None, None, None]
    return (x / scale - shift, -log_det) if reverse else ((x + shift) * scale, log_det)


class LU(NamedTuple):
  """A matrix W = P L (U + diag(sign exp(log_scale))), L with ones on its diagonal, U with zeros."""

  order: Array  # [C] int32: row i of W is row order[i] of the product without P
  sign: Array  # [C] int32
  log_scale: Array
  lower: Array
  upper: Array


class InvertibleConv(nn.Module):
  """A 1x1 convolution by a matrix in LU form, at first a random rotation. P and the signs never change."""

  @nn.compact
  def __call__(self, x: Array, reverse: bool = False) -> Result:
    channels = x.shape[-1]
    start = decomposed(self.make_rng("params"), channels) if self.is_initializing() else _blank(channels)
    fixed = [self.variable("fixed", name, lambda name=name: getattr(start, name)).value for name in LU._fields[:2]]
    learned = [self.param(name, lambda _, name=name: getattr(start, name)) for name in LU._fields[2:]]
    form = LU(*fixed, *learned)
    log_det = jnp.broadcast_to(form.log_scale.sum() * (x.shape[1] * x.shape[2]), x.shape[:1])
    matrix, log_det = (inverse_of(form), -log_det) if reverse else (matrix_of(form), log_det)
    return jnp.einsum("bhwi,oi->bhwo", x, matrix, precision=EXACT), log_det


def decomposed(key: Array, channels: int) -> LU:
  """The LU form of a random rotation."""
  rotation, _ = jnp.linalg.qr(jax.random.normal(key, (channels, channels)))
  permutation, lower, upper = lu(rotation)
  diagonal = jnp.diag(upper)
  order, sign = permutation.argmax(1).astype(jnp.int32), jnp.sign(diagonal).astype(jnp.int32)
  return LU(order, sign, jnp.log(jnp.abs(diagonal)), jnp.tril(lower, -1), jnp.triu(upper, 1))


def matrix_of(form: LU) -> Array:
  """W [C, C]."""
  lower, upper = _triangles(form)
  return jnp.matmul(lower, upper, precision=EXACT)[form.order]


def inverse_of(form: LU) -> Array:
  """The inverse of W, by two triangular solves."""
  lower, upper = _triangles(form)
  inverse = solve_triangular(upper, solve_triangular(lower, jnp.eye(len(lower)), lower=True, unit_diagonal=True))
  return inverse[:, form.order]


def _triangles(form: LU) -> tuple[Array, Array]:
  lower = jnp.tril(form.lower, -1) + jnp.eye(len(form.lower))
  return lower, jnp.triu(form.upper, 1) + jnp.diag(form.sign * jnp.exp(form.log_scale))


def _blank(channels: int) -> LU:
  """Shapes and types, for `param`, which compares them with what it has."""
  vector, matrix = jnp.zeros(channels), jnp.zeros((channels, channels))
  return LU(vector.astype(jnp.int32), vector.astype(jnp.int32), vector, matrix, matrix)


class ZeroConv(nn.Module):
  """A 3x3 convolution that gives 0 at first, times exp(3 f) for each channel; float32 comes out.

  Attributes:
    width: channels of the result.
    dtype: of the convolution.
  """

  width: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    zeros = nn.initializers.zeros
    y = Conv(self.width, (3, 3), kernel_init=zeros, dtype=self.dtype)(x.astype(self.dtype)).astype(jnp.float32)
    return y * jnp.exp(3 * self.param("log_factor", zeros, (1, 1, 1, self.width)))


class CouplingNet(nn.Module):
  """Glow's net of a coupling: 3x3 and 1x1 convolutions, each with actnorm and ReLU, and a 3x3 one that starts at 0.

  Attributes:
    width: of the hidden layers.
    channels: of the result.
    dtype: of the convolutions.
  """

  width: int
  channels: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    x = x.astype(self.dtype)
    for side in (3, 1):
      x = Conv(self.width, (side, side), use_bias=False, kernel_init=SMALL, dtype=self.dtype)(x)
      x = nn.relu(ActNorm()(x)[0]).astype(self.dtype)
    return ZeroConv(self.channels, self.dtype)(x)


class Coupling(nn.Module):
  """The second half of the channels is shifted and scaled by a net of the first half, which stays.

  Attributes:
    width: of the net's hidden layers.
    dtype: of the net.
  """

  width: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, reverse: bool = False) -> Result:
    kept, changed = jnp.split(x, 2, -1)
    shift, scale = jnp.split(CouplingNet(self.width, 2 * changed.shape[-1], self.dtype)(kept), 2, -1)
    log_scale = nn.log_sigmoid(scale + 2)
    changed = changed * jnp.exp(-log_scale) - shift if reverse else (changed + shift) * jnp.exp(log_scale)
    log_det = log_scale.sum((1, 2, 3))
    return jnp.concatenate([kept, changed], -1), -log_det if reverse else log_det


class ResidualNet(nn.Module):
  """RealNVP's net of a coupling: residual blocks of two 3x3 convolutions, and one at the end that starts at 0.

  Attributes:
    width: of the hidden layers.
    blocks: how many.
    channels: of the result.
    dtype: of the convolutions.
  """

  width: int
  blocks: int
  channels: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    rectified = lambda x: nn.relu(nn.LayerNorm(dtype=jnp.float32)(x)).astype(self.dtype)
    x = Conv(self.width, (3, 3), dtype=self.dtype)(x.astype(self.dtype))
    for _ in range(self.blocks):
      y = Conv(self.width, (3, 3), use_bias=False, dtype=self.dtype)(rectified(x))
      x = x + Conv(self.width, (3, 3), dtype=self.dtype)(rectified(y))
    return ZeroConv(self.channels, self.dtype)(rectified(x))


class MaskedCoupling(nn.Module):
  """What a mask leaves out is scaled and shifted by a net of what it keeps, and of `given`.

  Attributes:
    width, blocks, dtype: of the net.
  """

  width: int
  blocks: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, mask: Array, given: Array | None = None, reverse: bool = False) -> Result:
    """`mask` broadcasts to [H, W, C], 1 where x is kept; `given` [B, H, W, G]."""
    mask = mask[None]
    seen = x * mask if given is None else jnp.concatenate([x * mask, given], -1)
    out = ResidualNet(self.width, self.blocks, 2 * x.shape[-1], self.dtype)(seen)
    shift, scale = ((1 - mask) * half for half in jnp.split(out, 2, -1))
    log_scale = self.param("strength", nn.initializers.ones, (1, 1, 1, x.shape[-1])) * jnp.tanh(scale)
    y = (x - shift) * jnp.exp(-log_scale) if reverse else x * jnp.exp(log_scale) + shift
    log_det = log_scale.sum((1, 2, 3))
    return y, -log_det if reverse else log_det


class Standardised(nn.Module):
  """Normal channels made standard normal: by a mean and a deviation each, or by those that `given` says.

  Attributes:
    dtype: of the convolution of `given`.
  """

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, given: Array | None = None, reverse: bool = False) -> Result:
    """`given` [B, H, W, G]; at first the mean is 0 and the deviation 1."""
    channels = x.shape[-1]
    if given is None:
      own = self.param("moments", nn.initializers.zeros, (1, 1, 1, 2 * channels))
      moments = jnp.broadcast_to(own, (*x.shape[:3], 2 * channels))
    else:
      moments = ZeroConv(2 * channels, self.dtype)(given)
    mean, log_deviation = jnp.split(moments, 2, -1)
    log_det = -log_deviation.sum((1, 2, 3))
    if reverse:
      return mean + jnp.exp(log_deviation) * x, -log_det
    return (x - mean) * jnp.exp(-log_deviation), log_det


def repeated(
  step: nn.Module, apply: Callable[..., Result], x: Array, each: Array | int, reverse: bool, remat: bool = False
) -> Result:
  """A module of the same form many times, one after the other, each with weights of its own; compiled once.

  Args:
    step: the module.
    apply: (step, x, one of `each`) -> (y, log-determinant), in the direction that `reverse` says.
    x: of the first, or with `reverse` of the last.
    each: [n, ...], what `apply` gets, or n.
    reverse: from the last to the first.
    remat: whether activations are computed again for their gradients.
  """

  def one(step: nn.Module, carry: Result, own: Array | None) -> tuple[Result, None]:
    y, log_det = apply(step, carry[0], own)
    return (y, carry[1] + log_det), None

  rows, length = (None, each) if isinstance(each, int) else (each, len(each))
  scan = nn.scan(
    nn.remat(one, prevent_cse=False) if remat else one,
    variable_axes={"params": 0, "fixed": 0},
    split_rngs={"params": True},
    length=length,
    reverse=reverse,
  )
  return scan(step, (x, jnp.zeros(x.shape[0])), rows)[0]
