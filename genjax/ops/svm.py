"""The dual of the multi-class SVM, solved to the last digits and differentiated, without an [n k, n k] matrix.

Papers   Lee 2021 (thesis), eq 4.10; Lee et al. 2019, arXiv:1904.03758. Crammer and Singer 2001. Mehrotra 1992: the
         predictor-corrector. Amos and Kolter 2017, arXiv:1703.00443: the start and the rules of `mode="qpth"`.
Departs  ridge=0 is the thesis, ridge=1 the released code (+I on the Hessian). mode="exact" goes on to the optimum.
Shapes   n supports, d features, k ways. features [n, d]; labels [n] integers in [0, k); alpha, slack, multiplier
         [n, k]; gram [n, n]; C and ridge scalars, traced. One problem a call: batches by vmap.
Checked  tests/ops/test_svm.py: KKT conditions by numpy, central differences, `solve_qp`, and the released start.

    min 1/2 sum_k a_k' (K + ridge I) a_k - sum_i a_{i, y_i}    with  a <= C onehot(y),  sum_k a_ik = 0.

A Newton step is one Cholesky factor of K + ridge I + D_k for each class and one n x n Schur complement, the sum of
their inverses. alpha is solved in units of min(C, 1 / mean diagonal), so that bounds, slopes and multipliers are near 1
whatever the features' length; the multipliers are in units of the margin.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from genjax.ops.inverse import inverse, root

Array = jax.Array
Kernel = Callable[[Array, Array], Array]
HIGHEST = lax.Precision.HIGHEST
GUESSES = 8  # of which bounds hold, before the interior point method takes over; 1 to 5 are usual
CEILING = 60  # iterations of that method to a tolerance; 8 to 20 are usual


class SVMDual(NamedTuple):
  """alpha [n, k]; residual [], the worst of the optimality conditions in units of the margin; converged []."""

  alpha: Array
  residual: Array
  converged: Array


class _Rule(NamedTuple):
  """What is static: how to start, to step and to stop."""

  mode: str
  iterations: int | None
  tolerance: float


class _Problem(NamedTuple):
  """In scaled units: hessian [n, n], onehot [n, k], bound [] on the true class, size [] of the hessian (at most 1)."""

  hessian: Array
  onehot: Array
  bound: Array
  size: Array


class _Iterate(NamedTuple):
  """A primal-dual point: alpha, slack and multiplier [n, k], shift [n] (the multiplier of the row sums)."""

  alpha: Array
  slack: Array
  multiplier: Array
  shift: Array


class _Factor(NamedTuple):
  """half [k, n, n] with half'half the inverse of each class's matrix, 0 where alpha is held; schur [n, n], the same

  of the sum of those inverses. A product of halves keeps digits that the inverse of a singular kernel matrix loses.
  """

  half: Array
  schur: Array


class _Found(NamedTuple):
  """A point, and the weights [n, k] and the factor of the KKT system there; done: it is the optimum.

  A weight is multiplier / slack: 0 of an alpha that is free, infinite of one that is held at its bound.
  """

  at: _Iterate
  weight: Array
  factor: _Factor
  done: Array


def linear(a: Array, b: Array) -> Array:
  """Inner products of [n, d] and [m, d], [n, m], in full float32."""
  return jnp.matmul(a, b.T, precision=HIGHEST)


@jax.custom_vjp
def _gram(features: Array) -> Array:
  """`linear` of features with themselves, whose gradient is then one product and not two."""
  return linear(features, features)


_gram.defvjp(
  lambda features: (_gram(features), features),
  lambda features, slope: (jnp.matmul(slope + slope.T, features, precision=HIGHEST),),
)


def rbf(width: float | Array = 1.0) -> Kernel:
  """exp(-|a - b|^2 / (2 width^2)): a kernel of [n, d] and [m, d]."""

  def kernel(a: Array, b: Array) -> Array:
    lengths = (a**2).sum(-1)[:, None] + (b**2).sum(-1)[None, :]
    return jnp.exp(-jnp.maximum(lengths - 2 * linear(a, b), 0.0) / (2 * width**2))

  return kernel


def polynomial(degree: int = 2, *, scale: float | Array = 1.0, offset: float | Array = 1.0) -> Kernel:
  """(scale a.b + offset)^degree: a kernel of [n, d] and [m, d]."""
  return lambda a, b: (scale * linear(a, b) + offset) ** degree


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
  mode: str = "exact",
) -> SVMDual:
  """The dual coefficients of the Crammer-Singer SVM; logits of a query are `kernel(query, features) @ alpha`.

  Args:
    features: [n, d] float32 or float64; gradients flow to them, to C and to ridge.
    labels: [n] integers in [0, ways).
    ways: number of classes, static.
    C: bound on alpha of the true class, > 0.
    ridge: what is added to the diagonal of the kernel matrix: 0 is the thesis, 1 the released code.
    kernel: ([n, d], [m, d]) -> [n, m], positive semi-definite.
    iterations: the most steps, or None: to the tolerance (mode "exact") and 15 as released (mode "qpth").
    tolerance: of the residual: 2e-6 in float32 and 1e-10 in float64 unless said.
    mode: "exact", or "qpth": that solver's start, step and choice of the best of the points it looked at, so that
      `iterations=3` is the published evaluation. iterations=m takes m - 1 steps there; 1 is its start.

  Returns:
    SVMDual. A problem with a NaN gives NaN and converged False.

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
  mode: str = "exact",
) -> SVMDual:
  """`svm_dual` from the kernel matrix [n, n] of the supports, symmetric and positive semi-definite."""
  if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or labels.shape != gram.shape[:1]:
    raise ValueError(f"gram is {gram.shape} and labels {labels.shape}; wanted [n, n] and [n] (jax.vmap for a batch)")
  if ways < 2:
    raise ValueError(f"ways is {ways}; an SVM tells at least 2 classes apart")
  if mode not in ("exact", "qpth"):
    raise ValueError(f"mode is {mode!r}; wanted 'exact' or 'qpth'")
  if iterations is not None and iterations < 1:
    raise ValueError(f"iterations is {iterations}; wanted 1 or more, or None for the mode's own rule")
  dtype = jnp.promote_types(gram.dtype, jnp.float32)
  if tolerance is None:
    tolerance = 2e-6 if dtype == jnp.float32 else 1e-10
  if mode == "qpth" and iterations is None:
    iterations = 15
  onehot = (labels[:, None] == jnp.arange(ways)[None, :]).astype(dtype)
  return _dual(
    gram.astype(dtype), jnp.asarray(C, dtype), jnp.asarray(ridge, dtype), onehot, _Rule(mode, iterations, tolerance)
  )


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _dual(gram: Array, bound: Array, ridge: Array, onehot: Array, rule: _Rule) -> SVMDual:
  return _solve(gram, bound, ridge, onehot, rule)[0]


