"""Objectives composed of the non-saturating or the hinge loss and of further terms: penalties, consistency, diversity.

Settings are plain numbers and words, the paper's by default. Papers and formulae: see papers.py.

Checked  tests/objectives/test_zoo.py
"""

from typing import Literal

import jax

from genjax.objectives import penalties
from genjax.objectives.consistency import Augment, consistency, latent_consistency, latent_diversity, redrawn
from genjax.objectives.generator import denoised_feature_matching, feature_matching, mode_ratio, path_length
from genjax.objectives.logits import (
  cross_entropy_critic,
  hinge_critic,
  non_saturating_generator,
  score_generator,
)
from genjax.objectives.penalties import at_fake, at_real, gradient_penalty, near_real, squared
from genjax.objectives.terms import Objective, Term, every, on_features, on_logits, total
from genjax.ops import augment

Array = jax.Array
Weighted = tuple[tuple[float, Term], ...]
Slope = Literal["image", "seen"]  # through the system's augmentation, or of what the net sees


def beside_non_saturating(critic: Weighted = (), generator: Weighted = ()) -> Objective:
  """The non-saturating loss, with weighted terms beside each player's."""
  return Objective(
    total((1.0, on_logits(cross_entropy_critic)), *critic),
    total((1.0, on_logits(non_saturating_generator)), *generator),
  )


def beside_hinge(critic: Weighted = (), generator: Weighted = ()) -> Objective:
  """The hinge loss, with weighted terms beside each player's."""
  return Objective(total((1.0, on_logits(hinge_critic)), *critic), total((1.0, on_logits(score_generator)), *generator))


# Penalties ------------------------------------------------------------------------------------------------------------


def dragan(*, weight: float = 10.0, scale: float = 0.5) -> Objective:
  """Kodali et al. 2017: slope 1 near the data."""
  return beside_non_saturating(((weight, gradient_penalty(near_real(scale))),))


def r1(*, gamma: float = 10.0, slope: Slope = "image") -> Objective:
  """Mescheder et al. 2018: slope 0 at the data; in a system that augments, at the image or at what is "seen" of it.

  Raises:
    ValueError: no such slope.
  """
  return beside_non_saturating(_r1(gamma, slope))


def r1_lazy(*, gamma: float = 10.0, interval: int = 16) -> Objective:
  """Karras et al. 2020 (StyleGAN2): R1 in one of 16 steps, 16 times as strong."""
  return beside_non_saturating(((gamma / 2, every(interval, gradient_penalty(at_real, squared))),))


def r2(*, gamma: float = 10.0) -> Objective:
  """Mescheder et al. 2018: slope 0 at the fakes."""
  return beside_non_saturating(((gamma / 2, gradient_penalty(at_fake, squared)),))


def regularised(*, gamma: float = 2.0) -> Objective:
  """Roth et al. 2017, eq 20: slopes weighed by how unsure the critic is."""
  return beside_non_saturating(((gamma / 2, penalties.symmetric_slope()),))


def local_stability(*, weight: float = 1e-2) -> Objective:
  """Nagarajan & Kolter 2017: the generator also makes the critic's own gradient small."""
  return beside_non_saturating((), ((weight, penalties.critic_slope(cross_entropy_critic)),))


def big_gan(*, weight: float = 1e-4) -> Objective:
  """Brock et al. 2019: hinge, and the generator's columns orthogonal."""
  return beside_hinge((), ((weight, penalties.orthogonal("generator_params")),))


def lecam_hinge(*, weight: float = 0.3, decay: float = 0.99, start: int = 1000) -> Objective:
  """Tseng et al. 2021: hinge, and logits near the running mean of the other side."""
  return beside_hinge(((weight, penalties.lecam(decay, start)),))


def style_gan(*, gamma: float = 10.0, path: float = 2.0, r1_interval: int = 16, path_interval: int = 8) -> Objective:
  """Karras et al. 2020 (StyleGAN2): lazy R1, and lazy path length regularisation of the generator."""
  r1_term = (gamma / 2, every(r1_interval, gradient_penalty(at_real, squared)))
  return beside_non_saturating((r1_term,), ((path, every(path_interval, path_length())),))


