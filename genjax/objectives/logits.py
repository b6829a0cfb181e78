"""Losses that look at the critic's logits alone.

Papers   minimax, non-saturating  Goodfellow et al. 2014, arXiv:1406.2661
         cross-entropy  INN  Lazarow, Jin & Tu, ICCV 2017; the unnumbered loss above eq 2.6 of the dissertation
         least squares  Mao et al. 2017, arXiv:1611.04076
         hinge          Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957
         Wasserstein    Arjovsky et al. 2017, arXiv:1701.07875; WINN  Lee et al., CVPR 2018, eq 2.6 of the dissertation
         relativistic   Jolicoeur-Martineau 2019, arXiv:1807.00734: standard, and average of any loss
         EBGAN          Zhao, Mathieu & LeCun 2017, arXiv:1609.03126; its pulling-away term
         BEGAN          Berthelot, Schumm & Metz 2017, arXiv:1703.10717
Departs  EBGAN, BEGAN: an energy is minus a logit, for a critic here is high where an image looks real.
         BEGAN: k moves by the energy of the critic's own fakes, as in most code; the paper writes the generator's.
Shapes   real, fake [B] logits -> scalar. The order is always (real, fake). -log sigmoid(x) is softplus(-x), so that no
         logit is too large. Least squares is on logits, not on probabilities.
Checked  tests/objectives/test_logits.py, tests/objectives/test_zoo.py
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from genjax.objectives.terms import Critic, Round, Term, to_float32
from genjax.ops.norms import norm

Array = jax.Array
Loss = Callable[[Array, Array], Array]  # real logits, fake logits -> scalar


# Probabilities --------------------------------------------------------------------------------------------------------


def cross_entropy_critic(real: Array, fake: Array) -> Array:
  """mean -log sigmoid(f(real)) + mean -log sigmoid(-f(fake)): at its best f is the log of the density ratio."""
  return jax.nn.softplus(-real).mean() + jax.nn.softplus(fake).mean()


def saturating_generator(real: Array, fake: Array) -> Array:
  """mean log(1 - sigmoid(f(fake))), the minimax game's: its gradient vanishes where the critic is sure."""
  return -jax.nn.softplus(fake).mean()


def non_saturating_generator(real: Array, fake: Array) -> Array:
  """mean -log sigmoid(f(fake)): the same fixed point, with a gradient where the critic is sure."""
  return jax.nn.softplus(-fake).mean()


# Distances of logits --------------------------------------------------------------------------------------------------


def least_squares_critic(real: Array, fake: Array, low: float = 0.0, high: float = 1.0) -> Array:
  """Half the squared distance of real logits from `high` and of fake logits from `low`; on logits, not sigmoids."""
  return ((real - high) ** 2).mean() / 2 + ((fake - low) ** 2).mean() / 2


def least_squares_generator(real: Array, fake: Array, target: float = 1.0) -> Array:
  """Half the squared distance of fake logits from `target`."""
  return ((fake - target) ** 2).mean() / 2


def hinge_critic(real: Array, fake: Array) -> Array:
  """mean (1 - f(real))+ + mean (1 + f(fake))+."""
  return jax.nn.relu(1 - real).mean() + jax.nn.relu(1 + fake).mean()


def wasserstein_critic(real: Array, fake: Array) -> Array:
  """mean f(fake) - mean f(real): minus the critic's estimate of the Wasserstein-1 distance."""
  return fake.mean() - real.mean()


def score_generator(real: Array, fake: Array) -> Array:
  """-mean f(fake): the generator of Wasserstein, hinge and EBGAN."""
  return -fake.mean()


# Relativistic ---------------------------------------------------------------------------------------------------------


def relativistic_critic(real: Array, fake: Array) -> Array:
  """mean -log sigmoid(f(real) - f(fake)), image j of one side against image j of the other.

  Raises:
    ValueError: the sides are of different size.
  """
  if real.shape != fake.shape:
    raise ValueError(f"{real.shape[0]} real and {fake.shape[0]} fake images do not pair; use as many of both")
  return jax.nn.softplus(fake - real).mean()


def relativistic_generator(real: Array, fake: Array) -> Array:
  """mean -log sigmoid(f(fake) - f(real)): the critic's with the sides changed."""
  return relativistic_critic(fake, real)


def average_critic(loss: Loss = cross_entropy_critic) -> Loss:
  """Any critic's loss, of logits less the mean logit of the other side."""
  return lambda real, fake: loss(real - fake.mean(), fake - real.mean())


def average_generator(loss: Loss = cross_entropy_critic) -> Loss:
  """The same with the sides changed: the generator also wants real images to look worse than fakes."""
  return lambda real, fake: average_critic(loss)(fake, real)


# Energies -------------------------------------------------------------------------------------------------------------


def energy_critic(autoencoder: Callable[[Array], tuple[Array, Array]], power: float = 2.0) -> Critic:
  """An autoencoder as a critic: images -> (reconstruction, code [B, D]) becomes images -> (-energy [B], aux).

  The energy of an image is the mean of |x - reconstruction|^power over its values: EBGAN's at 2, BEGAN's at 1.
  """

  def critic(images: Array) -> tuple[Array, dict[str, Array]]:
    reconstruction, code = autoencoder(images)
    gap = jnp.abs(to_float32(images) - to_float32(reconstruction)) ** power
    energy = gap.mean(tuple(range(1, images.ndim)))
    return -energy, {"reconstruction": reconstruction, "features": code}

  return critic


def ebgan_critic(real: Array, fake: Array, margin: float) -> Array:
  """mean D(real) + mean (margin - D(fake))+ of energies D = -logits; energies are wanted positive, 0 at best."""
  return -real.mean() + jax.nn.relu(margin + fake).mean()


def pulling_away(features: Array) -> Array:
  """The mean squared cosine between the features of different images, [B, D] -> [].

  Each image's features have length 1 first, and no image meets itself. Features of length 0 count as orthogonal.

  Raises:
    ValueError: one image, which has no other.
  """
  count = features.shape[0]
  if count < 2:
    raise ValueError(f"pulling away needs 2 images or more, got {count}")
  lengths = norm(features)
  unit = features / jnp.where(lengths > 0, lengths, 1.0)[:, None]
  cosines = jnp.matmul(unit, unit.T, precision=jax.lax.Precision.HIGHEST)
  return jnp.where(jnp.eye(count, dtype=bool), 0.0, cosines**2).sum() / (count * (count - 1))


def began_critic(gamma: float = 0.5, learning_rate: float = 1e-3) -> Term:
  """mean D(real) - k mean D(fake) of energies D = -logits; its state is k, in [0, 1], from 0.

  k grows by learning_rate (gamma mean D(real) - mean D(fake)): it keeps the energies of fakes at gamma times those of
  reals.
  """

  def apply(key: Array, k: Array, round: Round) -> tuple[Array, Array]:
    real, fake = -round.real_out.mean(), -round.fake_out.mean()
    balance = jax.lax.stop_gradient(gamma * real - fake)
    return real - k * fake, jnp.clip(k + learning_rate * balance, 0.0, 1.0).astype(k.dtype)

  return Term(lambda: jnp.zeros(()), apply)


def began_convergence(real: Array, fake: Array, gamma: float = 0.5) -> Array:
  """BEGAN's measure of progress: the reals' energy plus how far from its balance the game is. Small is good."""
  real, fake = -real.mean(), -fake.mean()
  return real + jnp.abs(gamma * real - fake)
