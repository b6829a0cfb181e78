"""Sparse coefficients: Lasso by the fast iterative shrinkage-thresholding algorithm.

Papers   Lasso  Tibshirani 1996; FISTA  Beck & Teboulle 2009, SIAM J. Imaging Sciences 2:183, with constant steps
Shapes   dictionary [P, m]: a row for each coefficient; measured [B, m]; coefficients [B, P]. float32.
Checked  tests/ops/test_sparse.py: against scikit-learn
"""

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array


def lasso(dictionary: Array, measured: Array, *, weight: float, steps: int = 1000) -> Array:
  """argmin of 1 / (2 m) |c dictionary - measured|^2 + weight |c|_1, for each row of `measured`.

  Args:
    dictionary, measured: see Shapes.
    weight: of the absolute values.
    steps: of the iteration.

  Raises ValueError for shapes that do not fit, or a weight below 0.
  """
  dictionary, measured = jnp.asarray(dictionary), jnp.asarray(measured)
  if measured.ndim != 2 or measured.shape[1] != dictionary.shape[1]:
    raise ValueError(f"measured {measured.shape} by a dictionary {dictionary.shape}; wanted [B, m] and [P, m]")
  if weight < 0 or steps < 1:
    raise ValueError(f"weight {weight}, steps {steps}; use 0 or more, and at least 1")
  return _fista(dictionary, measured, weight, steps)


@jax.jit
def _fista(dictionary: Array, measured: Array, weight: float, steps: int) -> Array:
  m = measured.shape[1]
  with jax.default_matmul_precision("highest"):
    gram, target = dictionary @ dictionary.T / m, measured @ dictionary.T / m
    size = 1 / jnp.maximum(jnp.linalg.norm(gram, 2), 1e-12)

    def step(_: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
      before, ahead, t = carry
      now = _shrunk(ahead - size * (ahead @ gram - target), size * weight)
      t_next = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
      return now, now + (t - 1) / t_next * (now - before), t_next

    start = jnp.zeros_like(target)
    return lax.fori_loop(0, steps, step, (start, start, jnp.ones(())))[0]


def _shrunk(values: Array, by: Array) -> Array:
  return jnp.sign(values) * jnp.maximum(jnp.abs(values) - by, 0)
