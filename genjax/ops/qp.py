"""Convex quadratic programs by a primal-dual interior point method, differentiated at their solution.

Papers   Mehrotra 1992: predictor and corrector. Amos and Kolter 2017, arXiv:1703.00443: gradients by the KKT system.
Departs  Q need not be positive definite: a small multiple of the identity is added in the factors, and taken out
         again by refinement, so it changes how steps are computed and not the solution.
Shapes   v variables, m inequalities, p equalities, each of m and p may be 0. Q [v, v], q [v], G [m, v], h [m],
         A [p, v], b [p]. One problem a call: batches by vmap.
Checked  tests/ops/test_qp.py: KKT conditions by numpy, scipy, central differences, `svm_dual`.

    min 1/2 z'Qz + q'z   with   G z <= h,  A z = b.

Q is factored once; a step then takes one Cholesky factor of size m + p. Rows of G and A are scaled to length 1 and the
objective to a largest number of 1, so residuals are relative to the size of the data.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from genjax.ops.greatest import greatest

Array = jax.Array
CEILING = 60  # iterations of a run to a tolerance; 8 to 25 are usual


class QP(NamedTuple):
  """The solution of a quadratic program, and how well it was solved."""

  solution: Array  # [v]
  inequality: Array  # [m], the multipliers of the inequalities
  equality: Array  # [p], the multipliers of the equalities
  slack: Array  # [m], h - G solution, positive
  residuals: Array  # [4], worst of stationarity, inequalities, equalities, slack times multiplier, in scaled units
  converged: Array  # [] bool
  iterations: Array  # [] int32


class _Data(NamedTuple):
  """The scaled problem."""

  Q: Array
  q: Array
  G: Array
  h: Array
  A: Array
  b: Array


class _Iterate(NamedTuple):
  """A primal-dual point."""

  z: Array  # [v]
  s: Array  # [m], slack
  u: Array  # [m], multipliers of the inequalities
  y: Array  # [p], multipliers of the equalities


class _Base(NamedTuple):
  """What is factored once for all steps."""

  root: Array  # [v, v], the Cholesky factor of Q plus a small multiple of the identity
  rows: Array  # [m + p, v], G above A
  half: Array  # [v, m + p], root^-1 rows'
  gram: Array  # [m + p, m + p], half' half


def solve_qp(
  Q: Array,
  q: Array,
  G: Array,
  h: Array,
  A: Array,
  b: Array,
  *,
  iterations: int | None = None,
  tolerance: float | None = None,
) -> QP:
  """The minimum of 1/2 z'Qz + q'z where Gz <= h and Az = b.

  The solution is differentiable in all six arrays; the gradient in Q is symmetric. The multipliers and the residuals
  pass no gradient on.

  Args:
    Q: [v, v], symmetric and positive semi-definite.
    q: [v].
    G, h: [m, v] and [m], the inequalities; m may be 0.
    A, b: [p, v] and [p], the equalities, of full row rank; p may be 0.
    iterations: a fixed number of steps; None stops at the tolerance, or after 60 steps.
    tolerance: of every one of the scaled residuals; None is 2e-6 in float32 and 1e-10 in float64.

  Returns:
    QP. A problem with a NaN gives NaN, and `converged` is False; it is False too where no point is feasible.

  Raises:
    ValueError: shapes that do not fit, iterations below 1.
  """
  count = q.shape[0] if q.ndim == 1 else -1
  wanted = ((count, count), (count,), (len(h), count), (len(h),), (len(b), count), (len(b),))
  came = tuple(part.shape for part in (Q, q, G, h, A, b))
  if came != wanted:
    raise ValueError(
      f"Q, q, G, h, A, b are {came}; wanted [v, v], [v], [m, v], [m], [p, v], [p] (jax.vmap for a batch)"
    )
  if iterations is not None and iterations < 1:
    raise ValueError(f"iterations is {iterations}; wanted 1 or more, or None to go on to the tolerance")
  dtype = jnp.promote_types(jnp.result_type(Q, q, G, h, A, b), jnp.float32)
  if tolerance is None:
    tolerance = 2e-6 if dtype == jnp.float32 else 1e-10
  return _qp(*(part.astype(dtype) for part in (Q, q, G, h, A, b)), (iterations, tolerance))


@partial(jax.custom_vjp, nondiff_argnums=(6,))
def _qp(Q: Array, q: Array, G: Array, h: Array, A: Array, b: Array, rule: tuple) -> QP:
  return _solve(_Data(Q, q, G, h, A, b), rule)[0]


def _forward(Q: Array, q: Array, G: Array, h: Array, A: Array, b: Array, rule: tuple) -> tuple[QP, tuple]:
  result, saved = _solve(_Data(Q, q, G, h, A, b), rule)
  return result, (result, *saved)


def _backward(rule: tuple, saved: tuple, cotangent: QP) -> tuple[Array, ...]:
  """The KKT system is symmetric: its solution with the cotangent on the right is the sensitivity to every input."""
  result, data, base, at, cost, rows_g, rows_a = saved
  ratio = at.s / at.u
  root = _schur(base, ratio)
  right = _Rest(-cotangent.solution, jnp.zeros_like(at.s), jnp.zeros_like(at.y))
  dz, du, dy = _refined(data, base, ratio, root, right, times=4)
  # in the units of the problem as it came
  dz, du, dy = dz / cost, du / rows_g, dy / rows_a
  outer = dz[:, None] * result.solution[None, :]
  of_G = du[:, None] * result.solution[None, :] + result.inequality[:, None] * dz[None, :]
  of_A = dy[:, None] * result.solution[None, :] + result.equality[:, None] * dz[None, :]
  return (outer + outer.T) / 2, dz, of_G, -du, of_A, -dy


_qp.defvjp(_forward, _backward)


def _solve(raw: _Data, rule: tuple) -> tuple[QP, tuple]:
  iterations, tolerance = rule
  cost = _or_one(jnp.maximum(jnp.abs(raw.Q).max(initial=0.0), jnp.abs(raw.q).max(initial=0.0)))
  rows_g, rows_a = (_or_one(jnp.sqrt((rows**2).sum(1))) for rows in (raw.G, raw.A))
  data = _Data(
    raw.Q / cost,
    raw.q / cost,
    raw.G / rows_g[:, None],
    raw.h / rows_g,
    raw.A / rows_a[:, None],
    raw.b / rows_a,
  )
  base = _base(data)
  start = _start(data, base)

  def advance(at: _Iterate) -> tuple[_Iterate, Array]:
    """The next point and True; or this point and False, where rounding has broken a factor."""
    new = _step(data, base, at)
    fine = jnp.isfinite(new.z).all() & jnp.isfinite(new.s + new.u).all() & jnp.isfinite(new.y).all()
    return jax.tree.map(lambda now, old: jnp.where(fine, now, old), new, at), fine

  if iterations is not None:
    at = lax.scan(lambda at, _: (advance(at)[0], None), start, None, iterations)[0]
    count = jnp.asarray(iterations, jnp.int32)
  else:

    def unfinished(carry: tuple[_Iterate, Array, Array]) -> Array:
      at, moved, count = carry
      done = (_residuals(data, at) <= tolerance).all() & ((at.s * at.u).max(initial=0.0) <= 0.1 * tolerance**2)
      return moved & (count < CEILING) & ~done

    first = (start, jnp.isfinite(start.z).all(), jnp.zeros((), jnp.int32))
    at, _, count = lax.while_loop(unfinished, lambda c: (*advance(c[0]), c[2] + 1), first)
  residuals = _residuals(data, at)
  solution = jnp.where(jnp.isfinite(residuals).all(), at.z, jnp.nan)
  result = QP(
    solution,
    at.u * cost / rows_g,
    at.y * cost / rows_a,
    at.s * rows_g,
    residuals,
    (residuals <= tolerance).all(),
    count,
  )
  return result, (data, base, at, cost, rows_g, rows_a)


def _or_one(size: Array) -> Array:
  """1 in the place of 0."""
  return jnp.where(size == 0, jnp.ones_like(size), size)


class _Rest(NamedTuple):
  """The right-hand side of the KKT system: of the variables, the inequalities and the equalities."""

  z: Array
  u: Array
  y: Array


def _base(data: _Data) -> _Base:
  dtype = data.Q.dtype
  little = jnp.sqrt(jnp.finfo(dtype).eps).astype(dtype) * jnp.eye(len(data.q), dtype=dtype)
  root = lax.linalg.cholesky((data.Q + data.Q.T) / 2 + little, symmetrize_input=False)
  rows = jnp.concatenate([data.G, data.A])
  half = lax.linalg.triangular_solve(root, rows.T, left_side=True, lower=True)
  return _Base(root, rows, half, _times(half.T, half))


def _schur(base: _Base, ratio: Array) -> Array:
  """The factor of rows Q^-1 rows' + diag(ratio, a little), ratio [m] = slack / multiplier."""
  equalities = base.gram.shape[0] - ratio.shape[0]
  diagonal = jnp.diagonal(base.gram)
  extra = jnp.concatenate([ratio, jnp.zeros(equalities, ratio.dtype)]) + _nudge(diagonal)
  return lax.linalg.cholesky(base.gram + jnp.diag(extra), symmetrize_input=False)