def _solve(gram: Array, bound: Array, ridge: Array, onehot: Array, rule: _Rule) -> tuple[SVMDual, _Found, _Problem]:
  unit = jnp.ones_like(bound) if rule.mode == "qpth" else _unit(gram, bound, ridge)
  hessian = unit * (gram + ridge * jnp.eye(len(gram), dtype=gram.dtype))
  problem = _Problem(hessian, onehot, bound / unit, unit * _mean_diagonal(gram, ridge))
  found = _released(problem, rule) if rule.mode == "qpth" else _optimum(problem, rule)
  residual = _residual(problem, found.at)
  alpha = jnp.where(jnp.isfinite(residual), unit * found.at.alpha, jnp.nan)
  return SVMDual(alpha, residual, residual <= _attainable(problem, found.at, rule.tolerance)), found, problem


def _forward(gram: Array, bound: Array, ridge: Array, onehot: Array, rule: _Rule) -> tuple[SVMDual, tuple]:
  dual, found, problem = _solve(gram, bound, ridge, onehot, rule)
  return dual, (dual.alpha, problem, found.weight, found.factor, bound / problem.bound)


def _backward(rule: _Rule, saved: tuple, cotangent: SVMDual) -> tuple[Array, Array, Array, Array]:
  """The KKT system is symmetric: its solution with the cotangent on the right is the sensitivity to every input."""
  alpha, problem, weight, factor, unit = saved
  right, held = cotangent.alpha, jnp.isinf(weight)
  weight = jnp.where(held, 0, weight)
  adjoint, shift = _reduced(factor, right, jnp.zeros(right.shape[:1], right.dtype))
  for _ in range(2):  # the factor is of a hessian with a little more on its diagonal
    miss = right - _times(problem.hessian, adjoint) - weight * adjoint - shift[:, None]
    more, more_shift = _reduced(factor, miss, -adjoint.sum(1))
    adjoint, shift = adjoint + more, shift + more_shift
  of_gram = -unit * jnp.matmul(adjoint, alpha.T, precision=HIGHEST)
  of_bounds = jnp.where(held, right - _times(problem.hessian, adjoint) - shift[:, None], weight * adjoint)
  of_bound = (of_bounds * problem.onehot).sum()
  return (of_gram + of_gram.T) / 2, of_bound, jnp.trace(of_gram), jnp.zeros_like(problem.onehot)


