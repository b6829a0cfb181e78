"""Sampling from a score by following its gradient on the images: Adam ascent and Langevin dynamics, one scan.

Papers   Langevin  Welling & Teh 2011 (SGLD); INN  Lazarow, Jin & Tu, ICCV 2017
         WINN      Lee et al., CVPR 2018; dissertation (UCSD 2022) section 2.4.1, "Synthesis-step"
Departs  Released code: one threshold for a batch, compared with the batch mean (`stop="batch"`); the thesis stops each
         image at its own (`stop="example"`, the default). Thesis: Adam b2 0.99; released code: 0.999. Thesis: dropout
         in the higher layers can stand for Langevin's noise (`noisy`); the released code has neither.
Shapes   n images [n, H, W, C] float32; score: images -> [n]. Chains never leave [low, high].
Checked  tests/ops/test_langevin.py: on a Gaussian the chain has the variance 1 / (1 - epsilon / 4) that theory gives;
         test_langevin_stopping.py
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
Score = Callable[[Array], Array | tuple[Array, Array]]  # images [n, ...] -> [n], or (climbed [n], measured [n])
NoisyScore = Callable[[Array, Array], Array]  # key, images [n, ...] -> [n]
Schedule = Callable[[Array], Array]  # index of the move, 0, 1, ... -> step size
NOISE_KEY = 0x6E6F  # "no": the keys of noise inside the score, apart from those of the moves


class Rule(NamedTuple):
  """How a gradient becomes a move. Both functions are pure; `moment` is the rule's own memory, like the images."""

  init: Callable[[Array], Any]  # images -> moment
  move: Callable[[Array, Array, Any, Array], tuple[Array, Any]]  # key, gradient, moment, index -> move, moment


class Chains(NamedTuple):
  """Where the chains ended."""

  images: Array  # [n, H, W, C]
  scores: Array  # [n] score of these images
  moves: Array  # [n] int32, how many moves each chain made
  stopped: Array  # [n] bool, whether it reached its threshold


def adam(*, learning_rate: float = 0.01, b1: float = 0.9, b2: float = 0.99, eps: float = 1e-8) -> Rule:
  """Adam ascent, its moments fresh for every call: the sampler of the thesis and of the released code.

  Args:
    learning_rate: size of a move.
    b1: decay of the mean of the gradients.
    b2: decay of the mean of their squares.
    eps: added to the root of the squares.
  """

  def move(key, gradient, moment, index):
    del key
    mean = b1 * moment[0] + (1 - b1) * gradient
    square = b2 * moment[1] + (1 - b2) * gradient**2
    count = index + 1
    mean_hat = mean / (1 - b1**count)
    square_hat = square / (1 - b2**count)
    return learning_rate * mean_hat / (jnp.sqrt(square_hat) + eps), (mean, square)

  return Rule(lambda images: (jnp.zeros_like(images), jnp.zeros_like(images)), move)


def langevin(epsilon: float | Schedule) -> Rule:
  """Moves of epsilon / 2 * gradient + N(0, epsilon), which sample exp(score) as epsilon goes to 0.

  Args:
    epsilon: a number, or a function of the index of the move that anneals it.
  """

  def move(key, gradient, moment, index):
    size = epsilon(index) if callable(epsilon) else epsilon
    return size / 2 * gradient + jnp.sqrt(size) * jax.random.normal(key, gradient.shape), moment

  return Rule(lambda images: (), move)


def anneal(first: float, last: float, steps: int) -> Schedule:
  """Step sizes that fall geometrically from `first` to `last` over `steps` moves."""
  if min(first, last) <= 0 or steps < 1:
    raise ValueError(f"annealing from {first} to {last} over {steps} moves; sizes must be positive, steps at least 1")
  return lambda index: first * (last / first) ** (jnp.minimum(index, steps - 1) / max(steps - 1, 1))


