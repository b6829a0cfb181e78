"""Objectives by name: a builder puts the parts together; its facts (paper, equation, settings) are in rows.py.

A builder takes plain numbers, the paper's by default.

Checked  tests/objectives/test_zoo.py runs the family's contract over every row.
"""

from functools import partial
from typing import Literal

import jax

from genjax.objectives import divergences
from genjax.objectives.consistency import Augment, consistency, latent_consistency, latent_diversity, redrawn
from genjax.objectives.distances import (
  cramer_critic,
  cramer_distance,
  cramer_surrogate,
  fisher_critic,
  mmd_of,
  reconstruction,
  through,
)
from genjax.objectives.generator import denoised_feature_matching, feature_matching, mode_ratio, path_length
from genjax.objectives.logits import (
  average_critic,
  average_generator,
  began_critic,
  cross_entropy_critic,
  ebgan_critic,
  hinge_critic,
  least_squares_critic,
  least_squares_generator,
  non_saturating_generator,
  pulling_away,
  relativistic_critic,
  relativistic_generator,
  saturating_generator,
  score_generator,
  wasserstein_critic,
)
from genjax.objectives.penalties import (
  as_seen,
  at_fake,
  at_most_unit,
  at_real,
  critic_slope,
  gradient_penalty,
  lecam,
  near_real,
  orthogonal,
  squared,
  symmetric_slope,
  weighted_slope,
)
from genjax.objectives.rows import ROWS
from genjax.objectives.terms import Objective, Term, every, on_features, on_logits, stateless, total
from genjax.ops import augment, kernels

Array = jax.Array
Weighted = tuple[tuple[float, Term], ...]
Slope = Literal["image", "seen"]  # through the system's augmentation, or of what the critic sees

# Losses of logits -----------------------------------------------------------------------------------------------------


def winn_objective(weight: float = 10.0) -> Objective:
  """Lee et al., CVPR 2018, eq 2.6: Wasserstein with a two-sided gradient penalty, lambda = 10. No generator."""
  return Objective(critic=total((1.0, on_logits(wasserstein_critic)), (weight, gradient_penalty())))


def inn_objective() -> Objective:
  """Lazarow, Jin & Tu, ICCV 2017 (INN): the cross-entropy of real against pseudo-negative. No generator."""
  return Objective(critic=total((1.0, on_logits(cross_entropy_critic))))


def minimax() -> Objective:
  """Goodfellow et al. 2014: both players on the one value."""
  return Objective(on_logits(cross_entropy_critic), on_logits(saturating_generator))


def non_saturating() -> Objective:
  """Goodfellow et al. 2014, section 3: the generator has a gradient where the critic is sure."""
  return _non_saturating()


def least_squares(low: float = 0.0, high: float = 1.0, target: float = 1.0) -> Objective:
  """Mao et al. 2017 (LSGAN), a, b, c = 0, 1, 1; -1, 1, 0 is Pearson's divergence."""
  return Objective(
    on_logits(partial(least_squares_critic, low=low, high=high)),
    on_logits(partial(least_squares_generator, target=target)),
  )


def hinge() -> Objective:
  """Lim & Ye 2017; the loss of SN-GAN and BigGAN."""
  return _hinge()


def relativistic() -> Objective:
  """RSGAN: reals look more real than fakes, pair by pair."""
  return Objective(on_logits(relativistic_critic), on_logits(relativistic_generator))


def relativistic_average(loss: Literal["cross_entropy", "least_squares", "hinge"] = "cross_entropy") -> Objective:
  """RaSGAN, RaLSGAN, RaHinge: reals look more real than the average fake, and the reverse."""
  losses = {
    "cross_entropy": cross_entropy_critic,
    "least_squares": lambda real, fake: 2 * least_squares_critic(real, fake, low=-1.0),
    "hinge": hinge_critic,
  }
  if loss not in losses:
    raise ValueError(f"loss {loss!r}; use one of {', '.join(losses)}")
  return Objective(on_logits(average_critic(losses[loss])), on_logits(average_generator(losses[loss])))