_dual.defvjp(_forward, _backward)


def _mean_diagonal(gram: Array, ridge: Array) -> Array:
  return jnp.trace(gram) / len(gram) + ridge


def _unit(gram: Array, bound: Array, ridge: Array) -> Array:
  """Of alpha: the bound, or what makes the hessian's diagonal 1 where that is smaller."""
  size = _mean_diagonal(gram, ridge)
  return jnp.where(size * bound > 1, 1 / jnp.where(size > 0, size, 1), bound)


def _optimum(problem: _Problem, rule: _Rule) -> _Found:
  """A fixed count of steps from within; or guesses of which bounds hold, then from within if they do not settle."""
  if rule.iterations is not None:
    return _interior(problem, rule)
  return _where_any(
    lambda found: ~found.done, lambda problem: _interior(problem, rule), _guessed(problem, rule), problem
  )


def _where_any(
  predicate: Callable[[_Found], Array], function: Callable[[_Problem], _Found], value: _Found, problem: _Problem
) -> _Found:
  """function(problem) where predicate(value), else value. Under vmap `lax.cond` runs both branches; this runs one."""

  def once(carry: tuple[Array, _Found]) -> tuple[Array, _Found]:
    tied, _ = lax.optimization_barrier((problem, carry))  # or XLA takes the work, the same each time, out of the loop
    return jnp.zeros((), bool), function(tied)

  return lax.while_loop(lambda carry: carry[0], once, (predicate(value), value))[1]


def _guessed(problem: _Problem, rule: _Rule) -> _Found:
  """The limit of the interior point's Newton steps: a bound is taken to hold or not, its weight infinite or 0.

  The first guess is that none holds. Then an alpha beyond its bound is held there and a held one whose multiplier is
  negative is let go. Where nothing changes this is the optimum, and its factor that of the KKT system there.
  """
  limit, (count, ways) = problem.bound * problem.onehot, problem.onehot.shape
  noise = rule.tolerance / 4
  eye = jnp.eye(count, dtype=limit.dtype)
  unheld = _times(inverse(problem.hessian + _little(problem) * eye), problem.onehot - 1 / ways)

  def point(alpha: Array, shift: Array) -> _Iterate:
    """Multipliers are what is left of the slope, of free alphas too."""
    left = problem.onehot - _times(problem.hessian, alpha) - shift[:, None]
    return _Iterate(alpha, limit - alpha, left, shift)

  def corrected(found: _Found, shift: Array) -> _Iterate:
    """A Newton step from where the held are at their bounds."""
    at = point(jnp.where(jnp.isinf(found.weight), limit, found.at.alpha), shift)
    change, more = _reduced(found.factor, at.multiplier, -at.alpha.sum(1))
    return point(at.alpha + change, shift + more)

  def weights(at: _Iterate, weight: Array) -> Array:
    hold = jnp.where(jnp.isinf(weight), at.multiplier > -noise * problem.size, at.slack < -noise)
    return jnp.where(hold, jnp.inf, jnp.zeros_like(weight))

  def guess(carry: tuple[_Found, Array]) -> tuple[_Found, Array]:
    found, count = carry
    weight = weights(found.at, found.weight)
    found = found._replace(weight=weight, factor=_factorise(problem, weight))
    at = corrected(found, jnp.zeros_like(limit[:, 0]))
    return found._replace(at=at, done=(weights(at, weight) == weight).all()), count + 1

  first = _Found(
    point(unheld, jnp.zeros_like(limit[:, 0])), jnp.zeros_like(limit), _no_factor(problem), jnp.zeros((), bool)
  )
  found, _ = lax.while_loop(lambda carry: ~carry[0].done & (carry[1] < GUESSES), guess, (first, 0))
  at, held = corrected(found, found.at.shift), jnp.isinf(found.weight)
  slack, multiplier = (jnp.maximum(part, 0) for part in (at.slack, at.multiplier))
  at = at._replace(slack=jnp.where(held, 0, slack), multiplier=jnp.where(held, multiplier, 0))
  return found._replace(at=at, done=found.done & (_residual(problem, at) <= _attainable(problem, at, rule.tolerance)))


