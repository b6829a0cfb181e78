"""AdaGAN: how much the next generator of a mixture counts, and which images it is trained on.

Papers   AdaGAN  Tolstikhin et al. 2017, arXiv:1701.02386: UpdateTrainingWeights of seed 002's Algorithm 1
Shapes   logits [N] of a critic of all N training images against the mixture so far -> weights [N], sum 1.
Checked  tests/objectives/test_boosting.py: the threshold against bisection; equal logits give equal weights.
"""

import jax
import jax.numpy as jnp

from genjax.objectives.divergences import soften

Array = jax.Array


def mixture_weight(step: int) -> float:
  """beta = 1 / t of the t-th generator, t from 1: a uniform mixture, the paper's simplest choice."""
  if step < 1:
    raise ValueError(f"generator {step}; they count from 1")
  return 1.0 / step


def training_weights(logits: Array, beta: float) -> Array:
  """What each training image weighs for the next generator: w_i = (lambda - (1 - beta) h_i)+ / (N beta).

  h_i = exp(-logits_i) is how often the mixture makes image i already, as a ratio to the data's density. lambda makes
  the sum 1. Images that the mixture misses get most; beta = 1 gives all the same.

  Raises:
    ValueError: beta is not in (0, 1].
  """
  if not 0 < beta <= 1:
    raise ValueError(f"beta {beta} is not in (0, 1]")
  count = logits.shape[0]
  made = (1 - beta) * jnp.exp(-soften(logits))
  ordered = jnp.sort(made)
  taken = jnp.arange(1, count + 1)
  # with the k least made images: sum over them of (lambda - made_i) = N beta
  levels = (count * beta + jnp.cumsum(ordered)) / taken
  enough = levels <= jnp.append(ordered[1:], jnp.inf)
  level = levels[jnp.argmax(enough)]
  return jnp.maximum(level - made, 0.0) / (count * beta)
