"""Losses that look at the critic's logits alone.

Papers   Wasserstein  Arjovsky et al. 2017, arXiv:1701.07875; WINN  Lee et al., CVPR 2018, eq 2.6 of the dissertation
         cross-entropy  INN  Lazarow, Jin & Tu, ICCV 2017; the unnumbered loss above eq 2.6 of the dissertation
Shapes   real, fake [B] logits -> scalar. The order is always (real, fake).
Checked  tests/objectives/test_logits.py
"""

import jax

Array = jax.Array


def wasserstein_critic(real: Array, fake: Array) -> Array:
  """mean f(fake) - mean f(real): minus the critic's estimate of the Wasserstein-1 distance."""
  return fake.mean() - real.mean()


def cross_entropy_critic(real: Array, fake: Array) -> Array:
  """mean -log sigmoid(f(real)) + mean -log sigmoid(-f(fake)): at its best f is the log of the density ratio."""
  return jax.nn.softplus(-real).mean() + jax.nn.softplus(fake).mean()
