"""Gradient penalties: where the critic's slope is measured, and which slope is wanted. Penalties of weights and logits.

    {at_real, at_fake, between, near_real} x {squared, unit, at_most_unit}

Papers   WGAN-GP  Gulrajani et al. 2017, arXiv:1704.00028 (between, unit); seed 001's Algorithm 1
         WINN     Lee et al., CVPR 2018, section 2.4.1; LP  Petzka et al. 2018, arXiv:1709.08894 (at_most_unit)
         DRAGAN   Kodali et al. 2017, arXiv:1705.07215 (near_real, unit)
         R1, R2   Mescheder, Geiger & Nowozin 2018, arXiv:1801.04406 (real or fake, squared; weight gamma / 2)
         Roth     Roth et al. 2017, arXiv:1705.09367, eq 20 and 19 as seed 002 prints them
         local stability  Nagarajan & Kolter 2017, arXiv:1706.04156
         orthogonal       Brock et al. 2017, arXiv:1609.07093; off its diagonal BigGAN, arXiv:1809.11096
         LeCam            Tseng et al. 2021, arXiv:2104.03310
         Dudley           the norm is that of Sriperumbudur et al. 2009, arXiv:0901.2698; the penalty is ours
Departs  Where an image's gradient is zero, its slope is 0 with gradient 0; the formula has none.
         LeCam: the means are those before this step, so that the value has an exact gradient; the authors' code has the
         clipped form (`clipped`), their formula not.
         DRAGAN: as in the authors' code: noise uniform in [0, 1] times half the batch's standard deviation, one-sided,
         and a point drawn between each image and its noisy one. The paper's formula has no such line; `symmetric` has
         the noise from both sides.
Shapes   B batch, H W C image. real, fake [B, H, W, C] float32 in [-1, 1]; slopes [B]; every penalty returns [].
Checked  tests/objectives/test_penalties.py: a linear critic has slope |w| everywhere; finite at zero gradient.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from genjax.objectives.terms import Critic, Round, Term, given, play, stateless, to_float32
from genjax.ops.norms import root

Array = jax.Array
Points = Callable[[Array, Round], Array]  # key, round -> images [B, H, W, C]
Target = Callable[[Array], Array]  # squared slopes [B] -> penalties [B]


# Points ---------------------------------------------------------------------------------------------------------------


def between(key: Array, round: Round) -> Array:
  """Points on the straight line from each real image to its fake one, one uniform weight per pair."""
  weight = jax.random.uniform(key, (round.real.shape[0],) + (1,) * (round.real.ndim - 1))
  return weight * round.real + (1 - weight) * round.fake


def at_real(key: Array, round: Round) -> Array:
  """The real images."""
  return round.real


def at_fake(key: Array, round: Round) -> Array:
  """The fake images."""
  return round.fake


def near_real(scale: float = 0.5, *, symmetric: bool = False) -> Points:
  """Points between real images and the same with uniform noise, one uniform weight per image.

  The noise is as large as `scale` times the standard deviation of all values of the batch: one-sided in [0, 1], as
  DRAGAN's code draws it; symmetric in [-1, 1]. The only points that depend on the batch they stand in.
  """

  def points(key: Array, round: Round) -> Array:
    key_noise, key_weight = jax.random.split(key)
    noise = jax.random.uniform(key_noise, round.real.shape, minval=-1.0 if symmetric else 0.0)
    weight = jax.random.uniform(key_weight, (round.real.shape[0],) + (1,) * (round.real.ndim - 1))
    return round.real + weight * scale * root(round.real.var()) * noise

  return points


# Targets --------------------------------------------------------------------------------------------------------------


def squared(squares: Array) -> Array:
  """The squared slope: a slope of zero. Smooth everywhere."""
  return squares


def unit(squares: Array) -> Array:
  """(slope - 1)^2: a slope of one, from both sides."""
  return (root(squares) - 1) ** 2


def at_most_unit(squares: Array) -> Array:
  """((slope - 1)+)^2: a slope of one or less."""
  return jax.nn.relu(root(squares) - 1) ** 2


# Slopes ---------------------------------------------------------------------------------------------------------------


def square_slopes(critic: Critic, images: Array) -> Array:
  """The squared norm of the critic's gradient at each image, [B]; per image, never over the batch."""
  gradient = to_float32(jax.grad(lambda x: to_float32(critic(x)[0]).sum())(images))
  return (gradient**2).sum(tuple(range(1, gradient.ndim)))


def slopes(critic: Critic, images: Array) -> Array:
  """The norm of the critic's gradient at each image, [B]; safe at 0."""
  return root(square_slopes(critic, images))


def gradient_penalty(points: Points = between, target: Target = unit) -> Term:
  """The mean over the points of how far the slope is from its target. The default is WGAN-GP's, with weight 10."""
  return stateless(lambda key, round: target(square_slopes(round.critic, points(key, round))).mean())


def bounded_lipschitz(points: Points = between) -> Term:
  """((max |f| + max slope - 1)+)^2: the bounded Lipschitz norm of f, |f|_inf + |f|_Lip, is to be 1 or less.

  The suprema are the greatest of the batch: |f| over both sides' logits, the slope over the points. That |f| is small
  elsewhere need not be asked: a Lipschitz f may be clipped there and keeps its slope.
  """

  def value(key: Array, round: Round) -> Array:
    height = jnp.maximum(jnp.abs(round.real_out).max(), jnp.abs(round.fake_out).max())
    return jax.nn.relu(height + slopes(round.critic, points(key, round)).max() - 1) ** 2

  return stateless(value)


