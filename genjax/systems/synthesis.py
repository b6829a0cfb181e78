"""Synthesis of WINN: chains that climb f on the image, from p0 or from the images of the stage before.

Papers   WINN  Lee et al., CVPR 2018; dissertation (UCSD 2022) section 2.4.1, "Synthesis-step", and 2.4.2
Shapes   n images [n, H, W, C] in the order of the pool's slots. They are made in chunks, and each chunk is spread over
         all slots: memory does not grow with n, and devices that share the images share the work of every chunk.
Checked  tests/systems/test_winn.py, test_winn_cascade.py
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from jax import lax

from genjax.nets.noise import Noise
from genjax.nets.training import takes_train
from genjax.ops import langevin, pool
from genjax.systems import cascade
from genjax.systems.cascade import Cascade, Climb, Path
from genjax.systems.pseudo_negatives import Stop, by_slot, f_of, joined, recall

Array = jax.Array


class Synthesis(NamedTuple):
  """How n images are made."""

  start: Callable[[Array, int], Array]  # key, n -> images of p0
  climb: Callable[
    [Array, Any, Array, Cascade | None, int], langevin.Chains
  ]  # key, params, bounds, cascade, n -> chains
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
) -> Synthesis:
  """The synthesis of a net.

  Args:
    net: its logit is f.
    noise: p0.
    sampler: how images climb.
    shape: H, W, C.
    steps: at most this many moves of a chain.
    stop: thresholds for each "example", or for each "batch", which is a chunk.
    chunk: images synthesised together, a multiple of the slots.
    slots: of the pool.
  """
  stage = _stage(net, sampler, steps, stop)

  def start(key: Array, n: int) -> Array:
    size = min(chunk, n) if n % min(chunk, n) == 0 else slots
    return joined(by_slot(lambda key: noise(key, size), jax.random.split(key, n // size), slots))

  def origin(key: Array, past: Cascade | None) -> Array:
    """Where the chains of the present stage start: at p0, then at what the stage before has handed over."""
    if past is None:
      return noise(key, chunk)
    drawn = lambda: recall(pool.draw(key, past.starts, chunk), shape).reshape(chunk, *shape)
    return lax.cond(past.starts.count[0] > 0, drawn, lambda: noise(key, chunk))

  def climb(key: Array, params: Any, bounds: Array, past: Cascade | None, n: int) -> langevin.Chains:
    def one(key: Array) -> langevin.Chains:
      key_noise, key_climb = jax.random.split(key)
      return stage(key_climb, params, origin(key_noise, past), bounds)

    return joined(by_slot(one, jax.random.split(key, n // chunk), slots))

  def sample(key: Array, path: Path, n: int) -> Array:
    def one(key: Array) -> Array:
      key_noise, key_climb = jax.random.split(key)
      return cascade.through(key_climb, path, noise(key_noise, chunk), stage)

    images = by_slot(one, jax.random.split(key, -(-n // chunk)), slots)
    if n % slots == 0:
      images = images[:, : n // slots]
    return joined(images)[:n]

  return Synthesis(start, climb, sample)


def _stage(net: nn.Module, rule: langevin.Rule, steps: int, stop: Stop) -> Climb:
  """One stage: chains climb f up to thresholds that are drawn uniformly from the bounds."""

  def climb(key: Array, params: Any, images: Array, bounds: Array) -> langevin.Chains:
    key_threshold, key_move = jax.random.split(key)
    thresholds = () if stop == "batch" else (images.shape[0],)
    return langevin.ascend(
      key_move,
      f_of(net, params),
      images,
      rule=rule,
      steps=steps,
      threshold=jax.random.uniform(key_threshold, thresholds, minval=bounds[0], maxval=bounds[1]),
      stop=stop,
      noisy=(lambda key, images: f_of(net, params, key)(images)) if takes_train(net) else None,
    )

  return climb
