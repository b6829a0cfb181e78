"""What an image shares with the others of its batch: layers that let a critic see that a generator repeats itself.

Papers   discrimination  Salimans et al. 2016, arXiv:1606.03498, section 3.2
         deviation       Karras et al. 2018, arXiv:1710.10196, section 3; groups as in StyleGAN2, arXiv:1912.04958
Shapes   features [B, A] float32 or finer; see each function.
Checked  tests/ops/test_minibatch.py: a triple loop in numpy.
"""

import jax
import jax.numpy as jnp

from genjax.ops.norms import root

Array = jax.Array


def discrimination(features: Array, projection: Array) -> Array:
  """o(x_i)_b = sum over j of exp(-|M_i,b - M_j,b|_1), M_i = f(x_i) T; the sum counts i itself, as published.

  Args:
    features: [B, A].
    projection: T [A, K, C], learned; Salimans et al. use K = 100, C = 5. Memory is B^2 K C.

  Returns:
    [B, K], to be put beside the features.
  """
  rows = jnp.einsum("ba,akc->bkc", features, projection)
  return jnp.exp(-jnp.abs(rows[:, None] - rows[None]).sum(-1)).sum(1)


def deviation(features: Array, group: int = 4) -> Array:
  """Each image's group's standard deviation, averaged over all features: [B, ...] -> [B].

  Image i is in a group with i + B/group, i + 2 B/group, ...: the groups of StyleGAN2. Its 1e-8 is under the root.

  Raises:
    ValueError: the batch is not a multiple of the group.
  """
  count = features.shape[0]
  if count % group:
    raise ValueError(f"a batch of {count} has no groups of {group}; use a group that divides it")
  grouped = features.reshape(group, count // group, -1)
  spread = root(grouped.var(0) + 1e-8).mean(-1)
  return jnp.tile(spread, group)
