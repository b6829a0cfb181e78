"""Consistency: what should not change the critic's logits, and what should change the generator's images.

Papers   CR        Zhang et al. 2020, arXiv:1910.12027: on reals, weight 10
         bCR, zCR  Zhao et al. 2021, arXiv:2002.04724: reals and fakes, 10 and 10; latents, critic 5, generator 0.5
         ViTGAN    Lee et al. 2022, arXiv:2107.04589: bCR beside augmentation; its released code compares two draws
Shapes   images [B, H, W, C] in [-1, 1]; latents [B, Z]; every Term [].
Checked  tests/objectives/test_consistency.py: a critic that the augmentation does not move pays nothing.
"""

from collections.abc import Callable
from typing import Literal

import jax

from genjax.objectives.terms import Round, Term, given, stateless, to_float32

Array = jax.Array
Augment = Callable[[Array, Array], Array]  # key, images -> images


def consistency(side: Literal["real", "fake"], augment: Augment) -> Term:
  """mean (f(x) - f(T(x)))^2 over the real or the fake images; f(x) is the Round's own, not computed again."""

  def value(key: Array, round: Round) -> Array:
    images, logits = _side(round, side)
    return ((logits - to_float32(round.critic(augment(key, images))[0])) ** 2).mean()

  return stateless(value)


def redrawn(side: Literal["real", "fake"], otherwise: Augment) -> Term:
  """mean (f(T(x)) - f(T'(x)))^2, two draws of the system's own augmentation; the first is that of the Round's logits.

  In a system that does not augment: `consistency` with `otherwise`.
  """
  plain = consistency(side, otherwise)

  def value(key: Array, round: Round) -> Array:
    if round.augmentation is None:
      return plain.apply(key, (), round)[0]
    images, logits = _side(round, side)
    again = round.augmentation.apply(key, images)
    return ((logits - to_float32(round.augmentation.net(again)[0])) ** 2).mean()

  return stateless(value)


def _side(round: Round, side: Literal["real", "fake"]) -> tuple[Array, Array]:
  """The images of a side and the critic's logits of them."""
  return (round.real, round.real_out) if side == "real" else (round.fake, round.fake_out)


def latent_consistency(noise: float = 0.03) -> Term:
  """zCR of the critic: mean (f(G(z)) - f(G(z + d)))^2, d normal with standard deviation `noise`."""

  def value(key: Array, round: Round) -> Array:
    moved = to_float32(round.critic(_moved(key, round, noise))[0])
    return ((round.fake_out - moved) ** 2).mean()

  return stateless(value)


def latent_diversity(noise: float = 0.03) -> Term:
  """zCR of the generator: minus the mean squared distance of G(z) from G(z + d), over the values of an image."""
  return stateless(lambda key, round: -((to_float32(round.fake) - to_float32(_moved(key, round, noise))) ** 2).mean())


def _moved(key: Array, round: Round, noise: float) -> Array:
  latent = given(round, "latent")
  return given(round, "generator")(latent + noise * jax.random.normal(key, latent.shape, latent.dtype))
