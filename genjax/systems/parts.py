"""Less memory for a gradient: a batch in parts, one after the other, and values that are computed again.

Departs  Parts of a batch have batch statistics of their own, and go through a net's collections in turn; terms that
         compare the examples of a batch compare those of a part. A mean over examples alone is the same as without.
Shapes   a batch: leaves [B, ...], and keys [].
Checked  tests/systems/test_parts.py
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from genjax.core import Batch
from genjax.ops.conv import PRODUCT
from genjax.systems.checks import check_counts

Array = jax.Array
Gradient = Callable[[Any, Array, Batch], tuple[Any, Any]]  # carry, key, batch -> values, carry


def in_parts(parts: int, gradient: Gradient, carry: Any, key: Array, batch: Batch) -> tuple[Any, Any]:
  """The means of a gradient's values over the parts of a batch, and what goes from part to part, after the last one.

  Args:
    parts: how many; they divide B. One: the gradient of the whole, by this key.
    gradient: (carry, key, batch) -> (values, carry); values are averaged: gradients, metrics.
    carry: what the first part sees: collections, states of terms.
    key: split, for each part its own.
    batch: see Shapes.
  """
  if parts == 1:
    return gradient(carry, key, batch)

  def one(held: tuple[Any, Any], keyed: tuple[Array, Batch]) -> tuple[tuple[Any, Any], None]:
    values, after = gradient(held[1], *keyed)
    return (jax.tree.map(jnp.add, held[0], values), after), None

  keyed = (jax.random.split(key, parts), cut(batch, parts))
  shapes, _ = jax.eval_shape(gradient, carry, *jax.tree.map(lambda leaf: leaf[0], keyed))
  (sums, carry), _ = lax.scan(one, (jax.tree.map(lambda it: jnp.zeros(it.shape, it.dtype), shapes), carry), keyed)
  return jax.tree.map(lambda leaf: leaf / parts, sums), carry


def cut(batch: Batch, parts: int) -> Batch:
  """Leaves [B, ...] as [parts, B / parts, ...]; keys [] as keys [parts].

  Place j of every part is from the same contiguous run of the batch: devices exchange nothing.
  """

  def one(leaf: Array) -> Array:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      return jax.random.split(leaf, parts)
    return leaf.reshape(-1, parts, *leaf.shape[1:]).swapaxes(0, 1)

  return jax.tree.map(one, dict(batch))


def check_parts(parts: int, sizes: Mapping[str, int]) -> None:
  """Raises ValueError unless `parts` is at least 1 and divides the sizes; name -> size, for the message."""
  check_counts({"accumulate": parts})
  for name, size in sizes.items():
    if size % parts:
      raise ValueError(f"{name} {size} is not a multiple of accumulate {parts}; use one that is, or accumulate 1")


def rematerialised(loss: Callable[..., Any], remat: bool) -> Callable[..., Any]:
  """The loss, of whose values only convolutions and products with weights are kept for its gradient, if `remat`.

  What lies between them is computed again: norms, activations, attention's products of two examples' values.
  """
  return jax.checkpoint(loss, policy=_kept) if remat else loss


def _kept(primitive: Any, *_: Any, **settings: Any) -> bool:
  if primitive is lax.dot_general_p:
    _, (batched, _) = settings["dimension_numbers"]
    return not batched
  return primitive.name == "conv_general_dilated" or (primitive.name == "name" and settings["name"] == PRODUCT)
