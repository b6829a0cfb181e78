"""Euclidean norms that have a gradient everywhere: 0 where the vector is 0, where the formula has none.

Shapes   any; float32 or finer for a result of use.
Checked  tests/ops/test_norms.py: value, gradient, and finiteness at 0 and where the square underflows.
"""

import jax
import jax.numpy as jnp

Array = jax.Array


def root(squares: Array) -> Array:
  """The square root, with gradient 0 at 0."""
  flat = squares == 0
  return jnp.where(flat, 0.0, jnp.sqrt(jnp.where(flat, 1.0, squares)))


def norm(vectors: Array, axis: int | tuple[int, ...] = -1) -> Array:
  """Euclidean length along `axis`, with gradient 0 at 0. For float32 a length below 1e-19 counts as 0."""
  return root((vectors**2).sum(axis))


def distances(x: Array, y: Array) -> Array:
  """Euclidean distances [N, M] of x [N, D] from y [M, D], by differences: none is lost to cancellation."""
  return norm(x[:, None] - y[None])
