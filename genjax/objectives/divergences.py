"""f-divergences by their variational bound: an f-GAN is a row of an activation and a conjugate.

    D_f(P || Q) = integral q f(p / q)  >=  E_P[T(x)] - E_Q[f*(T(x))],    T = g(logits)

with equality at T = f'(p / q). The critic's loss is minus the bound; f(1) = 0, f convex, P real, Q fake.

Papers   f-GAN   Nowozin, Cseke & Tomioka 2016, arXiv:1606.00709: Table 2's activation g, conjugate f*, threshold f'(1)
         eq 4-8 of seed 003 (theory slides) are f-divergence, conjugate, bound, its optimum and the game
         TV, Neyman  the same paper's appendix
         curvature   Roth et al. 2017, arXiv:1705.09367, eq 19: what weighs the slope in the regularised f-GAN
         D2GAN   Nguyen et al. 2017, arXiv:1709.03831: two critics, KL and reverse KL at once
Departs  Where g or f*(g) is an exponential, a logit beyond +-30 counts logarithmically (`soften`): a change of g, so
         the bound stays a bound, and 1e4 stays finite.
         Generator: the bound's own -E_Q[f*(T)] is flat for KL, GAN and Jensen-Shannon where the critic is sure, and for
         Pearson has no lower end: below T = -2 it rewards what looks less real. These rows have section 3.2's -E_Q[T],
         which for "gan" is the non-saturating loss; the others the bound, for their -E_Q[T] is an exponential or no
         other. Either one for any row: `generator_loss`.
         Names follow f: Jensen-Shannon's f gives 2 JSD, GAN's 2 JSD - log 4, Pearson's the integral of (p - q)^2 / q;
         Table 1 prints half of the first and swaps p and q in the last.
Shapes   logits, T [B] -> [B]; losses of (real, fake) [B] -> [].
Checked  tests/objectives/test_divergences.py: bound against quadrature for Gaussians, T, f* and f'(1) against f.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array
LIMIT = 30.0  # exp(30) is 1e13: a ratio that no sample shows
Curve = Callable[[Array], Array]


class Divergence(NamedTuple):
  """One f-divergence. `conjugated` and `curvature` are of the logits, so that they can be written without overflow."""

  f: Curve  # ratio u = p / q -> f(u)
  activation: Curve  # logits v -> T = g(v), in the domain of f*
  conjugate: Curve  # T -> f*(T)
  conjugated: Curve  # logits v -> f*(g(v))
  curvature: Curve  # logits v -> f*''(g(v)) g'(v)^2: weighs |grad v|^2 as f*''(T) weighs |grad T|^2
  threshold: float  # f'(1): an image with T above it is taken for real
  direct: bool = False  # whether the sound generator is section 3.2's, see Departs


def soften(logits: Array, limit: float = LIMIT) -> Array:
  """Logits as they are up to +-limit, then limit + log(1 + excess): onto all numbers, smooth once, and never steep."""
  excess = jnp.maximum(jnp.abs(logits) - limit, 0.0)
  return jnp.clip(logits, -limit, limit) + jnp.sign(logits) * jnp.log1p(excess)


def _softened(curve: Curve) -> Curve:
  return lambda v: curve(soften(v))


def _bent(curvature: Curve) -> Curve:
  """Of a softened activation: the curvature at the softened logit, by the chain rule."""

  def curve(v: Array) -> Array:
    slope = 1 / (1 + jnp.maximum(jnp.abs(v) - LIMIT, 0.0))
    return curvature(soften(v)) * slope**2

  return curve


DIVERGENCES = {
  "kl": Divergence(
    f=lambda u: u * jnp.log(u),
    activation=_softened(lambda v: v),
    conjugate=lambda t: jnp.exp(t - 1),
    conjugated=_softened(lambda v: jnp.exp(v - 1)),
    curvature=_bent(lambda v: jnp.exp(v - 1)),
    threshold=1.0,
    direct=True,
  ),
  "reverse_kl": Divergence(
    f=lambda u: -jnp.log(u),
    activation=_softened(lambda v: -jnp.exp(-v)),
    conjugate=lambda t: -1 - jnp.log(-t),
    conjugated=_softened(lambda v: v - 1),
    curvature=_bent(jnp.ones_like),
    threshold=-1.0,
  ),
  "pearson": Divergence(
    f=lambda u: (u - 1) ** 2,
    activation=lambda v: v,
    conjugate=lambda t: t**2 / 4 + t,
    conjugated=lambda v: v**2 / 4 + v,
    curvature=lambda v: jnp.full_like(v, 0.5),
    threshold=0.0,
    direct=True,
  ),
  "neyman": Divergence(
    f=lambda u: (1 - u) ** 2 / u,
    activation=_softened(lambda v: 1 - jnp.exp(-v)),
    conjugate=lambda t: 2 - 2 * jnp.sqrt(1 - t),
    conjugated=_softened(lambda v: 2 - 2 * jnp.exp(-v / 2)),
    curvature=_bent(lambda v: jnp.exp(-v / 2) / 2),
    threshold=0.0,
  ),
  "hellinger": Divergence(
    f=lambda u: (jnp.sqrt(u) - 1) ** 2,
    activation=_softened(lambda v: 1 - jnp.exp(-v)),
    conjugate=lambda t: t / (1 - t),
    conjugated=_softened(lambda v: jnp.exp(v) - 1),
    curvature=_bent(lambda v: 2 * jnp.exp(v)),
    threshold=0.0,
  ),
  "jensen_shannon": Divergence(
    f=lambda u: u * jnp.log(u) - (u + 1) * jnp.log((1 + u) / 2),
    activation=lambda v: jnp.log(2.0) - jax.nn.softplus(-v),
    conjugate=lambda t: -jnp.log(2 - jnp.exp(t)),
    conjugated=lambda v: jax.nn.softplus(v) - jnp.log(2.0),
    curvature=jax.nn.sigmoid,
    threshold=0.0,
    direct=True,
  ),
  "gan": Divergence(
    f=lambda u: u * jnp.log(u) - (u + 1) * jnp.log(u + 1),
    activation=lambda v: -jax.nn.softplus(-v),
    conjugate=lambda t: -jnp.log(1 - jnp.exp(t)),
    conjugated=jax.nn.softplus,
    curvature=jax.nn.sigmoid,
    threshold=-0.6931471805599453,
    direct=True,
  ),
  "total_variation": Divergence(
    f=lambda u: jnp.abs(u - 1) / 2,
    activation=lambda v: jnp.tanh(v) / 2,
    conjugate=lambda t: t,
    conjugated=lambda v: jnp.tanh(v) / 2,
    curvature=jnp.zeros_like,
    threshold=0.0,
  ),
}


def divergence(name: str) -> Divergence:
  """A row by name.

  Raises:
    ValueError: no such row, with those there are.
  """
  if name not in DIVERGENCES:
    raise ValueError(f"no f-divergence {name!r}; use one of {', '.join(DIVERGENCES)}")
  return DIVERGENCES[name]


def bound(row: Divergence, real: Array, fake: Array) -> Array:
  """E_P[T] - E_Q[f*(T)], seed 003's eq 6: at most D_f(P || Q), and equal to it for the best critic."""
  return row.activation(real).mean() - row.conjugated(fake).mean()