def _interior(problem: _Problem, rule: _Rule) -> _Found:
  """Newton steps from a strictly feasible start to the tolerance, at most `iterations` where that is said."""

  def advance(carry: tuple[_Found, Array]) -> tuple[_Found, Array]:
    """The factor of this point, and the next point unless this one is the last."""
    (at, *_), count = carry
    weight = at.multiplier / at.slack
    factor = _factorise(problem, weight)
    new = _step(problem, at, factor, exact=True)
    broken = ~(jnp.isfinite(new.alpha + new.multiplier + new.slack).all() & jnp.isfinite(new.shift).all())
    last = count >= (CEILING if rule.iterations is None else rule.iterations)
    done = broken | last | _done(problem, at, rule.tolerance)
    return _Found(jax.tree.map(lambda now, old: jnp.where(done, old, now), new, at), weight, factor, done), count + 1

  start = _feasible(problem)
  first = _Found(start, start.slack, _no_factor(problem), jnp.zeros((), bool))
  return lax.while_loop(lambda carry: ~carry[0].done, advance, (first, jnp.zeros((), jnp.int32)))[0]


def _done(problem: _Problem, at: _Iterate, tolerance: float) -> Array:
  """Also that every product of slack and multiplier is far below what a gradient would feel."""
  worst = (at.slack * at.multiplier).max()
  near = _residual(problem, at) <= _attainable(problem, at, tolerance)
  return near & (worst <= 0.1 * tolerance**2 * problem.size)


def _attainable(problem: _Problem, at: _Iterate, tolerance: float) -> Array:
  """The tolerance, or what rounding leaves of hessian @ alpha where that is more: features of one sign are such."""
  terms = _times(jnp.abs(problem.hessian), jnp.abs(at.alpha)).max()
  return jnp.maximum(tolerance, jnp.finfo(terms.dtype).eps * terms)


def _feasible(problem: _Problem) -> _Iterate:
  others = 1 - problem.onehot
  ways = others.shape[1]
  half = jnp.minimum(problem.bound, 1.0) / 2
  alpha = half * (problem.onehot - others / (ways - 1))
  slack = problem.bound * problem.onehot - alpha
  slope = problem.onehot - _times(problem.hessian, alpha)
  shift = slope.min(1) - 1
  return _Iterate(alpha, slack, slope - shift[:, None], shift)


def _released(problem: _Problem, rule: _Rule) -> _Found:
  """qpth's start and rules; the point after the last step is never looked at."""
  limit = problem.bound * problem.onehot
  factor = _factorise(problem, jnp.ones_like(limit), extra=0.0)
  alpha, shift = _reduced(factor, problem.onehot + limit, jnp.zeros_like(limit[:, 0]))
  slack = limit - alpha
  start = _Iterate(alpha, _lift(slack), _lift(-slack), shift)

  def look(carry: tuple, _: None) -> tuple[tuple, None]:
    at, best, least, stale = carry
    now = _released_residual(problem, at)
    better = now < least
    stopped = stale >= 3
    keep = better & ~stopped
    best = jax.tree.map(lambda new, old: jnp.where(keep, new, old), at, best)
    least = jnp.where(keep, now, least)
    stale = jnp.where(stopped | (least < 1e-12), 3, jnp.where(better, 0, stale + 1))
    return (at, best, least, stale), None

  def go(carry: tuple, _: None) -> tuple[tuple, None]:
    at, best, least, stale = carry
    factor = _factorise(problem, at.multiplier / at.slack, extra=0.0)
    return look((_step(problem, at, factor, exact=False), best, least, stale), None)

  first = (start, start, _released_residual(problem, start), jnp.zeros((), jnp.int32))
  best = lax.scan(go, first, None, rule.iterations - 1)[0][1]
  weight = jnp.maximum(best.multiplier, 1e-8) / jnp.maximum(best.slack, 1e-8)
  return _Found(best, weight, _factorise(problem, weight), jnp.ones((), bool))


def _lift(values: Array) -> Array:
  least = values.min()
  return jnp.where(least < 0, values - least + 1, values)


def _stationarity(problem: _Problem, at: _Iterate) -> Array:
  return _times(problem.hessian, at.alpha) - problem.onehot + at.multiplier + at.shift[:, None]


def _released_residual(problem: _Problem, at: _Iterate) -> Array:
  gap = at.alpha + at.slack - problem.bound * problem.onehot
  parts = [_stationarity(problem, at), gap, at.alpha.sum(1)]
  return sum(jnp.sqrt((part**2).sum()) for part in parts) + jnp.abs((at.slack * at.multiplier).sum())