relativistic_least_squares = partial(relativistic_average, "least_squares")
relativistic_hinge = partial(relativistic_average, "hinge")


def ebgan(margin: float = 10.0, pull: float = 0.0) -> Objective:
  """Zhao et al. 2017: energies within a margin; `pull` weighs the pulling-away term, 0.1 in the paper."""
  beside = ((pull, on_features(lambda real, fake: pulling_away(fake))),) if pull else ()
  return Objective(on_logits(partial(ebgan_critic, margin=margin)), total((1.0, on_logits(score_generator)), *beside))


ebgan_pull_away = partial(ebgan, pull=0.1)


def began(gamma: float = 0.5, rate: float = 1e-3) -> Objective:
  """Berthelot et al. 2017: reals' energies against k times fakes', k held in equilibrium."""
  return Objective(began_critic(gamma, rate), on_logits(score_generator))


# f-divergences --------------------------------------------------------------------------------------------------------


def f_gan(divergence: str = "gan", generator: Literal["bound", "direct"] = "bound") -> Objective:
  """Nowozin et al. 2016, any row of DIVERGENCES; "direct" is section 3.2's generator."""
  row = divergences.divergence(divergence)
  losses = {"bound": divergences.f_generator, "direct": divergences.f_generator_direct}
  if generator not in losses:
    raise ValueError(f"generator {generator!r}; use one of {', '.join(losses)}")
  return Objective(on_logits(partial(divergences.f_critic, row)), on_logits(partial(losses[generator], row)))


f_gan_kl = partial(f_gan, "kl")
f_gan_reverse_kl = partial(f_gan, "reverse_kl")
f_gan_pearson = partial(f_gan, "pearson")
f_gan_neyman = partial(f_gan, "neyman")
f_gan_hellinger = partial(f_gan, "hellinger")
f_gan_jensen_shannon = partial(f_gan, "jensen_shannon")
f_gan_gan = partial(f_gan, "gan")
f_gan_total_variation = partial(f_gan, "total_variation")


def f_gan_regularised(divergence: str = "gan", gamma: float = 2.0) -> Objective:
  """Roth et al. 2017, eq 19: any f-GAN with its slope weighed by the conjugate's curvature, at the fakes."""
  row = divergences.divergence(divergence)
  critic = total((1.0, on_logits(partial(divergences.f_critic, row))), (gamma / 2, weighted_slope(row.curvature)))
  return Objective(critic, on_logits(partial(divergences.f_generator_direct, row)))


# Integral probability metrics -----------------------------------------------------------------------------------------


def wasserstein() -> Objective:
  """Arjovsky et al. 2017; the critic's weights must be clipped."""
  return Objective(on_logits(wasserstein_critic), on_logits(score_generator))


def wgan_gp(weight: float = 10.0) -> Objective:
  """Gulrajani et al. 2017, Algorithm 1: two-sided penalty between real and fake."""
  return Objective(winn_objective(weight).critic, on_logits(score_generator))


def wgan_lp(weight: float = 10.0) -> Objective:
  """Petzka et al. 2018: one-sided, for an optimal critic need not have slope 1 everywhere between."""
  critic = total((1.0, on_logits(wasserstein_critic)), (weight, gradient_penalty(judge=at_most_unit)))
  return Objective(critic, on_logits(score_generator))


def fisher(rho: float = 1e-6) -> Objective:
  """Mroueh & Sercu 2017: the critic's second moment is held at 1 by an augmented Lagrangian."""
  return Objective(fisher_critic(rho), on_logits(score_generator))


def gmmn(widths: tuple[float, ...] = (2.0, 5.0, 10.0, 20.0, 40.0, 80.0)) -> Objective:
  """Li et al. 2015: the root of the MMD of images, no critic; widths in units of the images' own length."""
  return Objective(total(), mmd_of(kernels.gaussian(widths), squared=False))


