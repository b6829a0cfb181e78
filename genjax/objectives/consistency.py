"""Consistency: what should not change the critic's mind, and what should change the generator's picture.

Papers   CR        Zhang et al. 2020, arXiv:1910.12027: on reals, weight 10
         bCR, zCR  Zhao et al. 2021, arXiv:2002.04724: reals and fakes, 10 and 10; latents, critic 5, generator 0.5
         ViTGAN    Lee et al. 2022, arXiv:2107.04589: bCR beside augmentation; its released code compares two draws
Shapes   images [B, H, W, C] in [-1, 1]; latents [B, Z]; every Term [].
Checked  tests/objectives/test_consistency.py: a critic that the augmentation does not move pays nothing.
"""

from collections.abc import Callable
from typing import Literal

import jax

from genjax.objectives.terms import Round, Term, given, stateless, wide

Array = jax.Array
Augment = Callable[[Array, Array], Array]  # key, images -> images


def consistency(side: Literal["real", "fake"], change: Augment) -> Term:
  """mean (f(x) - f(T(x)))^2 over the real or the fake images; f(x) is the round's own, not computed again."""

  def value(key: Array, round: Round) -> Array:
    images, logits = (round.real, round.real_out) if side == "real" else (round.fake, round.fake_out)
    return ((logits - wide(round.critic(change(key, images))[0])) ** 2).mean()

  return stateless(value)


def redrawn(side: Literal["real", "fake"], otherwise: Augment) -> Term:
  """mean (f(T(x)) - f(T'(x)))^2, two draws of the system's own augmentation; the first is that of the round's logits.

  In a system without one: `consistency` with `otherwise`.
  """
  plain = consistency(side, otherwise)

  def value(key: Array, round: Round) -> Array:
    if round.augment is None:
      return plain.apply(key, (), round)[0]
    images, logits = (round.real, round.real_out) if side == "real" else (round.fake, round.fake_out)
    return ((logits - wide(given(round, "bare")(round.augment(key, images))[0])) ** 2).mean()

  return stateless(value)


def latent_consistency(noise: float = 0.03) -> Term:
  """zCR of the critic: mean (f(G(z)) - f(G(z + d)))^2, d normal with standard deviation `noise`."""

  def value(key: Array, round: Round) -> Array:
    moved = wide(round.critic(_moved(key, round, noise))[0])
    return ((round.fake_out - moved) ** 2).mean()

  return stateless(value)


def latent_diversity(noise: float = 0.03) -> Term:
  """zCR of the generator: minus the mean squared distance of G(z) from G(z + d), over the values of an image."""
  return stateless(lambda key, round: -((wide(round.fake) - wide(_moved(key, round, noise))) ** 2).mean())


def _moved(key: Array, round: Round, noise: float) -> Array:
  latent = given(round, "latent")
  return given(round, "generator")(latent + noise * jax.random.normal(key, latent.shape, latent.dtype))