def _nudge(diagonal: Array) -> Array:
  return 8 * jnp.finfo(diagonal.dtype).eps * jnp.maximum(diagonal, 1.0)


def _direct(base: _Base, root: Array, right: _Rest) -> tuple[Array, Array, Array]:
  """z, u, y with Qz + G'u + A'y = right.z,  Gz - ratio u = right.u,  Az = right.y, to what the factors give."""
  inner = lax.linalg.triangular_solve(base.root, right.z[:, None], left_side=True, lower=True)[:, 0]
  need = _times(base.half.T, inner) - jnp.concatenate([right.u, right.y])
  both = _cholesky_solve(root, need)
  z = lax.linalg.triangular_solve(
    base.root, (inner - _times(base.half, both))[:, None], left_side=True, lower=True, transpose_a=True
  )[:, 0]
  return z, both[: len(right.u)], both[len(right.u) :]


def _refined(
  data: _Data, base: _Base, ratio: Array, root: Array, right: _Rest, times: int
) -> tuple[Array, Array, Array]:
  """`_direct` with `times` steps of iterative refinement."""
  z, u, y = _direct(base, root, right)
  for _ in range(times):
    miss = _Rest(
      right.z - _times(data.Q, z) - _times(data.G.T, u) - _times(data.A.T, y),
      right.u - _times(data.G, z) + ratio * u,
      right.y - _times(data.A, z),
    )
    dz, du, dy = _direct(base, root, miss)
    z, u, y = z + dz, u + du, y + dy
  return z, u, y


