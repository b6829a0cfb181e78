"""Kernels of two sets of vectors; objectives.distances makes a distance of one.

Papers   Gaussians  GMMN  Li, Swersky & Zemel 2015, arXiv:1502.02761; MMD-GAN  Li et al. 2017, arXiv:1705.08584
         rational   Binkowski et al. 2018, arXiv:1801.01401
         energy     Szekely & Rizzo 2013: -|x - y| is conditionally positive, its MMD is the energy distance
         linear, rbf, polynomial  of support vector machines
Shapes   x [N, D], y [M, D] -> kernel values [N, M]. float32 or finer.
Checked  tests/ops/test_kernels.py: a double loop in numpy.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from genjax.ops.norms import distances

Array = jax.Array
Kernel = Callable[[Array, Array], Array]  # x [N, D], y [M, D] -> [N, M]


def gaussian(widths: Sequence[float] = (1.0, 2.0, 4.0, 8.0, 16.0)) -> Kernel:
  """The sum over widths s of exp(-|x - y|^2 / (2 s^2)); the default widths are MMD-GAN's."""
  return lambda x, y: sum(jnp.exp(-_squares(x, y) / (2 * width**2)) for width in widths)


def rational(shapes: Sequence[float] = (0.2, 0.5, 1.0, 2.0, 5.0)) -> Kernel:
  """The sum over shapes a of (1 + |x - y|^2 / (2 a))^-a: heavy tails, so far points still have a gradient."""
  return lambda x, y: sum((1 + _squares(x, y) / (2 * shape)) ** -shape for shape in shapes)


def energy(x: Array, y: Array) -> Array:
  """-|x - y|: the MMD that it gives is the energy distance 2 E|x - y| - E|x - x'| - E|y - y'|."""
  return -distances(x, y)


def linear(x: Array, y: Array) -> Array:
  """Inner products, in full float32."""
  return jnp.matmul(x, y.T, precision=lax.Precision.HIGHEST)


def rbf(width: float | Array = 1.0) -> Kernel:
  """exp(-|x - y|^2 / (2 width^2)), by one product of matrices."""

  def kernel(x: Array, y: Array) -> Array:
    lengths = (x**2).sum(-1)[:, None] + (y**2).sum(-1)[None, :]
    return jnp.exp(-jnp.maximum(lengths - 2 * linear(x, y), 0.0) / (2 * width**2))

  return kernel


def polynomial(degree: int = 2, *, scale: float | Array = 1.0, offset: float | Array = 1.0) -> Kernel:
  """(scale x.y + offset)^degree."""
  return lambda x, y: (scale * linear(x, y) + offset) ** degree


def _squares(x: Array, y: Array) -> Array:
  return ((x[:, None] - y[None]) ** 2).sum(-1)
