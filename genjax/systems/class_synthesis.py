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
from genjax.ops import langevin, refill
from genjax.systems.pseudo_negatives import Made, Stop, by_slot, critic_of, in_batches, joined, pairs

Array = jax.Array


class Synthesis(NamedTuple):
  """How images are made."""

  start: Callable[[Array, int], Array]  # key, n -> n images of p0 in the order of the slots
  move: Callable[[Array, Any, Array, Array], Made]  # key, params, bounds, labels [m, k] -> m * k chains in their order
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
  queues: int,
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
    together: S, images that are started together, and of which gradients are computed together; a multiple of m.
    positions: m.
    queues: in which chains wait that do not stop as a batch; a divisor of m.
  """

  def score(params: Any, images: Array, given: tuple[Array, Array], key: Array | None = None) -> tuple[Array, Array]:
    """What chains climb, and -|f - t|, by which they stop; given: the goals t [n], or one for a batch, and classes."""
    goal, label = given
    f, logits = read(net, params, images, key)
    off = jnp.broadcast_to(jnp.abs((f.mean() if stop == "batch" else f) - goal), f.shape)
    return -off - class_weight * optax.softmax_cross_entropy_with_integer_labels(logits, label), -off

  def chains(keys: Array, params: Any, images: Array, label: Array, bounds: Array) -> Made:
    """Images [n, H, W, C] move towards f = t and their classes [n], by a key for each S; the scores are -|f - t|."""
    keys_goal, keys_move = pairs(keys)
    drawn = lambda key, *shape: jax.random.uniform(key, shape, minval=bounds[0], maxval=bounds[1])
    of = lambda x, given: score(params, x, given)
    noisy = (lambda key, x, given: score(params, x, given, key)) if takes_train(net) else None
    settings = {"rule": sampler, "steps": steps}
    if stop == "example":
      goals = joined(by_slot(lambda key: drawn(key, together), keys_goal, positions))
      return refill.ascend(
        keys_move[0],
        of,
        images,
        threshold=jnp.full(goals.shape, -tolerance),
        conditions=(goals, label),
        noisy=noisy,
        slots=together // queues,
        queues=queues,
        **settings,
      )

    def one(item: tuple[Array, Array, Array, Array]) -> langevin.Chains:
      key_goal, key_move, label, images = item
      given = drawn(key_goal), label
      loud = None if noisy is None else lambda key, x: noisy(key, x, given)
      return langevin.ascend(key_move, lambda x: of(x, given), images, threshold=-tolerance, noisy=loud, **settings)

    labels = label.reshape(positions, keys.shape[0], -1).swapaxes(0, 1).reshape(keys.shape[0], -1)
    return in_batches(one, (keys_goal, keys_move, labels), images, positions, steps)

  def start(key: Array, n: int) -> Array:
    size = together if n % together == 0 else positions
    return joined(by_slot(lambda key: noise(key, size), jax.random.split(key, n // size), positions))

  def move(key: Array, params: Any, bounds: Array, label: Array) -> Made:
    keys_start, keys_climb = pairs(jax.random.split(key, label.size // together))
    starts = joined(by_slot(lambda key: noise(key, together), keys_start, positions))
    return chains(keys_climb, params, starts, label.reshape(-1), bounds)

  def sample(key: Array, params: Any, bounds: Array, n: int) -> Array:
    columns = -(-n // together) * together // positions
    kept = n // positions if n % positions == 0 else columns  # of each position's columns
    label = (jnp.arange(positions)[:, None] * kept + jnp.arange(columns)[None]) % classes
    images = move(key, params, bounds, label)[0].images
    return joined(images.reshape(positions, columns, *images.shape[1:])[:, :kept])[:n]

  return Synthesis(start, move, sample)


def read(net: nn.Module, params: Any, images: Array, key: Array | None = None) -> tuple[Array, Array]:
  """f [B] and class logits [B, K], in float32; with a key the net is in training."""
  f, aux = critic_of(net, params, key)(images)
  return to_float32(f), to_float32(aux["class_logits"])
