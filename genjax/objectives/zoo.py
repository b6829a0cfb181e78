"""Objectives by name: each builder puts the parts of one together. Its paper, formula and settings are in papers.py.

Here are the losses of logits, the f-divergences and the integral probability metrics; those that add terms to one of
them are in composed.py. Settings are plain numbers and words, the paper's by default.

Checked  tests/objectives/test_zoo.py runs the contract of objectives over every row.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax

from genjax.objectives import divergences
from genjax.objectives.composed import (  # noqa: F401  all of them are named in papers.py
  balanced_consistent,
  beside_hinge,
  beside_non_saturating,
  big_gan,
  consistent,
  denoised_features,
  dragan,
  improved_consistent,
  latent_consistent,
  lecam_hinge,
  local_stability,
  matched_features,
  mode_seeking,
  r1,
  r1_lazy,
  r2,
  regularised,
  style_gan,
  vitgan,
)
from genjax.objectives.distances import (
  cramer_critic,
  cramer_distance,
  cramer_surrogate,
  fisher_critic,
  mmd_of,
  reconstruction,
  through,
)
from genjax.objectives.logits import (
  average_critic,
  average_generator,
  began_critic,
  cross_entropy_critic,
  ebgan_critic,
  hinge_critic,
  least_squares_critic,
  least_squares_generator,
  pulling_away,
  relativistic_critic,
  relativistic_generator,
  saturating_generator,
  score_generator,
  wasserstein_critic,
)
from genjax.objectives.papers import ROWS
from genjax.objectives.penalties import at_most_unit, bounded_lipschitz, gradient_penalty, weighted_slope
from genjax.objectives.terms import Objective, on_features, on_logits, stateless, total
from genjax.ops import kernels

Array = jax.Array
AverageLoss = Literal["cross_entropy", "least_squares", "hinge"]
Bound = Literal["bound", "direct"]

# Losses of logits -----------------------------------------------------------------------------------------------------


def winn_objective(*, weight: float = 10.0) -> Objective:
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
  return beside_non_saturating()


def least_squares(*, low: float = 0.0, high: float = 1.0, target: float = 1.0) -> Objective:
  """Mao et al. 2017 (LSGAN), a, b, c = 0, 1, 1; -1, 1, 0 is Pearson's divergence."""
  return Objective(
    on_logits(partial(least_squares_critic, low=low, high=high)),
    on_logits(partial(least_squares_generator, target=target)),
  )


def hinge() -> Objective:
  """Lim & Ye 2017; the loss of SN-GAN and BigGAN."""
  return beside_hinge()


def relativistic() -> Objective:
  """RSGAN: reals look more real than fakes, pair by pair."""
  return Objective(on_logits(relativistic_critic), on_logits(relativistic_generator))


def relativistic_average(*, loss: AverageLoss = "cross_entropy") -> Objective:
  """RaSGAN, RaLSGAN, RaHinge: reals look more real than the average fake, and the reverse.

  Raises:
    ValueError: no such loss.
  """
  losses = {
    "cross_entropy": cross_entropy_critic,
    "least_squares": lambda real, fake: 2 * least_squares_critic(real, fake, low=-1.0),
    "hinge": hinge_critic,
  }
  if loss not in losses:
    raise ValueError(f"loss {loss!r}; use one of {', '.join(losses)}")
  return Objective(on_logits(average_critic(losses[loss])), on_logits(average_generator(losses[loss])))


def relativistic_least_squares() -> Objective:
  """RaLSGAN."""
  return relativistic_average(loss="least_squares")


def relativistic_hinge() -> Objective:
  """RaHinge."""
  return relativistic_average(loss="hinge")


def ebgan(*, margin: float = 10.0, pull_away: float = 0.0) -> Objective:
  """Zhao et al. 2017: energies within a margin; `pull_away` weighs the pulling-away term, 0.1 in the paper."""
  beside = ((pull_away, on_features(lambda real, fake: pulling_away(fake))),) if pull_away else ()
  return Objective(on_logits(partial(ebgan_critic, margin=margin)), total((1.0, on_logits(score_generator)), *beside))


def ebgan_pull_away(*, margin: float = 10.0, pull_away: float = 0.1) -> Objective:
  """Zhao et al. 2017 with the pulling-away term (EBGAN-PT)."""
  return ebgan(margin=margin, pull_away=pull_away)


def began(*, gamma: float = 0.5, learning_rate: float = 1e-3) -> Objective:
  """Berthelot et al. 2017: reals' energies against k times fakes'; `learning_rate` is that of k."""
  return Objective(began_critic(gamma, learning_rate), on_logits(score_generator))


# f-divergences --------------------------------------------------------------------------------------------------------


