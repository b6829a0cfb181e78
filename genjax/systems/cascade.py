"""A cascade: snapshots of one network in training, and the images with which each stage hands over to the next.

Papers   WINN  Lee et al., CVPR 2018; dissertation (UCSD 2022) section 2.4.2, eq 2.9, and 2.5.1 ("In the later cascades,
         images are initialized with the images sampled from the last cascade")
Departs  Released code: 10,000 images of the stage before, used without replacement; here a pool of `starts`, drawn with
         replacement, slot by slot like the other pool (ops/pool.py), so nothing moves between devices. As in the
         released code one network is trained on: the weights are not drawn anew between stages.
Shapes   K stages, K - 1 snapshots: the last stage is the network itself.
Checked  tests/systems/test_winn_cascade.py
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from genjax.ops import langevin, pool

Array = jax.Array
Climb = Callable[[Array, Any, Array, Array], langevin.Chains]  # keys, params, images, bounds -> one stage's chains


class Cascade(NamedTuple):
  ended: Array  # [] int32, stages that have ended
  params: Any  # [K - 1, ...] snapshots of the weights at the end of each; zeros where a stage has not ended
  bounds: Array  # [K - 1, 2] range of f over positives, of each snapshot
  starts: pool.Pool  # images of the stage before the present one


class Path(NamedTuple):
  """The stages that an image goes through, in order: stage k climbs f of params[k] where active[k]."""

  params: Any  # [K, ...]
  bounds: Array  # [K, 2]
  active: Array  # [K] bool; the last is always active


def begin(params: Any, stages: int, starts: pool.Pool) -> Cascade:
  """No stage has ended yet."""
  room = jax.tree.map(lambda leaf: jnp.zeros((stages - 1, *leaf.shape), leaf.dtype), params)
  return Cascade(jnp.zeros((), jnp.int32), room, jnp.zeros((stages - 1, 2)), starts)


def close(cascade: Cascade, params: Any, bounds: Array, starts: pool.Pool) -> Cascade:
  """The present stage has ended: its weights and range are kept, and the next one starts from its images."""
  kept = jax.tree.map(lambda all, one: all.at[cascade.ended].set(one), cascade.params, params)
  return Cascade(cascade.ended + 1, kept, cascade.bounds.at[cascade.ended].set(bounds), starts)


def path_of(cascade: Cascade | None, params: Any, bounds: Array) -> Path:
  """The stages that have ended, then the present one with these weights; without a cascade, that one alone."""
  one = jax.tree.map(lambda leaf: leaf[None], params)
  if cascade is None:
    return Path(one, bounds[None], jnp.ones((1,), bool))
  return Path(
    jax.tree.map(lambda kept, last: jnp.concatenate([kept, last]), cascade.params, one),
    jnp.concatenate([cascade.bounds, bounds[None]]),
    jnp.append(jnp.arange(cascade.bounds.shape[0]) < cascade.ended, True),
  )


def through(keys: Array, path: Path, images: Array, climb: Climb) -> Array:
  """Images [n, H, W, C] after all active stages of a path; keys [chunks], a chunk of the images each."""
  count = path.active.shape[0]
  if count == 1:
    return climb(keys, jax.tree.map(lambda leaf: leaf[0], path.params), images, path.bounds[0]).images

  def one(images: Array, at: tuple[Array, Any, Array, Array]) -> tuple[Array, None]:
    index, params, bounds, active = at
    own = jax.vmap(lambda key: jax.random.fold_in(key, index))(keys)
    run = lambda images: climb(own, params, images, bounds).images
    return lax.cond(active, run, lambda images: images, images), None

  return lax.scan(one, images, (jnp.arange(count), path.params, path.bounds, path.active))[0]
