"""Synthesis of WINN: chains that climb f on the image, from p0 or from the images of the stage before.

Papers   WINN  Lee et al., CVPR 2018; dissertation (UCSD 2022) section 2.4.1, "Synthesis-step", and 2.4.2
Shapes   n images [n, H, W, C] in the order of the pool's slots. They start in chunks, and each chunk is spread over all
         slots, so devices that share the images share the work of every chunk. Gradients are of at most a chunk of
         images together, so the net's memory does not grow with n. Chains that stop one by one wait in queues for their
         turn (ops/refill.py), a queue for each group of neighbouring slots; chunks that stop as a batch take turns.
Checked  tests/systems/test_winn.py, test_winn_cascade.py
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from jax import lax

from genjax.nets.noise import Noise
from genjax.nets.training import takes_train
from genjax.ops import langevin, pool, refill
from genjax.systems import cascade
from genjax.systems.cascade import Cascade, Path
from genjax.systems.pseudo_negatives import Made, Stop, by_slot, f_of, in_batches, joined, pairs, recall

Array = jax.Array


class Synthesis(NamedTuple):
  """How n images are made."""

  start: Callable[[Array, int], Array]  # key, n -> images of p0
  climb: Callable[
    [Array, Any, Array, Cascade | None, int], Made
  ]  # key, params, bounds, cascade, n -> chains, gradients
  sample: Callable[[Array, Path, int], Array]  # key, path, n -> images from p0 through every stage of the path


def synthesis_of(
  net: nn.Module,
  noise: Noise,
  sampler: langevin.Rule,
  *,
  shape: tuple[int, int, int],
  steps: int,
  stop: Stop,
  chunk: int,
  slots: int,
  queues: int,
) -> Synthesis:
  """The synthesis of a net.

  Args:
    net: its logit is f.
    noise: p0.
    sampler: how images climb.
    shape: H, W, C.
    steps: at most this many moves of a chain.
    stop: thresholds for each "example", or for each "batch", which is a chunk.
    chunk: images that are started together, and of which gradients are computed together; a multiple of the slots.
    slots: of the pool.
    queues: in which chains wait that do not stop as a batch; a divisor of the slots.
  """
  stage = _stage(net, sampler, steps, stop, chunk=chunk, slots=slots, queues=queues)

  def start(key: Array, n: int) -> Array:
    size = min(chunk, n) if n % min(chunk, n) == 0 else slots
    return joined(by_slot(lambda key: noise(key, size), jax.random.split(key, n // size), slots))

  def origin(key: Array, past: Cascade | None) -> Array:
    """Where the chains of the present stage start: at p0, then at what the stage before has handed over."""
    if past is None:
      return noise(key, chunk)
    drawn = lambda: recall(pool.draw(key, past.starts, chunk), shape).reshape(chunk, *shape)
    return lax.cond(past.starts.count[0] > 0, drawn, lambda: noise(key, chunk))

  def climb(key: Array, params: Any, bounds: Array, past: Cascade | None, n: int) -> Made:
    keys_start, keys_climb = pairs(jax.random.split(key, n // chunk))
    starts = joined(by_slot(lambda key: origin(key, past), keys_start, slots))
    return stage(keys_climb, params, starts, bounds)

  def sample(key: Array, path: Path, n: int) -> Array:
    keys_start, keys_climb = pairs(jax.random.split(key, -(-n // chunk)))
    starts = joined(by_slot(lambda key: noise(key, chunk), keys_start, slots))
    images = cascade.through(keys_climb, path, starts, lambda *a: stage(*a)[0]).reshape(slots, -1, *shape)
    if n % slots == 0:
      images = images[:, : n // slots]
    return joined(images)[:n]

  return Synthesis(start, climb, sample)


def _stage(
  net: nn.Module, rule: langevin.Rule, steps: int, stop: Stop, *, chunk: int, slots: int, queues: int
) -> Callable[[Array, Any, Array, Array], Made]:
  """One stage: chains climb f up to thresholds that are drawn uniformly from the bounds, by a key for each chunk."""

  def climb(keys: Array, params: Any, images: Array, bounds: Array) -> Made:
    keys_threshold, keys_move = pairs(keys)
    f, noisy = f_of(net, params), lambda key, images, *_: f_of(net, params, key)(images)
    settings = {"rule": rule, "steps": steps, "noisy": noisy if takes_train(net) else None}
    drawn = lambda key, *shape: jax.random.uniform(key, shape, minval=bounds[0], maxval=bounds[1])
    if stop == "example":
      goals = joined(by_slot(lambda key: drawn(key, chunk), keys_threshold, slots))
      together = {"slots": chunk // queues, "queues": queues}
      return refill.ascend(keys_move[0], lambda x, _: f(x), images, threshold=goals, **settings, **together)

    def one(item: tuple[Array, Array, Array]) -> langevin.Chains:
      key_threshold, key_move, images = item
      return langevin.ascend(key_move, f, images, threshold=drawn(key_threshold), stop="batch", **settings)

    return in_batches(one, (keys_threshold, keys_move), images, slots, steps)

  return climb
