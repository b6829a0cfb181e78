"""Synthesis of the supervised WINN: chains from p0 that move to values of f that positives have, and to a class.

Papers   WINN  Lee et al., CVPR 2018; dissertation (UCSD 2022) section 2.5.6
Shapes   n images [n, H, W, C], m positions of a minibatch, K classes, S images synthesised together. Images are in the
         order of a pool by class (ops/pool.py): [m, columns, ...], position j in row j.
Checked  tests/systems/test_winn_classifier.py
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from genjax.nets.noise import Noise
from genjax.nets.training import takes_train
from genjax.objectives.terms import to_float32
from genjax.ops import langevin
from genjax.systems.pseudo_negatives import Stop, by_slot, critic_of, joined

Array = jax.Array


class Synthesis(NamedTuple):
  """How images are made."""

  start: Callable[[Array, int], Array]  # key, n -> n images of p0 in the order of the slots
  move: Callable[
    [Array, Any, Array, Array], langevin.Chains
  ]  # key, params, bounds, labels [m, k] -> leaves [m, k, ...]
  sample: Callable[[Array, Any, Array, int], Array]  # key, params, bounds, n -> n images, image i of class i modulo K


def synthesis_of(
  net: nn.Module,
  noise: Noise,
  sampler: langevin.Rule,
  *,
  classes: int,
  steps: int,
  stop: Stop,
  class_weight: float,
  tolerance: float,
  together: int,
  positions: int,
) -> Synthesis:
  """The synthesis of a net with class logits.

  Args:
    net: images -> (f, aux) with aux["class_logits"].
    noise: p0.
    sampler: how images move.
    classes: K.
    steps: at most this many moves of a chain.
    stop: goals and stops of each "example", or of the mean over a "batch" of S.
    class_weight: of the cross-entropy with the wanted class in what chains minimise.
    tolerance: of the distance between f and its goal, at which a chain stops.
    together: S, a multiple of m.
    positions: m.
  """

  def chains(key: Array, params: Any, images: Array, label: Array, bounds: Array) -> langevin.Chains:
    """Images [S, H, W, C] move towards f = t and their classes [S]; the scores are -|f - t|."""
    key_goal, key_move = jax.random.split(key)
    goals = () if stop == "batch" else label.shape
    goal = jax.random.uniform(key_goal, goals, minval=bounds[0], maxval=bounds[1])  # t

    def score(key: Array | None, images: Array) -> tuple[Array, Array]:
      f, logits = read(net, params, images, key)
      off = jnp.broadcast_to(jnp.abs((f.mean() if stop == "batch" else f) - goal), f.shape)
      return -off - class_weight * optax.softmax_cross_entropy_with_integer_labels(logits, label), -off

    return langevin.ascend(
      key_move,
      lambda images: score(None, images),
      images,
      rule=sampler,
      steps=steps,
      threshold=-tolerance,
      noisy=score if takes_train(net) else None,
    )

  def start(key: Array, n: int) -> Array:
    size = together if n % together == 0 else positions
    return joined(by_slot(lambda key: noise(key, size), jax.random.split(key, n // size), positions))

  def move(key: Array, params: Any, bounds: Array, label: Array) -> langevin.Chains:
    labels = label.reshape(positions, -1, together // positions).swapaxes(0, 1)  # [batches, m, columns of a batch]

    def one(item: tuple[Array, Array]) -> langevin.Chains:
      key_noise, key_climb = jax.random.split(item[0])
      return chains(key_climb, params, noise(key_noise, together), item[1].reshape(-1), bounds)

    return by_slot(one, (jax.random.split(key, labels.shape[0]), labels), positions)

  def sample(key: Array, params: Any, bounds: Array, n: int) -> Array:
    columns = -(-n // together) * together // positions
    kept = n // positions if n % positions == 0 else columns  # of each position's columns
    label = (jnp.arange(positions)[:, None] * kept + jnp.arange(columns)[None]) % classes
    return joined(move(key, params, bounds, label).images[:, :kept])[:n]

  return Synthesis(start, move, sample)


def read(net: nn.Module, params: Any, images: Array, key: Array | None = None) -> tuple[Array, Array]:
  """f [B] and class logits [B, K], in float32; with a key the net is in training."""
  f, aux = critic_of(net, params, key)(images)
  return to_float32(f), to_float32(aux["class_logits"])
