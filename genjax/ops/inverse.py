"""Many small symmetric positive definite matrices, factored and inverted in products alone: no LAPACK.

Departs  jaxlib's LAPACK calls can wait for each other for ever on a 2-thread pool and stall on shared cores; products
         and elementwise steps do not, are as fast at these sizes, and are what a TPU or a GPU is good at.
Shapes   matrix [..., n, n], n >= 1.
Checked  tests/ops/test_inverse.py: numpy in float64, its gradient, a nearly singular matrix.

    [A B; B' D] = M' M  with  M^-1 = W':   W = [V 0; -U X'V U],   V = root(A),  X = V B,  U = root(D - X'X)
"""

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
SMALL = 20  # up to this size elimination one pivot at a time is the faster


def inverse(matrix: Array) -> Array:
  """The inverse [..., n, n], as stable as by Cholesky's factor; NaN where a pivot is not above 0."""
  half = root(matrix)
  return _times(_transposed(half), half)


def root(matrix: Array) -> Array:
  """The inverse of Cholesky's factor, [..., n, n]: W lower triangular with W matrix W' = I, so W'W is the inverse."""
  count = matrix.shape[-1]
  if count <= SMALL:
    return _eliminated(matrix)
  half = (count + 1) // 2
  A, B, D = matrix[..., :half, :half], matrix[..., :half, half:], matrix[..., half:, half:]
  above = root(A)
  X = _times(above, B)
  below = root(D - _times(_transposed(X), X))
  left = -_times(below, _times(_transposed(X), above))
  return jnp.concatenate([jnp.concatenate([above, jnp.zeros_like(B)], -1), jnp.concatenate([left, below], -1)], -2)


def _eliminated(matrix: Array) -> Array:
  """`root` by Gaussian elimination of all matrices at once, in place: the rows of W grow where zeros appear."""
  count = matrix.shape[-1]
  order = jnp.arange(count)

  def step(pivot: Array, a: Array) -> Array:
    row, column = lax.dynamic_slice_in_dim(a, pivot, 1, -2), lax.dynamic_slice_in_dim(a, pivot, 1, -1)
    middle = lax.dynamic_slice_in_dim(row, pivot, 1, -1)
    here, below = order == pivot, order > pivot
    here_row, here_column, rows_below = (_like(a, part) for part in (here[:, None], here[None, :], below[:, None]))
    row = jnp.where(here_column, 1, row)
    rest = jnp.where(here_column, 0, a) - column / middle * row
    return jnp.where(here_row, row * lax.rsqrt(middle), jnp.where(rows_below, rest, a))

  done = lax.fori_loop(0, count, step, matrix)
  return jnp.where(_like(done, order[:, None] >= order[None, :]), done, 0)


def _like(a: Array, mask: Array) -> Array:
  return jnp.expand_dims(mask, tuple(range(a.ndim - 2)))


def _times(a: Array, b: Array) -> Array:
  return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def _transposed(a: Array) -> Array:
  return jnp.swapaxes(a, -1, -2)