# Consistency ----------------------------------------------------------------------------------------------------------


def consistent(*, weight: float = 10.0, pad: int = 4) -> Objective:
  """CR-GAN: reals mean the same when augmented."""
  return beside_hinge(((weight, consistency("real", _flip_and_shift(pad))),))


def balanced_consistent(*, real: float = 10.0, fake: float = 10.0, pad: int = 4) -> Objective:
  """bCR: reals and fakes mean the same when augmented."""
  return beside_hinge(_balanced(real, fake, _flip_and_shift(pad)))


def latent_consistent(*, critic: float = 5.0, generator: float = 0.5, noise: float = 0.03) -> Objective:
  """zCR: near latents mean the same to the critic, and look different."""
  return beside_hinge(((critic, latent_consistency(noise)),), ((generator, latent_diversity(noise)),))


def improved_consistent(
  *,
  real: float = 10.0,
  fake: float = 10.0,
  critic: float = 5.0,
  generator: float = 0.5,
  noise: float = 0.03,
  pad: int = 4,
) -> Objective:
  """ICR: bCR and zCR together."""
  terms = (*_balanced(real, fake, _flip_and_shift(pad)), (critic, latent_consistency(noise)))
  return beside_hinge(terms, ((generator, latent_diversity(noise)),))


def vitgan(
  *,
  real: float = 10.0,
  fake: float = 10.0,
  gamma: float = 0.0,
  interval: int = 1,
  slope: Slope = "image",
  lecam: float = 0.0,
  pad: int = 4,
) -> Objective:
  """Lee et al. 2022 (ViTGAN): bCR by two draws of the system's augmentation; the released code: 1, 1 and gamma 0.1.

  Beside it R1 in one of `interval` steps, and LeCam of weight `lecam`. Terms of weight 0 are left out. In a system
  without augmentation T is CR's own.

  Raises:
    ValueError: no such slope, or an interval below 1.
  """
  balanced = tuple(
    (weight, redrawn(side, _flip_and_shift(pad))) for weight, side in ((real, "real"), (fake, "fake")) if weight
  )
  slopes = tuple((weight, every(interval, term)) for weight, term in (_r1(gamma, slope) if gamma else ()))
  anchored = ((lecam, penalties.lecam()),) if lecam else ()
  return beside_non_saturating((*balanced, *slopes, *anchored))


# Terms of the generator -----------------------------------------------------------------------------------------------


def matched_features(*, weight: float = 1.0) -> Objective:
  """Salimans et al. 2016: the generator only matches mean features."""
  return Objective(on_logits(cross_entropy_critic), total((weight, on_features(feature_matching))))


def denoised_features(*, features: int, weight: float = 0.03, hidden: int = 256, noise: float = 0.5) -> Objective:
  """Warde-Farley & Bengio 2017: fakes' features near what a denoiser of the reals' makes of them. `features` is D."""
  term = denoised_feature_matching(features, hidden=hidden, noise=noise)
  return beside_non_saturating((), ((weight, term),))


def mode_seeking(*, weight: float = 1.0) -> Objective:
  """Mao et al. 2019: far latents look different."""
  return beside_non_saturating((), ((weight, mode_ratio()),))


# Parts ----------------------------------------------------------------------------------------------------------------


def _r1(gamma: float, slope: Slope) -> Weighted:
  penalty = gradient_penalty(at_real, squared)
  if slope not in ("image", "seen"):
    raise ValueError(f"slope {slope!r}; use 'image' or 'seen'")
  return ((gamma / 2, penalty if slope == "image" else penalties.as_seen(penalty)),)


def _balanced(real: float, fake: float, augmented: Augment) -> Weighted:
  return ((real, consistency("real", augmented)), (fake, consistency("fake", augmented)))


def _flip_and_shift(pad: int) -> Augment:
  """CR's own: mirror with probability 1/2, then shift by up to `pad` pixels each way; black comes in."""

  def augmented(key: Array, images: Array) -> Array:
    key_flip, key_shift = jax.random.split(key)
    images = augment.flip(key_flip, images)
    return augment.pad_crop(key_shift, images, pad) if pad else images

  return augmented
