"""One-hot labels that show a wrong label: its row is NaN, where jax.nn.one_hot has zeros and a loss stays finite.

Shapes   labels [...] integers in [0, K) -> [..., K]
Checked  tests/ops/test_base_learners.py
"""

import jax
import jax.numpy as jnp

Array = jax.Array


def one_hot(labels: Array, ways: int, dtype: jnp.dtype = jnp.float32) -> Array:
  """1 at the label and 0 elsewhere; NaN everywhere for a label outside [0, ways)."""
  right = jnp.asarray(labels)[..., None]
  known = (right >= 0) & (right < ways)
  return jnp.where(known, jax.nn.one_hot(labels, ways, dtype=dtype), jnp.nan)