def f_gan(*, divergence: str = "gan", generator_loss: Bound | None = None) -> Objective:
  """Nowozin et al. 2016, any row of DIVERGENCES.

  Args:
    divergence: the row.
    generator_loss: "bound", the literal minimax game of Algorithm 1, or "direct", section 3.2's; None: the sound one.

  Raises:
    ValueError: no such divergence or generator.
  """
  row = divergences.divergence(divergence)
  generator_loss = generator_loss or _sound(row)
  losses = {"bound": divergences.f_generator, "direct": divergences.f_generator_direct}
  if generator_loss not in losses:
    raise ValueError(f"generator_loss {generator_loss!r}; use one of {', '.join(losses)}")
  return Objective(on_logits(partial(divergences.f_critic, row)), on_logits(partial(losses[generator_loss], row)))


def _sound(row: divergences.Divergence) -> Bound:
  return "direct" if row.direct else "bound"


def _f_gan_of(divergence: str) -> Callable[..., Objective]:
  sound = _sound(divergences.divergence(divergence))

  def build(*, generator_loss: Bound = sound) -> Objective:
    return f_gan(divergence=divergence, generator_loss=generator_loss)

  build.__name__ = build.__qualname__ = f"f_gan_{divergence}"
  build.__doc__ = f"`f_gan` of the divergence {divergence!r}."
  return build


f_gan_kl = _f_gan_of("kl")
f_gan_reverse_kl = _f_gan_of("reverse_kl")
f_gan_pearson = _f_gan_of("pearson")
f_gan_neyman = _f_gan_of("neyman")
f_gan_hellinger = _f_gan_of("hellinger")
f_gan_jensen_shannon = _f_gan_of("jensen_shannon")
f_gan_gan = _f_gan_of("gan")
f_gan_total_variation = _f_gan_of("total_variation")


def f_gan_regularised(*, divergence: str = "gan", gamma: float = 2.0) -> Objective:
  """Roth et al. 2017, eq 19: any f-GAN with its slope weighed by the conjugate's curvature, at the fakes.

  Raises:
    ValueError: no such divergence.
  """
  row = divergences.divergence(divergence)
  critic = total((1.0, on_logits(partial(divergences.f_critic, row))), (gamma / 2, weighted_slope(row.curvature)))
  return Objective(critic, on_logits(partial(divergences.f_generator_direct, row)))


# Integral probability metrics -----------------------------------------------------------------------------------------


def wasserstein() -> Objective:
  """Arjovsky et al. 2017; the critic's weights must be clipped."""
  return Objective(on_logits(wasserstein_critic), on_logits(score_generator))


def wgan_gp(*, weight: float = 10.0) -> Objective:
  """Gulrajani et al. 2017, Algorithm 1: two-sided penalty between real and fake."""
  return Objective(winn_objective(weight=weight).critic, on_logits(score_generator))


def wgan_lp(*, weight: float = 10.0) -> Objective:
  """Petzka et al. 2018: one-sided, for an optimal critic need not have slope 1 everywhere between."""
  critic = total((1.0, on_logits(wasserstein_critic)), (weight, gradient_penalty(target=at_most_unit)))
  return Objective(critic, on_logits(score_generator))


def dudley(*, weight: float = 10.0) -> Objective:
  """Dudley's metric: |f|_inf + |f|_Lip is held at 1 or less by a one-sided penalty of the sum."""
  critic = total((1.0, on_logits(wasserstein_critic)), (weight, bounded_lipschitz()))
  return Objective(critic, on_logits(score_generator))


def fisher(*, rho: float = 1e-6) -> Objective:
  """Mroueh & Sercu 2017: the critic's second moment is held at 1 by an augmented Lagrangian."""
  return Objective(fisher_critic(rho), on_logits(score_generator))


def gmmn(*, widths: tuple[float, ...] = (2.0, 5.0, 10.0, 20.0, 40.0, 80.0)) -> Objective:
  """Li et al. 2015: the root of the MMD of images, no critic; widths in units of the images' own length."""
  return Objective(total(), mmd_of(kernels.gaussian(widths), squared=False))


def mmd_gan(*, widths: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0), weight: float = 8.0) -> Objective:
  """Li et al. 2017: the MMD of an autoencoder's codes; the critic makes it large, and reconstructs."""
  kernel = kernels.gaussian(widths)
  return Objective(
    total((1.0, mmd_of(kernel, "features", sign=-1.0)), (weight, reconstruction())), mmd_of(kernel, "features")
  )


def cramer(*, weight: float = 10.0) -> Objective:
  """Bellemare et al. 2017, Algorithm 1: the energy distance of learned features, with WGAN-GP's penalty on its f."""
  critic = stateless(lambda key, round: -cramer_surrogate(round))
  return Objective(
    total((1.0, critic), (weight, through(cramer_critic, gradient_penalty()))),
    stateless(lambda key, round: cramer_distance(round)),
  )


OBJECTIVES: dict[str, Callable[..., Objective]] = {name: globals()[row.builder] for name, row in ROWS.items()}
