"""The dual of the multi-class SVM, solved to the last digits and differentiated, without an [n k, n k] matrix.

Papers   Lee 2021 (thesis), eq 4.10; Lee et al. 2019, arXiv:1904.03758. Crammer and Singer 2001. Hintermueller, Ito
         and Kunisch 2002: the guesses, a primal-dual active set as a Newton method.
Departs  ridge=0 is the thesis, ridge=1 the released code (+I on the Hessian). mode="exact" goes on to the optimum.
Shapes   n supports, d features, k ways. features [n, d]; labels [n] integers in [0, k); alpha, slack, multiplier
         [n, k]; gram [n, n]; C and ridge scalars, traced. One problem a call: batches by vmap.
Checked  tests/ops/test_svm.py: KKT conditions by numpy, central differences, `solve_qp`, and the released start.

    min 1/2 sum_k a_k' (K + ridge I) a_k - sum_i a_{i, y_i}    with  a <= C onehot(y),  sum_k a_ik = 0.

The solver is a primal-dual interior point method (svm_newton). The last steps of such a method decide which bounds
hold: each weight multiplier / slack is near 0 or infinite. These steps are tried first, as guesses of which bounds
hold; mostly 1 to 5 of them end at the optimum exactly. Where they do not, the method starts from an interior point. The
factor of the last step serves the gradient. alpha is solved in units of min(C, 1 / mean diagonal), so that bounds,
slopes and multipliers are near 1 whatever the features' length; the multipliers are in units of the margin.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from genjax.ops.greatest import greatest
from genjax.ops.inverse import inverse
from genjax.ops.kernels import Kernel, linear
from genjax.ops.one_hot import one_hot
from genjax.ops.svm_newton import (
  HIGHEST,
  Factor,
  Iterate,
  Problem,
  factorise,
  little,
  no_factor,
  qpth,
  reduced,
  stationarity,
  steady,
  step,
  times,
)

Array = jax.Array
GUESSES = 8  # of which bounds hold, before the interior point method takes over; 1 to 5 are usual
REFINED = 4  # times the gradient's system
CEILING = 60  # iterations of that method to a tolerance; 8 to 20 are usual


class SVMDual(NamedTuple):
  """The solution of the dual, and how well it was solved."""

  alpha: Array  # [n, k]
  residual: Array  # [], the largest violation of the conditions of optimality, in units of the margin
  converged: Array  # [] bool


class _Rule(NamedTuple):
  """The static settings: how the solver starts, steps and stops."""

  mode: Literal["exact", "qpth"]
  iterations: int | None
  tolerance: float


class _Solution(NamedTuple):
  """A point, and the KKT system there."""

  at: Iterate
  weight: Array  # [n, k], multiplier / slack: 0 for an alpha that is free, infinite for one that is held at its bound
  factor: Factor
  done: Array  # [] bool, whether the point is the optimum


@jax.custom_vjp
def _gram(features: Array) -> Array:
  """`linear(features, features)` with a gradient of one product in place of two."""
  return linear(features, features)


_gram.defvjp(
  lambda features: (_gram(features), features),
  lambda features, slope: (jnp.matmul(slope + slope.T, features, precision=HIGHEST),),
)


def svm_dual(
  features: Array,
  labels: Array,
  *,
  ways: int,
  C: float | Array = 0.1,
  ridge: float | Array = 0.0,
  kernel: Kernel = linear,
  iterations: int | None = None,
  tolerance: float | None = None,
  mode: Literal["exact", "qpth"] = "exact",
) -> SVMDual:
  """Solves the dual of the Crammer-Singer SVM; the logits of queries are `kernel(query, features) @ alpha`.

  Args:
    features: [n, d] float32 or float64; alpha is differentiable in them, in C and in ridge.
    labels: [n] integers in [0, ways).
    ways: number of classes, static.
    C: bound on alpha of the true class, > 0.
    ridge: added to the diagonal of the kernel matrix: 0 in the thesis, 1 in the released code.
    kernel: ([n, d], [m, d]) -> [n, m], positive semi-definite.
    iterations: the greatest number of steps; None stops at the tolerance (mode "exact") or is 15 as released ("qpth").
    tolerance: of the residual; None is 2e-6 in float32 and 1e-10 in float64.
    mode: "exact" goes on to the optimum. "qpth" starts and steps as that solver does and returns the best of the points
      that it evaluated, so that `iterations=3` is the published evaluation; iterations=m takes m - 1 steps.

  Returns:
    SVMDual. A problem with a NaN, or with a label outside [0, ways), gives NaN, and `converged` is False.

  Raises:
    ValueError: shapes, ways, iterations or mode out of range.
  """
  if features.ndim != 2:
    raise ValueError(f"features are {features.shape}; svm_dual takes one problem, [n, d]: use jax.vmap for a batch")
  return svm_dual_from_gram(
    _gram(features) if kernel is linear else kernel(features, features),
    labels,
    ways=ways,
    C=C,
    ridge=ridge,
    iterations=iterations,
    tolerance=tolerance,
    mode=mode,
  )


def svm_dual_from_gram(
  gram: Array,
  labels: Array,
  *,
  ways: int,
  C: float | Array = 0.1,
  ridge: float | Array = 0.0,
  iterations: int | None = None,
  tolerance: float | None = None,
  mode: Literal["exact", "qpth"] = "exact",
) -> SVMDual:
  """`svm_dual` from the kernel matrix [n, n] of the supports, symmetric and positive semi-definite."""
  if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or labels.shape != gram.shape[:1]:
    raise ValueError(f"gram is {gram.shape} and labels {labels.shape}; wanted [n, n] and [n] (jax.vmap for a batch)")
  if ways < 2:
    raise ValueError(f"ways is {ways}; an SVM separates at least 2 classes")
  if mode not in ("exact", "qpth"):
    raise ValueError(f"mode is {mode!r}; wanted 'exact' or 'qpth'")
  if iterations is not None and iterations < 1:
    raise ValueError(f"iterations is {iterations}; wanted 1 or more, or None for the mode's own rule")
  dtype = jnp.promote_types(gram.dtype, jnp.float32)
  if tolerance is None:
    tolerance = 2e-6 if dtype == jnp.float32 else 1e-10
  if mode == "qpth" and iterations is None:
    iterations = 15
  bounds = jnp.asarray(C, dtype), jnp.asarray(ridge, dtype)
  return _dual(gram.astype(dtype), *bounds, one_hot(labels, ways, dtype), _Rule(mode, iterations, tolerance))


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _dual(gram: Array, bound: Array, ridge: Array, onehot: Array, rule: _Rule) -> SVMDual:
  return _solve(gram, bound, ridge, onehot, rule)[0]


def _solve(gram: Array, bound: Array, ridge: Array, onehot: Array, rule: _Rule) -> tuple[SVMDual, _Solution, Problem]:
  unit = jnp.ones_like(bound) if rule.mode == "qpth" else _unit(gram, bound, ridge)
  hessian = unit * (gram + ridge * jnp.eye(len(gram), dtype=gram.dtype))
  problem = Problem(hessian, onehot, bound / unit, unit * _mean_diagonal(gram, ridge))
  solution = _released(problem, rule) if rule.mode == "qpth" else _optimum(problem, rule)
  residual = _residual(problem, solution.at)
  alpha = jnp.where(jnp.isfinite(residual), unit * solution.at.alpha, jnp.nan)
  converged = residual <= _attainable(problem, solution.at, rule.tolerance)
  return SVMDual(alpha, residual, converged), solution, problem


def _forward(gram: Array, bound: Array, ridge: Array, onehot: Array, rule: _Rule) -> tuple[SVMDual, tuple]:
  dual, solution, problem = _solve(gram, bound, ridge, onehot, rule)
  return dual, (dual.alpha, problem, solution.weight, solution.factor, bound / problem.bound)


def _backward(rule: _Rule, saved: tuple, cotangent: SVMDual) -> tuple[Array, Array, Array, Array]:
  """The KKT system is symmetric: its solution with the cotangent on the right is the sensitivity to every input."""
  alpha, problem, weight, factor, unit = saved
  right, held = cotangent.alpha, jnp.isinf(weight)
  weight = jnp.where(held, 0, weight)
  adjoint, shift = reduced(factor, right, jnp.zeros(right.shape[:1], right.dtype))
  for _ in range(REFINED):  # the factor is of a hessian with a little more on its diagonal
    miss = right - times(problem.hessian, adjoint) - weight * adjoint - shift[:, None]
    more, more_shift = reduced(factor, miss, -adjoint.sum(1))
    adjoint, shift = adjoint + more, shift + more_shift
  of_gram = -unit * jnp.matmul(adjoint, alpha.T, precision=HIGHEST)
  of_bounds = jnp.where(held, right - times(problem.hessian, adjoint) - shift[:, None], weight * adjoint)
  of_bound = (of_bounds * problem.onehot).sum()
  return (of_gram + of_gram.T) / 2, of_bound, jnp.trace(of_gram), jnp.zeros_like(problem.onehot)


_dual.defvjp(_forward, _backward)


def _mean_diagonal(gram: Array, ridge: Array) -> Array:
  return jnp.trace(gram) / len(gram) + ridge


def _unit(gram: Array, bound: Array, ridge: Array) -> Array:
  """The unit of alpha []: the bound, or what makes the hessian's diagonal 1 where that is smaller."""
  size = _mean_diagonal(gram, ridge)
  return jnp.where(size * bound > 1, 1 / jnp.where(size > 0, size, 1), bound)