def _start(data: _Data, base: _Base) -> _Iterate:
  """The minimum where every inequality has the same weight; slacks and multipliers are then made positive."""
  ratio = jnp.ones_like(data.h)
  z, u, y = _refined(data, base, ratio, _schur(base, ratio), _Rest(-data.q, data.h, data.b), times=1)
  return _Iterate(z, _lift(-u), _lift(u), y)


def _lift(values: Array) -> Array:
  """Values shifted so that the least is 1 where any is negative, else by 1e-3."""
  least = values.min(initial=jnp.inf)
  return jnp.where(least < 0, values - least + 1, values + 1e-3)


def _gaps(data: _Data, at: _Iterate) -> _Rest:
  return _Rest(
    _times(data.Q, at.z) + data.q + _times(data.G.T, at.u) + _times(data.A.T, at.y),
    _times(data.G, at.z) + at.s - data.h,
    _times(data.A, at.z) - data.b,
  )


def _residuals(data: _Data, at: _Iterate) -> Array:
  """The largest violation of each condition [4], relative to the largest of 1 and the condition's own terms."""
  gaps = _gaps(data, at)
  force = jnp.maximum(greatest(at.u), greatest(at.y))
  far = jnp.maximum(greatest(at.z), 1.0)
  return jnp.stack(
    [
      greatest(gaps.z) / jnp.maximum(force, far),
      greatest(gaps.u) / far,
      greatest(gaps.y) / far,
      greatest(at.s * at.u) / far,
    ]
  )


def _step(data: _Data, base: _Base, at: _Iterate) -> _Iterate:
  ratio = at.s / at.u
  root = _schur(base, ratio)
  gaps = _gaps(data, at)

  def towards(product: Array) -> _Iterate:
    """The direction along which, to first order, s u falls by `product`."""
    right = _Rest(-gaps.z, -gaps.u + product / at.u, -gaps.y)
    z, u, y = _refined(data, base, ratio, root, right, times=1)
    return _Iterate(z, -product / at.u - ratio * u, u, y)

  products = at.s * at.u
  count = max(products.shape[0], 1)
  mean = products.sum() / count
  ahead = towards(products)
  reach = jnp.minimum(1.0, _reach(at, ahead))
  then = ((at.s + reach * ahead.s) * (at.u + reach * ahead.u)).sum() / count
  centre = (then / _or_one(mean)) ** 3 * mean
  move = towards(products + ahead.s * ahead.u - centre)
  reach = jnp.minimum(1.0, jnp.clip(1 - jnp.sqrt(mean), 0.99, 0.9999) * _reach(at, move))
  return jax.tree.map(lambda old, way: old + reach * way, at, move)


def _reach(at: _Iterate, move: _Iterate) -> Array:
  """The longest step along `move` that leaves slacks and multipliers positive."""

  def longest(value: Array, way: Array) -> Array:
    return jnp.where(way < 0, -value / jnp.where(way < 0, way, -1), jnp.inf).min(initial=jnp.inf)

  return jnp.minimum(longest(at.s, move.s), longest(at.u, move.u))


def _cholesky_solve(root: Array, right: Array) -> Array:
  half = lax.linalg.triangular_solve(root, right[:, None], left_side=True, lower=True)
  return lax.linalg.triangular_solve(root, half, left_side=True, lower=True, transpose_a=True)[:, 0]


def _times(a: Array, b: Array) -> Array:
  return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)