def mmd_gan(widths: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0), weight: float = 8.0) -> Objective:
  """Li et al. 2017: the MMD of an autoencoder's codes; the critic makes it large, and reconstructs."""
  kernel = kernels.gaussian(widths)
  return Objective(
    total((1.0, mmd_of(kernel, "features", sign=-1.0)), (weight, reconstruction())), mmd_of(kernel, "features")
  )


def cramer(weight: float = 10.0) -> Objective:
  """Bellemare et al. 2017, Algorithm 1: the energy distance of learned features, with WGAN-GP's penalty on its f."""
  critic = stateless(lambda key, round: -cramer_surrogate(round))
  return Objective(
    total((1.0, critic), (weight, through(cramer_critic, gradient_penalty()))),
    stateless(lambda key, round: cramer_distance(round)),
  )


# Penalties ------------------------------------------------------------------------------------------------------------


def dragan(weight: float = 10.0, scale: float = 0.5) -> Objective:
  """Kodali et al. 2017: slope 1 near the data."""
  return _non_saturating(((weight, gradient_penalty(near_real(scale))),))


def r1(gamma: float = 10.0, slope: Slope = "image") -> Objective:
  """Mescheder et al. 2018: slope 0 at the data; in a system that augments, at the image or at what is "seen" of it."""
  return _non_saturating(_r1(gamma, slope))


def r1_lazy(gamma: float = 10.0, interval: int = 16) -> Objective:
  """Karras et al. 2020 (StyleGAN2): R1 in one of 16 steps, 16 times as strong."""
  return _non_saturating(((gamma / 2, every(interval, gradient_penalty(at_real, squared))),))


def r2(gamma: float = 10.0) -> Objective:
  """Mescheder et al. 2018: slope 0 at the fakes."""
  return _non_saturating(((gamma / 2, gradient_penalty(at_fake, squared)),))


def regularised(gamma: float = 2.0) -> Objective:
  """Roth et al. 2017, eq 20: slopes weighed by how unsure the critic is."""
  return _non_saturating(((gamma / 2, symmetric_slope()),))


def local_stability(weight: float = 1e-2) -> Objective:
  """Nagarajan & Kolter 2017: the generator also makes the critic's own gradient small."""
  return _non_saturating((), ((weight, critic_slope(cross_entropy_critic)),))


def big_gan(weight: float = 1e-4) -> Objective:
  """Brock et al. 2019: hinge, and the generator's columns orthogonal."""
  return _hinge((), ((weight, orthogonal("generator_params")),))


def lecam_hinge(weight: float = 0.3, decay: float = 0.99, start: int = 1000) -> Objective:
  """Tseng et al. 2021: hinge, and logits near the moving mean of the other side."""
  return _hinge(((weight, lecam(decay, start)),))


def style_gan(gamma: float = 10.0, path: float = 2.0, r1_interval: int = 16, path_interval: int = 8) -> Objective:
  """Karras et al. 2020 (StyleGAN2): lazy R1, and lazy path length regularisation of the generator."""
  r1_term = (gamma / 2, every(r1_interval, gradient_penalty(at_real, squared)))
  return _non_saturating((r1_term,), ((path, every(path_interval, path_length())),))


# Consistency ----------------------------------------------------------------------------------------------------------


def consistent(weight: float = 10.0, pad: int = 4) -> Objective:
  """CR-GAN: reals mean the same when augmented."""
  return _hinge(((weight, consistency("real", _flip_and_shift(pad))),))


def balanced_consistent(real: float = 10.0, fake: float = 10.0, pad: int = 4) -> Objective:
  """bCR: reals and fakes mean the same when augmented."""
  return _hinge(_balanced(real, fake, _flip_and_shift(pad)))


