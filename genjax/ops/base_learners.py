"""Heads of few-shot learning: a classifier made of an episode's supports, as logits of its queries.

Papers   svm       Lee 2021 (thesis), eq 4.8 to 4.10; Crammer & Singer 2001
         ridge     Lee 2021 (thesis), eq 4.11: coefficients 2 (K + penalty I)^-1 Y
         r2d2      Bertinetto et al. 2019, arXiv:1805.08136: coefficients (K + penalty I)^-1 Y
         proto     Snell et al. 2017, arXiv:1703.05175; distances are divided by d as in the released code
         weston_watkins  Weston & Watkins 1999: a margin of 2 to each other class; the losses of all pairs are summed
         matching  Vinyals et al. 2016, arXiv:1606.04080, eq 1 and 2, cosine similarity; their full context embedding
                   is left out
Departs  svm: ridge=0 is the thesis; the released code has ridge=1 and, at test, mode="qpth" with iterations=3.
         weston_watkins: the bias is a constant feature, as released; the start and rules of its solver are ours.
Shapes   n supports, m queries, d features, K ways. support [n, d], labels [n] in [0, K), query [m, d]; logits [m, K]
         without the learned scale. A label outside [0, K) gives NaN. One episode a call: batches by vmap.
Checked  tests/ops/test_base_learners.py: numpy and scipy in float64, gradients, invariances.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from genjax.core import Kernel as Piece
from genjax.ops.inverse import inverse
from genjax.ops.kernels import Kernel, linear, polynomial, rbf
from genjax.ops.one_hot import one_hot
from genjax.ops.qp import solve_qp
from genjax.ops.svm import svm_dual

Array = jax.Array
HIGHEST = lax.Precision.HIGHEST
KERNELS: dict[str, Callable[..., Kernel]] = {
  "linear": lambda width, degree: linear,
  "rbf": lambda width, degree: rbf(width),
  "polynomial": lambda width, degree: polynomial(degree, scale=1 / width**2),
}


class Solved(NamedTuple):
  """The logits of a head that solves an optimisation problem, and whether it was solved."""

  logits: Array  # [m, K]
  converged: Array  # [] bool, False too where a fixed number of iterations ends before the optimum


def svm_solved(
  support: Array,
  labels: Array,
  query: Array,
  *,
  ways: int,
  C: float = 0.1,
  ridge: float = 0.0,
  iterations: int | None = None,
  tolerance: float | None = None,
  mode: Literal["exact", "qpth"] = "exact",
  kernel: str | Kernel = "linear",
  width: float = 1.0,
  degree: int = 2,
) -> Solved:
  """Logits [m, ways] of the multi-class SVM of Crammer and Singer; `svm` gives the logits alone.

  Args:
    support, labels, query, ways: see Shapes.
    C, ridge, iterations, tolerance, mode: see ops.svm.svm_dual.
    kernel: "linear", "rbf", "polynomial", or a function (x [n, d], y [m, d]) -> [n, m].
    width: standard deviation of "rbf"; "polynomial" divides inner products by its square.
    degree: of "polynomial".

  Raises:
    ValueError: another kernel or mode, or iterations below 1.
  """
  of = kernel_of(kernel, width, degree)
  dual = svm_dual(
    support,
    labels,
    ways=ways,
    C=C,
    ridge=ridge,
    kernel=of,
    iterations=iterations,
    tolerance=tolerance,
    mode=mode,
  )
  return Solved(_times(of(query, support), dual.alpha), dual.converged)


def ridge(
  support: Array,
  labels: Array,
  query: Array,
  *,
  ways: int,
  penalty: float = 50.0,
  kernel: str | Kernel = "linear",
  width: float = 1.0,
  degree: int = 2,
) -> Array:
  """Logits [m, ways] of ridge regression on one-hot labels, in its dual form with the factor 2 of eq 4.11.

  Args:
    penalty: added to the diagonal of the kernel matrix.
    support, labels, query, ways, kernel, width, degree: as those of `svm_solved`.
  """
  of = kernel_of(kernel, width, degree)
  return 2 * _times(of(query, support), _regressed(of(support, support), labels, ways, penalty))


def r2d2(
  support: Array,
  labels: Array,
  query: Array,
  *,
  ways: int,
  penalty: float = 50.0,
  kernel: str | Kernel = "linear",
  width: float = 1.0,
  degree: int = 2,
) -> Array:
  """Logits [m, ways] of ridge regression on one-hot labels; arguments as those of `ridge`."""
  of = kernel_of(kernel, width, degree)
  return _times(of(query, support), _regressed(of(support, support), labels, ways, penalty))


def proto(support: Array, labels: Array, query: Array, *, ways: int) -> Array:
  """Logits [m, ways]: minus the squared distance of a query to the mean of each class, divided by d."""
  onehot = one_hot(labels, ways, support.dtype)
  means = _times(onehot.T, support) / onehot.sum(0)[:, None]
  gap = query[:, None, :] - means[None, :, :]
  return -(gap**2).mean(-1)


def weston_watkins_solved(
  support: Array,
  labels: Array,
  query: Array,
  *,
  ways: int,
  C: float = 0.1,
  bias: bool = True,
  iterations: int | None = None,
  tolerance: float | None = None,
  kernel: str | Kernel = "linear",
  width: float = 1.0,
  degree: int = 2,
) -> Solved:
  """Logits [m, ways] of the multi-class SVM of Weston and Watkins: n (K - 1) coefficients in [0, C], by `solve_qp`.

  `weston_watkins` gives the logits alone.

  Args:
    C: bound of every coefficient; the released code has 1e-5.
    bias: whether 1 is added to the kernel.
    iterations, tolerance: see ops.qp.solve_qp.
    support, labels, query, ways, kernel, width, degree: as those of `svm_solved`.
  """
  of, count = kernel_of(kernel, width, degree), len(labels)
  gram, cross = of(support, support) + bias, of(query, support) + bias
  others = (labels[:, None] + 1 + jnp.arange(ways - 1)[None, :]) % ways
  # a_ij moves the weights of the true class by x_i, and those of the j-th other class by -x_i
  moves = one_hot(labels, ways, gram.dtype)[:, None, :] - jax.nn.one_hot(others, ways, dtype=gram.dtype)
  variables = count * (ways - 1)
  hessian = jnp.einsum("ab,aik,bjk->aibj", gram, moves, moves, precision=HIGHEST).reshape(variables, variables)
  eye, ones = jnp.eye(variables, dtype=gram.dtype), jnp.ones(variables, gram.dtype)
  program = solve_qp(
    hessian,
    -2 * ones,
    jnp.concatenate([eye, -eye]),
    jnp.concatenate([C * ones, 0 * ones]),
    jnp.zeros((0, variables), gram.dtype),
    jnp.zeros(0, gram.dtype),
    iterations=iterations,
    tolerance=tolerance,
  )
  coefficients = program.solution.reshape(count, ways - 1)
  logits = _times(cross, jnp.einsum("ij,ijk->ik", coefficients, moves, precision=HIGHEST))
  return Solved(logits, program.converged)


def _logits_alone(function: Callable[..., Solved]) -> Callable[..., Array]:
  @wraps(function)
  def logits(*episode: Array, **settings: Any) -> Array:
    return function(*episode, **settings).logits

  return logits


svm = _logits_alone(svm_solved)
weston_watkins = _logits_alone(weston_watkins_solved)


def matching(support: Array, labels: Array, query: Array, *, ways: int, sharpness: float = 1.0) -> Array:
  """Log-probabilities [m, ways] of the classes: a query attends to the supports of a class.

  Args:
    sharpness: factor of the cosine similarity of query and support, before the softmax over supports.
    support, labels, query, ways: see Shapes.
  """
  similarity = sharpness * _times(_unit(query), _unit(support).T)
  attention = jax.nn.log_softmax(similarity, axis=-1)
  of_class = jnp.log(one_hot(labels, ways, attention.dtype))[None]
  return jax.nn.logsumexp(attention[:, :, None] + of_class, axis=1)


def head_kernels(key: Array) -> dict[str, Piece]:
  """For bench: heads alone, forward and backward, on 8 episodes of 5 ways, 1600 features and 6 queries a class."""
  ways, features, episodes, queries = 5, 1600, 8, 6
  heads = {"svm": svm, "svm, 3 iterations as released": _released, "ridge": ridge, "proto": proto}
  pieces = {}
  for shots in (1, 5, 15):
    label = jnp.tile(jnp.repeat(jnp.arange(ways), shots), (episodes, 1))
    key, key_support, key_query = jax.random.split(key, 3)
    support = jax.random.normal(key_support, (episodes, ways * shots, features))
    query = jax.random.normal(key_query, (episodes, ways * queries, features))
    for name, head in heads.items():

      def loss(support: Array, query: Array, label: Array = label, head: Callable[..., Array] = head) -> Array:
        logits = jax.vmap(lambda *episode: head(*episode, ways=ways))(support, label, query)
        return jax.nn.logsumexp(logits, axis=-1).sum()

      pieces[f"{name}, {shots} shots"] = Piece(jax.grad(loss, (0, 1)), (support, query), episodes, "episodes")
  return pieces


def _released(support: Array, labels: Array, query: Array, *, ways: int) -> Array:
  return svm(support, labels, query, ways=ways, ridge=1.0, mode="qpth", iterations=3)


def kernel_of(kernel: str | Kernel, width: float = 1.0, degree: int = 2) -> Kernel:
  """The kernel of a name of KERNELS; a function is returned as it is. Raises ValueError for another name."""
  if not isinstance(kernel, str):
    return kernel
  if kernel not in KERNELS:
    raise ValueError(f"kernel {kernel!r}; use {', '.join(KERNELS)}, or a function of [n, d] and [m, d]")
  return KERNELS[kernel](width, degree)


def _regressed(gram: Array, labels: Array, ways: int, penalty: float) -> Array:
  """(gram + penalty I)^-1 Y, [n, ways], by the inverse and one step of refinement."""
  matrix = gram + penalty * jnp.eye(len(gram), dtype=gram.dtype)
  product = lambda values: _times(matrix, values)

  def solve(_: Callable, right: Array) -> Array:
    inverted = inverse(lax.stop_gradient(matrix))
    first = _times(inverted, right)
    return first + _times(inverted, right - product(first))

  return lax.custom_linear_solve(product, one_hot(labels, ways, gram.dtype), solve, symmetric=True)


def _unit(rows: Array) -> Array:
  """Rows divided by their length; a row of length 0 stays 0 and has a gradient of 0."""
  squares = (rows**2).sum(-1, keepdims=True)
  return rows * jnp.where(squares > 0, lax.rsqrt(jnp.where(squares > 0, squares, 1.0)), 0.0)


def _times(a: Array, b: Array) -> Array:
  return jnp.matmul(a, b, precision=HIGHEST)