def _optimum(problem: Problem, rule: _Rule) -> _Solution:
  """Steps from an interior point where their number is fixed; else guesses first, and such steps if they fail."""
  if rule.iterations is not None:
    return _interior(problem, rule)
  return _where_any(
    lambda solution: ~solution.done, lambda problem: _interior(problem, rule), _guessed(problem, rule), problem
  )


def _where_any(
  predicate: Callable[[_Solution], Array], function: Callable[[Problem], _Solution], value: _Solution, problem: Problem
) -> _Solution:
  """function(problem) where predicate(value), else value. Under vmap `lax.cond` runs both branches; this runs one."""

  def once(carry: tuple[Array, _Solution]) -> tuple[Array, _Solution]:
    tied, _ = lax.optimization_barrier((problem, carry))  # or XLA takes the work, the same each time, out of the loop
    return jnp.zeros((), bool), function(tied)

  return lax.while_loop(lambda carry: carry[0], once, (predicate(value), value))[1]


def _guessed(problem: Problem, rule: _Rule) -> _Solution:
  """A primal-dual active set method, the limit of the interior point's Newton steps: a weight is 0 or infinite.

  The first guess is that no bound holds. Then an alpha beyond its bound is held there, and a held alpha whose
  multiplier is negative is freed. Where nothing changes the point is the optimum, with the factor of its KKT system.
  """
  limit, (count, ways) = problem.bound * problem.onehot, problem.onehot.shape
  eye = jnp.eye(count, dtype=limit.dtype)
  unheld = times(inverse(problem.hessian + little(problem) * eye), problem.onehot - 1 / ways)

  def point(alpha: Array, shift: Array) -> Iterate:
    """The iterate of alpha and shift; multipliers are what is left of the slope, for free alphas too."""
    left = problem.onehot - times(problem.hessian, alpha) - shift[:, None]
    return Iterate(alpha, limit - alpha, left, shift)

  def corrected(solution: _Solution, shift: Array) -> Iterate:
    """A Newton step from the point where the held alphas are at their bounds."""
    at = point(jnp.where(jnp.isinf(solution.weight), limit, solution.at.alpha), shift)
    change, more = reduced(solution.factor, at.multiplier, -at.alpha.sum(1))
    return point(at.alpha + change, shift + more)

  def weights(at: Iterate, weight: Array) -> Array:
    hold = jnp.where(jnp.isinf(weight), at.multiplier > -noise * problem.size, at.slack < -noise)
    return jnp.where(hold, jnp.inf, jnp.zeros_like(weight))

  def guess(carry: tuple[_Solution, Array]) -> tuple[_Solution, Array]:
    solution, count = carry
    weight = weights(solution.at, solution.weight)
    solution = solution._replace(weight=weight, factor=factorise(problem, weight))
    at = corrected(solution, jnp.zeros_like(limit[:, 0]))
    return solution._replace(at=at, done=(weights(at, weight) == weight).all()), count + 1

  start = point(unheld, jnp.zeros_like(limit[:, 0]))
  noise = _attainable(problem, start, rule.tolerance) / 4
  first = _Solution(start, jnp.zeros_like(limit), no_factor(problem), jnp.zeros((), bool))
  solution, _ = lax.while_loop(lambda carry: ~carry[0].done & (carry[1] < GUESSES), guess, (first, 0))
  at, held = corrected(solution, solution.at.shift), jnp.isinf(solution.weight)
  slack, multiplier = (jnp.maximum(part, 0) for part in (at.slack, at.multiplier))
  at = at._replace(slack=jnp.where(held, 0, slack), multiplier=jnp.where(held, multiplier, 0))
  return solution._replace(
    at=at, done=solution.done & (_residual(problem, at) <= _attainable(problem, at, rule.tolerance))
  )


