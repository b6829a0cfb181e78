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

from genjax.objectives.terms import Round, Term, asking, given, seen, stateless, to_float32

Array = jax.Array
Augment = Callable[[Array, Array], Array]  # key, images -> images


def consistency(side: Literal["real", "fake"], augment: Augment) -> Term:
  """mean (f(x) - f(T(x)))^2 over the real or the fake images; f(x) is the Round's own, not computed again."""
  return asking(
    lambda key, round: seen(round, augment(key, _side(round, side)[0])),
    lambda round, logits: ((_side(round, side)[1] - logits) ** 2).mean(),
  )


def redrawn(side: Literal["real", "fake"], otherwise: Augment) -> Term:
  """mean (f(T(x)) - f(T'(x)))^2, two draws of the system's own augmentation; the first is that of the Round's logits.

  In a system that does not augment: `consistency` with `otherwise`.
  """

  def again(key: Array, round: Round) -> Array:
    augment = otherwise if round.augmentation is None else round.augmentation.apply
    return augment(key, _side(round, side)[0])

  return asking(again, lambda round, logits: ((_side(round, side)[1] - logits) ** 2).mean())


def _side(round: Round, side: Literal["real", "fake"]) -> tuple[Array, Array]:
  """The images of a side and the critic's logits of them."""
  return (round.real, round.real_out) if side == "real" else (round.fake, round.fake_out)


def latent_consistency(noise: float = 0.03) -> Term:
  """zCR of the critic: mean (f(G(z)) - f(G(z + d)))^2, d normal with standard deviation `noise`."""
  return asking(
    lambda key, round: seen(round, _moved(key, round, noise)),
    lambda round, logits: ((round.fake_out - logits) ** 2).mean(),
  )


def latent_diversity(noise: float = 0.03) -> Term:
  """zCR of the generator: minus the mean squared distance of G(z) from G(z + d), over the values of an image."""
  return stateless(lambda key, round: -((to_float32(round.fake) - to_float32(_moved(key, round, noise))) ** 2).mean())


def _moved(key: Array, round: Round, noise: float) -> Array:
  latent = given(round, "latent")
  return given(round, "generator")(latent + noise * jax.random.normal(key, latent.shape, latent.dtype))
