"""The inverse by halves: numpy's in float64, its own gradient's closed form, and what it says of a bad matrix."""

from functools import partial

import jax
import numpy as np
import pytest

from genjax.ops.inverse import inverse, root

in_float64 = partial(jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64, True)


def definite(*shape, seed=0):
  half = np.random.default_rng(seed).normal(size=(*shape, shape[-1]))
  return half @ np.swapaxes(half, -1, -2) + 0.1 * shape[-1] * np.eye(shape[-1])


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 2, 20), (3, 21), (2, 75)])
def test_it_is_numpys(shape):
  matrix = definite(*shape)
  expected = np.linalg.inv(matrix)
  size = np.abs(expected).max()
  with in_float64():
    np.testing.assert_allclose(jax.jit(inverse)(matrix), expected, atol=1e-13 * size)
  np.testing.assert_allclose(jax.jit(inverse)(matrix.astype(np.float32)), expected, atol=1e-5 * size)


def test_rows_of_very_different_size_keep_their_digits():
  matrix, size = definite(30), 10.0 ** np.linspace(-6, 6, 30)
  result = jax.jit(inverse)((matrix * size[:, None] * size[None, :]).astype(np.float32))
  expected = np.linalg.inv(matrix)
  np.testing.assert_allclose(result * size[:, None] * size[None, :], expected, atol=1e-5 * np.abs(expected).max())


def test_a_nearly_singular_matrix_is_solved_as_well_as_by_cholesky():
  half = np.random.default_rng(2).normal(size=(50, 8))
  matrix = half @ half.T + 1e-12 * np.eye(50)
  right = matrix @ np.random.default_rng(3).normal(size=50)
  with in_float64():
    half = np.asarray(jax.jit(root)(matrix))
  result = half.T @ (half @ right)
  np.testing.assert_allclose(matrix @ result, right, atol=1e-3 * np.abs(right).max())


def test_the_root_is_that_of_choleskys_factor():
  matrix = definite(2, 24)
  with in_float64():
    result = jax.jit(root)(matrix)
  np.testing.assert_allclose(result, np.linalg.inv(np.linalg.cholesky(matrix)), atol=1e-13)


def test_its_gradient_is_the_closed_form():
  matrix, weights = definite(24), np.random.default_rng(1).normal(size=(24, 24))
  with in_float64():
    result = jax.jit(jax.grad(lambda a: (weights * inverse(a)).sum()))(matrix)
    other = np.linalg.inv(matrix)
    expected = -other @ weights @ other
    # only the sum of an entry and its mirror image means anything: the matrix is symmetric
    np.testing.assert_allclose(result + result.T, expected + expected.T, atol=1e-12)


def test_a_matrix_that_is_not_definite_gives_nan_and_leaves_the_others():
  matrix = definite(2, 22).astype(np.float32)
  matrix[0, 5, 5] = -1.0
  result = jax.jit(inverse)(matrix)
  assert np.isnan(result[0]).any()
  assert np.isfinite(result[1]).all()