def _interior(problem: Problem, rule: _Rule) -> _Solution:
  """Newton steps from a strictly feasible start to the tolerance, or `iterations` of them where it is not None."""

  def advance(carry: tuple[Iterate, Array, Array]) -> tuple[Iterate, Array, Array]:
    """The next point, or this one where it is the last."""
    at, _, count = carry
    new = step(problem, at, factorise(problem, at.multiplier / at.slack), exact=True)
    broken = ~(jnp.isfinite(new.alpha + new.multiplier + new.slack).all() & jnp.isfinite(new.shift).all())
    last = count >= (CEILING if rule.iterations is None else rule.iterations)
    done = broken | last | _done(problem, at, rule.tolerance)
    return jax.tree.map(lambda now, old: jnp.where(done, old, now), new, at), done, count + 1

  first = (_feasible(problem), jnp.zeros((), bool), jnp.zeros((), jnp.int32))
  at = lax.while_loop(lambda carry: ~carry[1], advance, first)[0]
  weight = at.multiplier / at.slack
  return _Solution(at, weight, factorise(problem, weight, extra=steady(problem)), jnp.ones((), bool))


def _done(problem: Problem, at: Iterate, tolerance: float) -> Array:
  """Whether the residual is small, and every product of slack and multiplier too small to change a gradient."""
  worst = (at.slack * at.multiplier).max()
  near = _residual(problem, at) <= _attainable(problem, at, tolerance)
  return near & (worst <= 0.1 * tolerance**2 * problem.size)


