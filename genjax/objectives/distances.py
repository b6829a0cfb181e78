"""Integral probability metrics: one view, sup over a class of f of E_P[f] - E_Q[f]; the class is the whole choice.

    seed 003, eq 24     class of f                    distance            held there by
    Wasserstein         |f(x) - f(y)| <= |x - y|      earth mover         clipped weights, a penalty, spectral norms
    total variation     |f| <= 1                      twice TV            tanh at the end ("total_variation", f-GAN)
    Dudley              |f|_inf + |f|_Lip <= 1        bounded Lipschitz   a penalty of the sum
    MMD                 |f|_H <= 1, a kernel's ball   mean embedding's    closed form: no critic, or a learned kernel
    Cramer, energy      the ball of -|x - y|          energy distance     closed form in the critic's features
    Fisher              (E_P f^2 + E_Q f^2) / 2 <= 1  Mahalanobis'        a multiplier and a quadratic penalty

Wasserstein, total variation and MMD are the view of the seed (it prints Kolmogorov beside total variation); `dual` is
its estimate for any f of the class, and each row of the zoo is a way to find the best f.

Papers   MMD      Gretton et al. 2012, JMLR 13: biased (V) and unbiased (U) estimate of the squared distance
         view     Sriperumbudur et al. 2009, arXiv:0901.2698 (seed 003, eq 24); Wasserstein dual: seed 003, eq 10-11
         GMMN     Li, Swersky & Zemel 2015, arXiv:1502.02761; Dziugaite et al. 2015 (seed 003, eq 16-18)
         MMD-GAN  Li et al. 2017, arXiv:1705.08584 (seed 003, eq 19; its Algorithm 1 in seed 002)
         Cramer   Bellemare et al. 2017, arXiv:1705.10743, Algorithm 1
         Fisher   Mroueh & Sercu 2017, arXiv:1705.09675: augmented Lagrangian
Departs  Seed 003, eq 12 prints the penalty with +; it is subtracted from what the critic maximises, added here.
         Cramer: the second fake of the algorithm is the next fake of the batch; one pass of the generator is saved.
         MMD-GAN: unbiased squared MMD (the authors' code: the root of the biased one), no feasible-set term.
         Fisher: the multiplier's sign and step are those of the authors' code, and so is the default of rho, 1e-6. With
         it the constraint binds only after many more updates than a small run has: a second moment of 24.3 after 3,000,
         where rho 1e-3 had 1.008. On gan_ring (seeds 0, 1) 1e-3 gave 2 and 1 modes, 1e-6 gave 4 and 7: it stays.
Shapes   logits [B]; features [B, D]; images [B, H, W, C]; every loss [].
Checked  tests/objectives/test_distances.py: W1 of point sets against scipy, Fisher against its closed form.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from genjax.objectives.terms import Critic, Round, Term, read, stateless, to_float32
from genjax.ops.norms import norm, root

Array = jax.Array
Kernel = Callable[[Array, Array], Array]  # x [N, D], y [M, D] -> [N, M]; of ops.kernels


def dual(real: Array, fake: Array) -> Array:
  """E_P[f] - E_Q[f]: a lower bound of the metric whose class f is in."""
  return real.mean() - fake.mean()


# A ball of a kernel ---------------------------------------------------------------------------------------------------


def mmd_squared(kernel: Kernel, x: Array, y: Array, *, unbiased: bool = True) -> Array:
  """The squared MMD of two samples, [].

  Args:
    kernel: of ops.kernels.
    x, y: [N, D] and [M, D].
    unbiased: leave a point's kernel with itself out. May be negative; needs 2 points a side. Biased: never negative.

  Raises:
    ValueError: one point on a side, where the unbiased estimate does not exist.
  """
  if unbiased and min(x.shape[0], y.shape[0]) < 2:
    raise ValueError(f"unbiased MMD of {x.shape[0]} and {y.shape[0]} points; use 2 or more a side, or unbiased=False")
  return _within(kernel, x, unbiased) + _within(kernel, y, unbiased) - 2 * kernel(x, y).mean()


def mmd(kernel: Kernel, x: Array, y: Array) -> Array:
  """The root of the biased estimate, as GMMN minimises it; gradient 0 where the samples are the same."""
  return root(jnp.maximum(mmd_squared(kernel, x, y, unbiased=False), 0.0))


def _within(kernel: Kernel, x: Array, unbiased: bool) -> Array:
  """The mean kernel of a sample with itself, pairs of a point with itself left out where unbiased."""
  values = kernel(x, x)
  if not unbiased:
    return values.mean()
  count = x.shape[0]
  return jnp.where(jnp.eye(count, dtype=bool), 0.0, values).sum() / (count * (count - 1))


def mmd_of(
  kernel: Kernel, space: Literal["images", "features"] = "images", *, squared: bool = True, sign: float = 1.0
) -> Term:
  """The MMD of real from fake, of the images' own values or of the critic's features.

  Args:
    kernel: of ops.kernels.
    space: where the kernel is.
    squared: the unbiased squared MMD; else the root of the biased one, as GMMN.
    sign: -1 for a critic, which makes it large.
  """

  def value(key: Array, round: Round) -> Array:
    if space == "features":
      x, y = read(round, "real", "features"), read(round, "fake", "features")
    else:
      x, y = (to_float32(side).reshape(side.shape[0], -1) for side in (round.real, round.fake))
    return sign * (mmd_squared(kernel, x, y) if squared else mmd(kernel, x, y))

  return stateless(value)


def reconstruction() -> Term:
  """mean (x - d(e(x)))^2 over all values of the images of both sides, as in MMD-GAN's code; it keeps e injective.

  Reads aux["reconstruction"]. Both sides count alike: it is the mean over reals plus the mean over fakes.
  """

  def value(key: Array, round: Round) -> Array:
    gap = lambda images, side: (to_float32(images) - read(round, side, "reconstruction")) ** 2
    return sum(gap(images, side).mean() for images, side in ((round.real, "real"), (round.fake, "fake")))

  return stateless(value)


# Cramer ---------------------------------------------------------------------------------------------------------------


def cramer_critic(round: Round) -> Critic:
  """f(x) = |h(x) - h(g')| - |h(x)|, h the critic's features: image j's g' is fake j + 1."""
  others = jnp.roll(read(round, "fake", "features"), -1, axis=0)

  def critic(images: Array) -> tuple[Array, Any]:
    aux = round.critic(images)[1]
    features = to_float32(aux["features"])
    return norm(features - others) - norm(features), aux

  return critic


def cramer_surrogate(round: Round) -> Array:
  """E[f(real)] - E[f(fake)], what the critic makes large; unbiased, for no fake meets itself."""
  real, fake, others = _cramer_features(round)
  f = lambda features: norm(features - others) - norm(features)
  return dual(f(real), f(fake))


def cramer_distance(round: Round) -> Array:
  """The generator's loss: E|h(x) - h(g)| + E|h(x) - h(g')| - E|h(g) - h(g')|, less the reals' own part."""
  real, fake, others = _cramer_features(round)
  return (norm(real - fake) + norm(real - others) - norm(fake - others)).mean()


def through(view: Callable[[Round], Critic], term: Term) -> Term:
  """A Term that sees another critic made of the round's own: a penalty on Cramer's f, say."""
  return Term(term.init, lambda key, state, round: term.apply(key, state, round._replace(critic=view(round))))


def _cramer_features(round: Round) -> tuple[Array, Array, Array]:
  real, fake = read(round, "real", "features"), read(round, "fake", "features")
  if fake.shape[0] < 2 or real.shape != fake.shape:
    raise ValueError(f"Cramer pairs {real.shape[0]} real with {fake.shape[0]} fake images; use as many, 2 or more")
  return real, fake, jnp.roll(fake, -1, axis=0)


# Fisher ---------------------------------------------------------------------------------------------------------------


class Multiplier(NamedTuple):
  """Of the constraint that the critic's second moment is 1."""

  value: Array  # []


def second_moment(real: Array, fake: Array) -> Array:
  """Omega = (E_P[f^2] + E_Q[f^2]) / 2, which Fisher holds at 1."""
  return ((real**2).mean() + (fake**2).mean()) / 2


def fisher_critic(rho: float = 1e-6) -> Term:
  """Minus E_P[f] - E_Q[f] + m (1 - Omega) - rho / 2 (1 - Omega)^2; its state is the multiplier m, from 0.

  m goes down its own gradient with step size rho: it grows while the second moment is above 1.
  """

  def apply(key: Array, state: Multiplier, round: Round) -> tuple[Array, Multiplier]:
    slack = 1 - second_moment(round.real_out, round.fake_out)
    value = dual(round.real_out, round.fake_out) + state.value * slack - rho / 2 * slack**2
    after = state.value - rho * jax.lax.stop_gradient(slack)
    return -value, Multiplier(after.astype(state.value.dtype))

  return Term(lambda: Multiplier(jnp.zeros(())), apply)