def annealed(epsilon: float, *, last: float | None = None, steps: int = 1) -> Rule:
  """Langevin dynamics from plain numbers, for a config.

  Args:
    epsilon: variance of the noise of a move; the gradient is multiplied by half of it.
    last: what epsilon falls to, geometrically; None keeps it constant.
    steps: moves over which it falls.

  Raises:
    ValueError: sizes that are not positive, or no steps.
  """
  if epsilon <= 0:
    raise ValueError(f"epsilon {epsilon}; use a positive number")
  return langevin(epsilon if last is None else anneal(epsilon, last, steps))


def ascend(
  key: Array,
  score: Score,
  images: Array,
  *,
  rule: Rule,
  steps: int,
  threshold: Array | float | None = None,
  stop: Literal["example", "batch"] = "example",
  low: float = -1.0,
  high: float = 1.0,
  noisy: NoisyScore | None = None,
) -> Chains:
  """Moves images [n, ...] up the gradient of `score`, at most `steps` times, clipped to [low, high] after each move.

  A chain stops, and stays where it is, as soon as its score reaches its threshold. With `stop="batch"` all chains stop
  together, once the mean score reaches the mean threshold. When every chain has stopped, the rest of the scan does no
  work. A score that becomes NaN never reaches its threshold, so that the NaN stays visible.

  Args:
    key: of the moves.
    score: images -> [n], or a pair of such: chains climb the first, and stop by the second, which is returned.
    images: where the chains start.
    rule: how a gradient becomes a move.
    steps: at most this many moves of a chain.
    threshold: [n] or a scalar; None: no chain stops.
    stop: "example" or "batch".
    low, high: range of the pixels.
    noisy: (key, images) -> the score with fresh noise inside, such as dropout. Each move follows its gradient and is
      stopped by its value, by a key of its own; the scores that are returned are those of `score`.
  """
  if stop not in ("example", "batch"):
    raise ValueError(f"stop is {stop!r}; use 'example' (thesis) or 'batch' (released code)")
  count = images.shape[0]
  goal = jnp.broadcast_to(jnp.asarray(jnp.inf if threshold is None else threshold, jnp.float32), (count,))

  def reached(scores: Array) -> Array:
    if stop == "batch":
      return jnp.broadcast_to(scores.mean() >= goal.mean(), (count,))
    return scores >= goal

  gradient_of = jax.value_and_grad(lambda x, at: summed(at(x)), has_aux=True)

  def at(index: Array) -> Score:
    return score if noisy is None else partial(noisy, jax.random.fold_in(jax.random.fold_in(key, NOISE_KEY), index))

  def work(carry, index):
    images, moment, active, moves = carry
    (_, scores), gradient = gradient_of(images, at(index))
    active = active & ~reached(scores)
    move, moment = rule.move(jax.random.fold_in(key, index), gradient, moment, index)
    images = jnp.where(_over(active, images), jnp.clip(images + move, low, high), images)
    return images, moment, active, moves + active

  def body(carry, index):
    return lax.cond(carry[2].any(), work, lambda carry, _: carry, carry, index), None

  start = (images, rule.init(images), jnp.ones((count,), bool), jnp.zeros((count,), jnp.int32))
  (images, _, active, moves), _ = lax.scan(body, start, jnp.arange(steps, dtype=jnp.int32))
  _, scores = summed(score(images))
  return Chains(images, scores, moves, ~active | reached(scores))


def gradients(moves: Array, steps: int) -> Array:
  """How many gradients of an image a call of `ascend` computed: [] int32.

  It computes those of all its images until its last chain has stopped, and finds by one more that it has.

  Args:
    moves: [n] of `Chains`.
    steps: as for `ascend`.
  """
  return moves.size * jnp.minimum(moves.max() + 1, steps)


def summed(scores: Array | tuple[Array, Array]) -> tuple[Array, Array]:
  """The sum of the scores that are climbed, and the scores [n] that stop."""
  climbed, measured = scores if isinstance(scores, tuple) else (scores, scores)
  return climbed.sum(), measured


def _over(flags: Array, images: Array) -> Array:
  return flags.reshape(flags.shape + (1,) * (images.ndim - 1))
