"""Pseudo-negatives, the images that WINN and the supervised WINN make of their own: what the two have in common.

Shapes   n positives a step, m a minibatch; images [n, H, W, C]. Position j of every minibatch uses slot j of the pool
         (ops/pool.py), so chunks of images are always spread over all slots and devices exchange none. `variables` are
         all that a net holds, {"params": ...}; f is its logit.
Checked  tests/systems/test_winn.py, test_winn_classification.py, test_winn_classifier_loss.py
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from genjax.core import Kernel
from genjax.nets.training import mode
from genjax.objectives.terms import Critic, to_float32
from genjax.ops import langevin, pool
from genjax.ops.augment import to_uint8, to_unit
from genjax.systems.checks import check_words

Array = jax.Array
Stop = Literal["example", "batch"]
PoolType = Literal["float32", "uint8"]
Made = tuple[langevin.Chains, Array]  # and how many gradients of an image they took, those that moved none included


# Settings -------------------------------------------------------------------------------------------------------------


def check_sizes(sizes: Mapping[str, int], minibatch: int, of: str = "") -> None:
  """Raises ValueError for a size that is not whole minibatches, or a pool that cannot hold its start; `of` what."""
  for name, size in sizes.items():
    if size < minibatch or size % minibatch:
      nearest = max(size // minibatch, 1) * minibatch
      raise ValueError(f"{name} {size}{of} is not a multiple of the minibatch {minibatch}; use {nearest}")
  if sizes["initial"] > sizes["capacity"]:
    place = f",{of}" if of else ""
    raise ValueError(f"initial {sizes['initial']} is more than the pool's capacity {sizes['capacity']}{place}")


def check_pool(stop: str, policy: str, pool_dtype: str) -> None:
  """Raises ValueError for a word that is none of its choices."""
  check_words(
    {
      "stop": (stop, "example", "batch"),
      "policy": (policy, "reservoir", "ring"),
      "pool_dtype": (pool_dtype, "float32", "uint8"),
    }
  )


# The net --------------------------------------------------------------------------------------------------------------


def initial_variables(
  net: nn.Module, key: Array, shape: tuple[int, int, int], classes: int | None = None
) -> Mapping[str, Any]:
  """The net's variables at the start.

  Raises:
    ValueError: the net does not return (f [B], aux), with `classes` no aux["class_logits"] [B, classes], or it holds
      more than parameters.
  """
  images = jnp.zeros((1, *shape))
  variables = net.init(key, images)
  result = jax.eval_shape(net.apply, variables, images)
  name = type(net).__name__
  if not isinstance(result, tuple) or len(result) != 2 or getattr(result[0], "shape", None) != (1,):
    came = jax.tree.map(lambda leaf: tuple(leaf.shape), result)
    raise ValueError(f"{name} returns {came} for 1 image; a critic returns (logits [B], aux), aux a dict, {{}} say")
  if classes is not None and getattr(dict(result[1]).get("class_logits"), "shape", None) != (1, classes):
    raise ValueError(f"{name} gives no aux['class_logits'] [B, {classes}]; use a net with a field head_classes")
  if set(variables) != {"params"}:
    others = ", ".join(sorted(set(variables) - {"params"}))
    raise ValueError(f"{name} keeps {others}; use a net without batch or spectral normalisation (norm 'layer', say)")
  return variables


def critic_of(net: nn.Module, variables: Any, key: Array | None = None) -> Critic:
  """images -> (f [B], aux); with a key the net is in training, and its dropout draws from the key."""
  if key is None:
    return lambda images: net.apply(variables, images)
  return lambda images: net.apply(variables, images, **mode(net, True), rngs={"dropout": key})


def f_of(net: nn.Module, variables: Any, key: Array | None = None) -> Callable[[Array], Array]:
  """images -> f [B] in float32, by `critic_of`."""
  return lambda images: to_float32(critic_of(net, variables, key)(images)[0])


def weights(state: NamedTuple) -> Any:
  """The variables that sample and classify: the averaged ones where there are such."""
  return state.params if state.ema is None else state.ema


def range_of_f(f: Callable[[Array], Array], reals: Array, stop: Stop) -> Array:
  """The least and the greatest f over the positives [minibatches, m, ...], or over the minibatches' means; [2]."""
  values = lax.map(f, reals)
  values = values.mean(1) if stop == "batch" else values
  return jnp.stack([values.min(), values.max()])


def gradient_kernel(net: nn.Module, variables: Any, images: Array) -> Kernel:
  """The gradient of f by the images alone, for `genjax bench`."""
  gradient = lambda variables, images: jax.grad(lambda x: f_of(net, variables)(x).sum())(images)
  return Kernel(gradient, (variables, images), images.shape[0], "image-gradient steps")


# Images and the pool --------------------------------------------------------------------------------------------------


def store(images: Array, dtype: PoolType) -> Array:
  """Images in [-1, 1] as the pool keeps them."""
  return to_uint8(images) if dtype == "uint8" else images


def recall(flat: Array, shape: tuple[int, int, int]) -> Array:
  """What the pool keeps, [..., F], as images [..., H, W, C] in [-1, 1]."""
  return to_unit(flat.reshape(*flat.shape[:-1], *shape))


def minibatches(rows: Array, minibatch: int) -> Array:
  """[n, ...] -> [n / m, m, ...]; position j of every minibatch comes from the same contiguous run: no exchange."""
  return pool.to_slots(rows, minibatch).swapaxes(0, 1)


def by_slot(make: Callable[[Any], Any], items: Any, slots: int) -> Any:
  """`make(item)` of each item, one after the other, as one tree of leaves [slots, n / slots, ...].

  Args:
    make: item -> a tree of leaves [images of the item, ...]; they are spread over all slots.
    items: a tree of leaves [number of items, ...].
    slots: how many; they divide the images of an item.
  """
  chunks = lax.map(lambda item: jax.tree.map(lambda leaf: pool.to_slots(leaf, slots), make(item)), items)
  return jax.tree.map(lambda leaf: leaf.swapaxes(0, 1).reshape(slots, -1, *leaf.shape[3:]), chunks)


def in_batches(climb: Callable[[Any], langevin.Chains], keys: Any, images: Array, slots: int, steps: int) -> Made:
  """Chains of chunk after chunk, each of which stops as one: [n], in the order of the slots.

  Args:
    climb: (key, key ..., images of a chunk) -> chains, as one tuple.
    keys: a tuple of leaves [chunks].
    images: [n, ...], where chains start.
    slots: they divide the images of a chunk.
    steps: at most this many moves of a chain.
  """
  chunks = images.reshape(slots, keys[0].shape[0], -1, *images.shape[1:]).swapaxes(0, 1)
  chains = by_slot(climb, (*keys, chunks.reshape(chunks.shape[0], -1, *images.shape[1:])), slots)
  of_chunk = chains.moves.reshape(slots, chunks.shape[0], -1).swapaxes(0, 1)
  return joined(chains), jax.vmap(lambda moves: langevin.gradients(moves, steps))(of_chunk).sum()


def pairs(keys: Array) -> tuple[Array, Array]:
  """Two keys of each."""
  two = jax.vmap(jax.random.split)(keys)
  return two[:, 0], two[:, 1]


def gradients_used(made: Made) -> Array:
  """The share of the gradients computed that moved an image, in [0, 1]: []."""
  chains, gradients = made
  return chains.moves.sum() / jnp.maximum(gradients, 1).astype(jnp.float32)


def joined(tree: Any) -> Any:
  """Leaves [slots, k, ...] as [slots * k, ...], as `pool.append` takes them."""
  return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)