def _attainable(problem: Problem, at: Iterate, tolerance: float) -> Array:
  """The tolerance, or the rounding error of hessian @ alpha where that is more, as with features of one sign."""
  terms = times(jnp.abs(problem.hessian), jnp.abs(at.alpha)).max()
  return jnp.maximum(tolerance, jnp.finfo(terms.dtype).eps * terms)


def _feasible(problem: Problem) -> Iterate:
  others = 1 - problem.onehot
  ways = others.shape[1]
  half = jnp.minimum(problem.bound, 1.0) / 2
  alpha = half * (problem.onehot - others / (ways - 1))
  slack = problem.bound * problem.onehot - alpha
  slope = problem.onehot - times(problem.hessian, alpha)
  shift = slope.min(1) - 1
  return Iterate(alpha, slack, slope - shift[:, None], shift)


def _released(problem: Problem, rule: _Rule) -> _Solution:
  """The released solver's point, with weights that keep its KKT system finite."""
  best = qpth(problem, rule.iterations)
  weight = jnp.maximum(best.multiplier, 1e-8) / jnp.maximum(best.slack, 1e-8)
  return _Solution(best, weight, factorise(problem, weight), jnp.ones((), bool))


def _residual(problem: Problem, at: Iterate) -> Array:
  """Stationarity in units of the margin, row sums and bounds relative to alpha, products of slack and multiplier."""
  largest = jnp.maximum(jnp.abs(at.alpha).max(), jnp.finfo(at.alpha.dtype).tiny)
  over = jnp.maximum(at.alpha - problem.bound * problem.onehot, 0.0)
  worst = jnp.stack(
    [
      greatest(stationarity(problem, at)),
      greatest(at.alpha.sum(1)) / largest,
      greatest(over) / largest,
      greatest(at.slack * at.multiplier),
      greatest(jnp.minimum(at.multiplier, 0.0)),
    ]
  )
  return greatest(worst)