def _residual(problem: _Problem, at: _Iterate) -> Array:
  """Stationarity in units of the margin, row sums and bounds relative to alpha, products of slack and multiplier."""
  largest = jnp.maximum(jnp.abs(at.alpha).max(), jnp.finfo(at.alpha.dtype).tiny)
  over = jnp.maximum(at.alpha - problem.bound * problem.onehot, 0.0).max()
  worst = jnp.stack(
    [
      jnp.abs(_stationarity(problem, at)).max(),
      jnp.abs(at.alpha.sum(1)).max() / largest,
      over / largest,
      jnp.abs(at.slack * at.multiplier).max(),
      jnp.maximum(-at.multiplier.min(), 0.0),
    ]
  )
  return worst.max()


def _step(problem: _Problem, at: _Iterate, factor: _Factor, *, exact: bool) -> _Iterate:
  """One predictor-corrector step. `exact` starts feasible, so its slacks need no correction but rounding's."""
  slope, rows = _stationarity(problem, at), at.alpha.sum(1)
  gap = jnp.zeros_like(slope) if exact else at.alpha + at.slack - problem.bound * problem.onehot

  def towards(product: Array) -> _Iterate:
    """The direction that takes slack * multiplier to first order to `product` below what they are."""
    right = -slope + (product - at.multiplier * gap) / at.slack
    alpha, shift = _reduced(factor, right, -rows)
    slack = -gap - alpha
    return _Iterate(alpha, slack, (-product - at.multiplier * slack) / at.slack, shift)

  products = at.slack * at.multiplier
  mean = products.mean()
  ahead = towards(products)
  reach = jnp.minimum(1.0, _reach(at, ahead))
  then = ((at.slack + reach * ahead.slack) * (at.multiplier + reach * ahead.multiplier)).mean()
  centre = (then / mean) ** 3 * mean
  move = towards(products + ahead.slack * ahead.multiplier - centre)
  fraction = jnp.maximum(0.99, 1 - jnp.sqrt(mean)) if exact else 0.999
  reach = jnp.minimum(1.0, fraction * _reach(at, move))
  return jax.tree.map(lambda old, change: old + reach * change, at, move)


def _reach(at: _Iterate, move: _Iterate) -> Array:
  """The longest step that leaves slacks and multipliers positive."""

  def longest(value: Array, change: Array) -> Array:
    return jnp.where(change < 0, -value / jnp.where(change < 0, change, -1), jnp.inf).min()

  return jnp.minimum(longest(at.slack, move.slack), longest(at.multiplier, move.multiplier))


def _little(problem: _Problem) -> Array:
  """On the diagonal it keeps the factor of a singular kernel matrix real after rounding."""
  dtype = problem.hessian.dtype
  return 2 * len(problem.hessian) * jnp.finfo(dtype).eps * problem.size + jnp.finfo(dtype).tiny


def _factorise(problem: _Problem, weight: Array, extra: float | None = None) -> _Factor:
  """Of hessian + diag(weight) for each class, and `extra` or a little; an infinite weight holds its alpha."""
  extra = _little(problem) if extra is None else extra
  moves = jnp.isfinite(weight).T
  both = moves[:, :, None] & moves[:, None, :]
  diagonal = jnp.where(moves, weight.T + extra, 1)[:, :, None] * jnp.eye(len(weight), dtype=weight.dtype)[None]
  half = jnp.where(both, root(jnp.where(both, problem.hessian[None], 0) + diagonal), 0)
  stacked = half.reshape(-1, len(weight))
  return _Factor(half, root(_times(stacked.T, stacked)))


def _no_factor(problem: _Problem) -> _Factor:
  count, ways = problem.onehot.shape
  return _Factor(jnp.zeros((ways, count, count), problem.hessian.dtype), jnp.zeros_like(problem.hessian))


def _reduced(factor: _Factor, right: Array, rows: Array) -> tuple[Array, Array]:
  """alpha and shift with (hessian + D_k) alpha_k + shift = right_k and sum_k alpha_k = rows."""

  def classes(values: Array) -> Array:
    inner = jnp.einsum("kij,jk->ki", factor.half, values, precision=HIGHEST)
    return jnp.einsum("kji,kj->ik", factor.half, inner, precision=HIGHEST)

  free = classes(right)
  shift = _times(factor.schur.T, _times(factor.schur, free.sum(1) - rows))
  return classes(right - shift[:, None]), shift


def _times(a: Array, b: Array) -> Array:
  return jnp.matmul(a, b, precision=HIGHEST)