def f_critic(row: Divergence, real: Array, fake: Array) -> Array:
  """Minus the bound."""
  return -bound(row, real, fake)


def f_generator(row: Divergence, real: Array, fake: Array) -> Array:
  """-E_Q[f*(T)], what of the bound depends on the generator: Algorithm 1's."""
  return -row.conjugated(fake).mean()


def f_generator_direct(row: Divergence, real: Array, fake: Array) -> Array:
  """-E_Q[T]: section 3.2's heuristic, which for "gan" is the non-saturating loss."""
  return -row.activation(fake).mean()


# Two critics ----------------------------------------------------------------------------------------------------------


def d2gan_critics(
  real_1: Array, fake_1: Array, real_2: Array, fake_2: Array, *, alpha: float = 0.2, beta: float = 0.1
) -> Array:
  """Minus D2GAN's value: alpha E_P[log D1] - E_Q[D1] - E_P[D2] + beta E_Q[log D2], D = softplus(logits) > 0.

  The best critics are D1 = alpha p / q and D2 = beta q / p; the value then is
  alpha (log alpha - 1) + beta (log beta - 1) + alpha KL(P || Q) + beta KL(Q || P).
  """
  first = alpha * _log_softplus(real_1).mean() - jax.nn.softplus(fake_1).mean()
  second = beta * _log_softplus(fake_2).mean() - jax.nn.softplus(real_2).mean()
  return -(first + second)


def d2gan_generator(fake_1: Array, fake_2: Array, *, beta: float = 0.1) -> Array:
  """What of D2GAN's value depends on the generator: -E_Q[D1] + beta E_Q[log D2], minimised."""
  return -jax.nn.softplus(fake_1).mean() + beta * _log_softplus(fake_2).mean()


def _log_softplus(v: Array) -> Array:
  """log(log(1 + e^v)): v itself where e^v is small, so that it never is the log of 0."""
  small = v < -15
  return jnp.where(small, v, jnp.log(jax.nn.softplus(jnp.where(small, 0.0, v))))
