"""Newton's steps on the dual of the multi-class SVM: its KKT system by n x n matrices alone.

Papers   Mehrotra 1992: predictor and corrector.
Shapes   n supports, k ways; alpha, slack, multiplier and weight [n, k]; hessian [n, n]. One problem: batches by vmap.
Checked  tests/ops/test_svm.py, through `svm_dual`.

    (hessian + diag(weight_k)) alpha_k + shift = right_k  for each class k,   sum_k alpha_k = rows,

by the inverse Cholesky factor of each class's matrix and that of one n x n Schur complement, the sum of their inverses.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from genjax.ops.inverse import root

Array = jax.Array
HIGHEST = lax.Precision.HIGHEST


class Problem(NamedTuple):
  """In scaled units: hessian [n, n], onehot [n, k], bound [] on the true class, size [] of the hessian (at most 1)."""

  hessian: Array
  onehot: Array
  bound: Array
  size: Array


class Iterate(NamedTuple):
  """A primal-dual point: alpha, slack and multiplier [n, k], shift [n] (the multiplier of the row sums)."""

  alpha: Array
  slack: Array
  multiplier: Array
  shift: Array


class Factor(NamedTuple):
  """half [k, n, n] with half'half the inverse of each class's matrix, 0 where alpha is held; schur [n, n], the same

  of the sum of those inverses. A product of halves keeps digits that the inverse of a singular kernel matrix loses.
  """

  half: Array
  schur: Array


def stationarity(problem: Problem, at: Iterate) -> Array:
  return times(problem.hessian, at.alpha) - problem.onehot + at.multiplier + at.shift[:, None]


def step(problem: Problem, at: Iterate, factor: Factor, *, exact: bool) -> Iterate:
  """One predictor-corrector step. `exact` starts feasible, so its slacks need no correction but rounding's."""
  slope, rows = stationarity(problem, at), at.alpha.sum(1)
  gap = jnp.zeros_like(slope) if exact else at.alpha + at.slack - problem.bound * problem.onehot

  def towards(product: Array) -> Iterate:
    """The direction that takes slack * multiplier to first order to `product` below what they are."""
    right = -slope + (product - at.multiplier * gap) / at.slack
    alpha, shift = reduced(factor, right, -rows)
    slack = -gap - alpha
    return Iterate(alpha, slack, (-product - at.multiplier * slack) / at.slack, shift)

  products = at.slack * at.multiplier
  mean = products.mean()
  ahead = towards(products)
  reach = jnp.minimum(1.0, _reach(at, ahead))
  then = ((at.slack + reach * ahead.slack) * (at.multiplier + reach * ahead.multiplier)).mean()
  centre = (then / mean) ** 3 * mean
  move = towards(products + ahead.slack * ahead.multiplier - centre)
  fraction = jnp.clip(1 - jnp.sqrt(mean), 0.99, 1 - 1e-5) if exact else 0.999  # rounding would go beyond 1
  reach = jnp.minimum(1.0, fraction * _reach(at, move))
  return jax.tree.map(lambda old, change: old + reach * change, at, move)


def _reach(at: Iterate, move: Iterate) -> Array:
  """The longest step that leaves slacks and multipliers positive."""

  def longest(value: Array, change: Array) -> Array:
    return jnp.where(change < 0, -value / jnp.where(change < 0, change, -1), jnp.inf).min()

  return jnp.minimum(longest(at.slack, move.slack), longest(at.multiplier, move.multiplier))


def little(problem: Problem) -> Array:
  """On the diagonal it keeps the factor of a singular kernel matrix real after rounding."""
  dtype = problem.hessian.dtype
  return 2 * len(problem.hessian) * jnp.finfo(dtype).eps * problem.size + jnp.finfo(dtype).tiny


def steady(problem: Problem) -> Array:
  """The same for the gradient's system, which is refined.

  Where more alphas of a class are free than its features have dimensions, the matrix of that class is singular even
  though the whole system is not: with a `little` of what rounding leaves, its factor is noise, or NaN.
  """
  return 8 * little(problem)


def factorise(problem: Problem, weight: Array, extra: float | None = None) -> Factor:
  """Of hessian + diag(weight) for each class, and `extra` or a little; an infinite weight holds its alpha."""
  extra = little(problem) if extra is None else extra
  moves = jnp.isfinite(weight).T
  both = moves[:, :, None] & moves[:, None, :]
  diagonal = jnp.where(moves, weight.T + extra, 1)[:, :, None] * jnp.eye(len(weight), dtype=weight.dtype)[None]
  half = jnp.where(both, root(jnp.where(both, problem.hessian[None], 0) + diagonal), 0)
  stacked = half.reshape(-1, len(weight))
  return Factor(half, root(times(stacked.T, stacked)))


def no_factor(problem: Problem) -> Factor:
  count, ways = problem.onehot.shape
  return Factor(jnp.zeros((ways, count, count), problem.hessian.dtype), jnp.zeros_like(problem.hessian))


def reduced(factor: Factor, right: Array, rows: Array) -> tuple[Array, Array]:
  """alpha and shift with (hessian + D_k) alpha_k + shift = right_k and sum_k alpha_k = rows."""

  def classes(values: Array) -> Array:
    inner = jnp.einsum("kij,jk->ki", factor.half, values, precision=HIGHEST)
    return jnp.einsum("kji,kj->ik", factor.half, inner, precision=HIGHEST)

  free = classes(right)
  shift = times(factor.schur.T, times(factor.schur, free.sum(1) - rows))
  return classes(right - shift[:, None]), shift


def times(a: Array, b: Array) -> Array:
  return jnp.matmul(a, b, precision=HIGHEST)
