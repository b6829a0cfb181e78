"""The inverse of many small symmetric positive definite matrices, in products alone: no LAPACK, no triangular solve.

Departs  jaxlib's LAPACK calls can wait for each other for ever on a 2-thread pool and stall on shared cores; products
         and elementwise steps do not, are faster at these sizes, and are what a TPU or a GPU is good at.
Checked  tests/ops/test_inverse.py: numpy in float64, its gradient.

    [A B; B' D]^-1 = [A^-1 + T S T', -T S; -S T', S],   T = A^-1 B,   S = (D - B'T)^-1
"""

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
SMALL = 20  # up to this size elimination one pivot at a time is the faster


def inverse(matrix: Array) -> Array:
  """The inverse of [..., n, n] symmetric positive definite, n >= 1; NaN where rounding found a pivot not above 0."""
  if matrix.shape[-1] <= SMALL:
    return _eliminated(matrix)
  half = (matrix.shape[-1] + 1) // 2
  A, B, D = matrix[..., :half, :half], matrix[..., :half, half:], matrix[..., half:, half:]
  A = inverse(A)
  T = _times(A, B)
  S = inverse(D - _times(_transposed(B), T))
  TS = _times(T, S)
  above = jnp.concatenate([A + _times(TS, _transposed(T)), -TS], -1)
  return jnp.concatenate([above, jnp.concatenate([-_transposed(TS), S], -1)], -2)


def _eliminated(matrix: Array) -> Array:
  """Gauss-Jordan in place, all matrices at once; a positive definite matrix needs no exchange of rows."""
  count = matrix.shape[-1]

  def step(pivot: Array, a: Array) -> Array:
    at = jnp.arange(count) == pivot
    at_row, at_column = (jnp.expand_dims(at, (*range(a.ndim - 2), axis)) for axis in (-1, -2))
    row, column = lax.dynamic_slice_in_dim(a, pivot, 1, -2), lax.dynamic_slice_in_dim(a, pivot, 1, -1)
    middle = lax.dynamic_slice_in_dim(row, pivot, 1, -1)
    scale = 1 / jnp.where(middle > 0, middle, jnp.nan)
    row = row * scale
    return jnp.where(at_row, jnp.where(at_column, scale, row), jnp.where(at_column, -column * scale, a - column * row))

  return lax.fori_loop(0, count, step, matrix)


def _times(a: Array, b: Array) -> Array:
  return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def _transposed(a: Array) -> Array:
  return jnp.swapaxes(a, -1, -2)