def as_seen(term: Term) -> Term:
  """A Term of the critic and the reals, at what the net sees of them: without the slope of the augmentation.

  In a system that does not augment, the Term itself.
  """

  def apply(key: Array, state: Any, round: Round) -> tuple[Array, Any]:
    if round.augmentation is not None:
      draw, augment, net = round.augmentation
      round = round._replace(critic=net, real=augment(draw, round.real))
    return term.apply(key, state, round)

  return Term(term.init, apply)


def weighted_slope(curvature: Callable[[Array], Array]) -> Term:
  """Roth et al.'s eq 19: mean over fakes of f*''(T) |grad T|^2, `curvature` being a Divergence's; weight gamma / 2."""

  def value(key: Array, round: Round) -> Array:
    return (curvature(round.fake_out) * square_slopes(round.critic, round.fake)).mean()

  return stateless(value)


def symmetric_slope() -> Term:
  """Roth et al.'s eq 20 for the GAN: mean (1 - s)^2 |grad f|^2 over reals + mean s^2 |grad f|^2 over fakes.

  s = sigmoid(f), f the logits. The weights have a gradient too. Its weight is gamma / 2.
  """

  def value(key: Array, round: Round) -> Array:
    real = jax.nn.sigmoid(-round.real_out) ** 2 * square_slopes(round.critic, round.real)
    fake = jax.nn.sigmoid(round.fake_out) ** 2 * square_slopes(round.critic, round.fake)
    return real.mean() + fake.mean()

  return stateless(value)


def critic_slope(loss: Callable[[Array, Array], Array]) -> Term:
  """Nagarajan & Kolter's, for the generator: the squared norm of the gradient of `loss` by the critic's parameters.

  Args:
    loss: of (real logits, fake logits): what the critic minimises, without penalties.
  """

  def value(key: Array, round: Round) -> Array:
    at = given(round, "critic_at")

    def critic_loss(params: Any) -> Array:
      at_params = play(at(params), round.real, round.fake)
      return loss(at_params.real_out, at_params.fake_out)

    grads = jax.grad(critic_loss)(given(round, "critic_params"))
    return sum((to_float32(leaf) ** 2).sum() for leaf in jax.tree.leaves(grads))

  return stateless(value)


# Weights --------------------------------------------------------------------------------------------------------------


def orthogonality(params: Any, *, diagonal: bool = False) -> Array:
  """|W'W - I|_F^2 summed over all kernels, W [K, O] each kernel [..., I, O] as a matrix; biases are left out.

  Without the diagonal the columns may have any length (BigGAN); with it they are to have length 1.
  """
  kernels = [to_float32(leaf) for leaf in jax.tree.leaves(params) if leaf.ndim >= 2]
  gaps = (_gap(kernel.reshape(-1, kernel.shape[-1]), diagonal) for kernel in kernels)
  return sum((gap**2).sum() for gap in gaps) + jnp.zeros(())


def _gap(matrix: Array, diagonal: bool) -> Array:
  products = jnp.matmul(matrix.T, matrix, precision=jax.lax.Precision.HIGHEST)
  eye = jnp.eye(matrix.shape[1], dtype=products.dtype)
  return products - eye if diagonal else products * (1 - eye)


def orthogonal(
  of: Literal["critic_params", "generator_params"] = "generator_params", *, diagonal: bool = False
) -> Term:
  """`orthogonality` of one player's parameters; BigGAN's weight is 1e-4, on the generator."""
  return stateless(lambda key, round: orthogonality(given(round, of), diagonal=diagonal))


# Running means --------------------------------------------------------------------------------------------------------


class Anchors(NamedTuple):
  """Running means of the critic's logits."""

  step: Array  # [] int32
  real: Array  # []
  fake: Array  # []


def lecam(decay: float = 0.99, start: int = 1000, *, clipped: bool = True) -> Term:
  """mean |f(real) - a_fake|^2 + mean |f(fake) - a_real|^2, a the running means of logits; 0 in the first steps.

  Args:
    decay: of the means; in the first `start` steps 0, so that they are the last batch's.
    start: steps without a penalty.
    clipped: only where f(real) is above a_fake and f(fake) below a_real, as in the authors' code.
  """
  keep = jax.nn.relu if clipped else lambda gap: gap

  def apply(key: Array, state: Anchors, round: Round) -> tuple[Array, Anchors]:
    real, fake = keep(round.real_out - state.fake), keep(state.real - round.fake_out)
    late = state.step >= start
    value = jnp.where(late, (real**2).mean() + (fake**2).mean(), 0.0)
    weight = jnp.where(late, decay, 0.0)
    move = lambda mean, out: (weight * mean + (1 - weight) * jax.lax.stop_gradient(out.mean())).astype(mean.dtype)
    return value, Anchors(state.step + 1, move(state.real, round.real_out), move(state.fake, round.fake_out))

  return Term(lambda: Anchors(jnp.zeros((), jnp.int32), jnp.zeros(()), jnp.zeros(())), apply)
