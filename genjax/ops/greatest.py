"""The greatest absolute value of an array that may hold a NaN.

Checked  tests/ops/test_svm.py, tests/ops/test_qp.py
"""

import jax
import jax.numpy as jnp

Array = jax.Array


def greatest(values: Array) -> Array:
  """[], 0 for no values; NaN where any is not finite, which `max` may drop on a CPU (jaxlib 0.10)."""
  return jnp.where(jnp.isfinite(values).all(), jnp.abs(values).max(initial=0.0), jnp.nan)