def latent_consistent(critic: float = 5.0, generator: float = 0.5, noise: float = 0.03) -> Objective:
  """zCR: near latents mean the same to the critic, and look different."""
  return _hinge(((critic, latent_consistency(noise)),), ((generator, latent_diversity(noise)),))


def improved_consistent(
  real: float = 10.0, fake: float = 10.0, critic: float = 5.0, generator: float = 0.5, noise: float = 0.03, pad: int = 4
) -> Objective:
  """ICR: bCR and zCR together."""
  terms = (*_balanced(real, fake, _flip_and_shift(pad)), (critic, latent_consistency(noise)))
  return _hinge(terms, ((generator, latent_diversity(noise)),))


def vitgan(
  real: float = 10.0,
  fake: float = 10.0,
  gamma: float = 0.0,
  interval: int = 1,
  slope: Slope = "image",
  moving: float = 0.0,
  pad: int = 4,
) -> Objective:
  """Lee et al. 2022 (ViTGAN): bCR by two draws of the system's augmentation; the released code: 1, 1 and gamma 0.1.

  Beside it R1 in one of `interval` steps, and LeCam of weight `moving`. Terms of weight 0 are left out. In a system
  without augmentation T is CR's own.
  """
  balanced = tuple(
    (weight, redrawn(side, _flip_and_shift(pad))) for weight, side in ((real, "real"), (fake, "fake")) if weight
  )
  slopes = tuple((weight, every(interval, term)) for weight, term in (_r1(gamma, slope) if gamma else ()))
  anchored = ((moving, lecam()),) if moving else ()
  return _non_saturating((*balanced, *slopes, *anchored))


# Generator terms ------------------------------------------------------------------------------------------------------


def matched_features(weight: float = 1.0) -> Objective:
  """Salimans et al. 2016: the generator only matches mean features."""
  return Objective(on_logits(cross_entropy_critic), total((weight, on_features(feature_matching))))


def denoised_features(features: int, weight: float = 0.03, hidden: int = 256, noise: float = 0.5) -> Objective:
  """Warde-Farley & Bengio 2017: fakes' features near what a denoiser of the reals' makes of them. `features` is D."""
  return _non_saturating((), ((weight, denoised_feature_matching(features, hidden=hidden, noise=noise)),))


def mode_seeking(weight: float = 1.0) -> Objective:
  """Mao et al. 2019: far latents look different."""
  return _non_saturating((), ((weight, mode_ratio()),))


# Parts ----------------------------------------------------------------------------------------------------------------


def _non_saturating(critic: Weighted = (), generator: Weighted = ()) -> Objective:
  return Objective(
    total((1.0, on_logits(cross_entropy_critic)), *critic),
    total((1.0, on_logits(non_saturating_generator)), *generator),
  )


def _hinge(critic: Weighted = (), generator: Weighted = ()) -> Objective:
  return Objective(total((1.0, on_logits(hinge_critic)), *critic), total((1.0, on_logits(score_generator)), *generator))


def _r1(gamma: float, slope: Slope) -> Weighted:
  penalty = gradient_penalty(at_real, squared)
  if slope not in ("image", "seen"):
    raise ValueError(f"slope {slope!r}; use 'image' or 'seen'")
  return ((gamma / 2, penalty if slope == "image" else as_seen(penalty)),)


def _balanced(real: float, fake: float, change: Augment) -> Weighted:
  return ((real, consistency("real", change)), (fake, consistency("fake", change)))


def _flip_and_shift(pad: int) -> Augment:
  """CR's own: mirror with probability 1/2, then shift by up to `pad` pixels each way; black comes in."""

  def change(key: Array, images: Array) -> Array:
    key_flip, key_shift = jax.random.split(key)
    images = augment.flip(key_flip, images)
    return augment.pad_crop(key_shift, images, pad) if pad else images

  return change


OBJECTIVES = {name: globals()[row.builder] for name, row in ROWS.items()}
