"""Newton's steps on the dual of the multi-class SVM: its KKT system by n x n matrices alone.

Papers   Mehrotra 1992: predictor and corrector. Amos and Kolter 2017, arXiv:1703.00443, and their code: `qpth`, the
         solver of the released MetaOptNet, with its start, its steps and its choice of a point.
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
  """The dual in scaled units."""

  hessian: Array  # [n, n]
  onehot: Array  # [n, k]
  bound: Array  # [], on alpha of the true class
  size: Array  # [], mean of the hessian's diagonal, at most 1


class Iterate(NamedTuple):
  """A primal-dual point."""

  alpha: Array  # [n, k]
  slack: Array  # [n, k]
  multiplier: Array  # [n, k]
  shift: Array  # [n], the multiplier of the row sums


class Factor(NamedTuple):
  """The KKT system's factors. A product of halves keeps digits that the inverse of a singular kernel matrix loses."""

  half: Array  # [k, n, n], half' half is the inverse of each class's matrix; 0 where alpha is held
  schur: Array  # [n, n], schur' schur is the inverse of the sum of those inverses


def stationarity(problem: Problem, at: Iterate) -> Array:
  return times(problem.hessian, at.alpha) - problem.onehot + at.multiplier + at.shift[:, None]


def step(problem: Problem, at: Iterate, factor: Factor, *, exact: bool) -> Iterate:
  """One predictor-corrector step. With `exact` the start is feasible, so slacks need no correction."""
  slope, rows = stationarity(problem, at), at.alpha.sum(1)
  gap = jnp.zeros_like(slope) if exact else at.alpha + at.slack - problem.bound * problem.onehot

  def towards(product: Array) -> Iterate:
    """The direction along which, to first order, slack * multiplier falls by `product`."""
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
  return jax.tree.map(lambda old, way: old + reach * way, at, move)


def _reach(at: Iterate, move: Iterate) -> Array:
  """The longest step along `move` that leaves slacks and multipliers positive."""

  def longest(value: Array, way: Array) -> Array:
    return jnp.where(way < 0, -value / jnp.where(way < 0, way, -1), jnp.inf).min()

  return jnp.minimum(longest(at.slack, move.slack), longest(at.multiplier, move.multiplier))


def little(problem: Problem) -> Array:
  """What is added to the diagonal, so that the factor of a singular kernel matrix stays real after rounding."""
  dtype = problem.hessian.dtype
  return 2 * len(problem.hessian) * jnp.finfo(dtype).eps * problem.size + jnp.finfo(dtype).tiny


def steady(problem: Problem) -> Array:
  """What is added for the gradient's system, which is refined.

  Where more alphas of a class are free than its features have dimensions, the matrix of that class is singular though
  the whole system is not. With `little` alone its factor is noise, or NaN.
  """
  return 8 * little(problem)


def factorise(problem: Problem, weight: Array, extra: float | None = None) -> Factor:
  """Factors hessian + diag(weight) + extra for each class; an infinite weight holds its alpha.

  Args:
    weight: [n, k].
    extra: added to the diagonal; None is `little`.
  """
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
  """Solves (hessian + D_k) alpha_k + shift = right_k, sum_k alpha_k = rows for alpha [n, k] and shift [n]."""

  def classes(values: Array) -> Array:
    inner = jnp.einsum("kij,jk->ki", factor.half, values, precision=HIGHEST)
    return jnp.einsum("kji,kj->ik", factor.half, inner, precision=HIGHEST)

  free = classes(right)
  shift = times(factor.schur.T, times(factor.schur, free.sum(1) - rows))
  return classes(right - shift[:, None]), shift


def times(a: Array, b: Array) -> Array:
  return jnp.matmul(a, b, precision=HIGHEST)


# The released solver --------------------------------------------------------------------------------------------------


def qpth(problem: Problem, iterations: int) -> Iterate:
  """The best of the points that qpth evaluates in so many iterations; it never evaluates the point after the last step.

  Args:
    problem: the dual, with bounds and hessian in their own units.
    iterations: at least 1; 1 returns the start.
  """
  limit = problem.bound * problem.onehot
  factor = factorise(problem, jnp.ones_like(limit), extra=0.0)
  alpha, shift = reduced(factor, problem.onehot + limit, jnp.zeros_like(limit[:, 0]))
  slack = limit - alpha
  start = Iterate(alpha, _lift(slack), _lift(-slack), shift)

  def look(carry: tuple, _: None) -> tuple[tuple, None]:
    at, best, least, stale = carry
    now = _qpth_residual(problem, at)
    better = now < least
    stopped = stale >= 3
    keep = better & ~stopped
    best = jax.tree.map(lambda new, old: jnp.where(keep, new, old), at, best)
    least = jnp.where(keep, now, least)
    stale = jnp.where(stopped | (least < 1e-12), 3, jnp.where(better, 0, stale + 1))
    return (at, best, least, stale), None

  def go(carry: tuple, _: None) -> tuple[tuple, None]:
    at, best, least, stale = carry
    factor = factorise(problem, at.multiplier / at.slack, extra=0.0)
    return look((step(problem, at, factor, exact=False), best, least, stale), None)

  first = (start, start, _qpth_residual(problem, start), jnp.zeros((), jnp.int32))
  return lax.scan(go, first, None, iterations - 1)[0][1]


def _lift(values: Array) -> Array:
  """Values shifted so that the least is 1, where any is negative."""
  least = values.min()
  return jnp.where(least < 0, values - least + 1, values)


def _qpth_residual(problem: Problem, at: Iterate) -> Array:
  """The sum of the lengths of all that is to be 0."""
  gap = at.alpha + at.slack - problem.bound * problem.onehot
  parts = [stationarity(problem, at), gap, at.alpha.sum(1)]
  return sum(jnp.sqrt((part**2).sum()) for part in parts) + jnp.abs((at.slack * at.multiplier).sum())
