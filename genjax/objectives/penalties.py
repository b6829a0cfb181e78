"""Gradient penalties: where the critic's slope is measured and how it is judged.

Papers   WGAN-GP  Gulrajani et al. 2017, arXiv:1704.00028; WINN  Lee et al., CVPR 2018, section 2.4.1
Departs  WGAN-GP: the slope of an image whose gradient is zero is 0, with gradient 0, where the formula has none.
Shapes   B batch, H W C image. real, fake [B, H, W, C] float32 in [-1, 1]; slopes [B]; every penalty returns [].
Checked  tests/objectives/test_penalties.py: a linear critic has slope |w| everywhere; finite at zero gradient.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from genjax.objectives.terms import Critic, Round, Term, stateless

Array = jax.Array
Points = Callable[[Array, Round], Array]  # key, round -> images [B, H, W, C]
Judge = Callable[[Array], Array]  # slopes [B] -> penalties [B]


def between(key: Array, round: Round) -> Array:
  """Points on the straight line from each real image to its fake one, one uniform weight per pair."""
  weight = jax.random.uniform(key, (round.real.shape[0],) + (1,) * (round.real.ndim - 1))
  return weight * round.real + (1 - weight) * round.fake


def unit(slopes: Array) -> Array:
  """(slope - 1)^2: a slope of one, from both sides."""
  return (slopes - 1) ** 2


def slopes(critic: Critic, images: Array) -> Array:
  """The norm of the critic's gradient at each image, [B]; per image, never over the batch; safe at 0."""
  gradient = jax.grad(lambda x: critic(x)[0].sum())(images)
  gradient = gradient.astype(jnp.promote_types(gradient.dtype, jnp.float32))
  square = (gradient**2).sum(tuple(range(1, gradient.ndim)))
  flat = square == 0
  return jnp.where(flat, 0.0, jnp.sqrt(jnp.where(flat, 1.0, square)))


def gradient_penalty(points: Points = between, judge: Judge = unit) -> Term:
  """The mean judged slope over the points. The default is WGAN-GP's; its paper's weight is 10."""
  return stateless(lambda key, round: judge(slopes(round.critic, points(key, round))).mean())
