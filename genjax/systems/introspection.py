"""What WINN and the supervised WINN do alike: sizes, minibatches by lane, the pool's pixels, the range of f.

Shapes   n positives a step, m a minibatch; images [n, H, W, C]. See winn.py.
Checked  tests/systems/test_winn.py, test_winn_classifier.py
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax import lax

from genjax.ops import pool
from genjax.ops.augment import to_uint8, to_unit

Array = jax.Array
POLICIES, STOPS, DTYPES = ("reservoir", "ring"), ("example", "batch"), ("float32", "uint8")


def check_sizes(sizes: Mapping[str, int], minibatch: int, of: str = "") -> None:
  """Raises ValueError for a size that is not whole minibatches, or a pool that cannot hold its start; `of` what."""
  for name, size in sizes.items():
    if size < minibatch or size % minibatch:
      nearest = max(size // minibatch, 1) * minibatch
      raise ValueError(f"{name} {size}{of} is not a multiple of the minibatch {minibatch}; use {nearest}")
  if sizes["initial"] > sizes["capacity"]:
    place = f",{of}" if of else ""
    raise ValueError(f"initial {sizes['initial']} is more than the pool's capacity {sizes['capacity']}{place}")


def adam(
  rate: float, updates_per_turn: int, *, b1: float, b2: float, decay_steps: int | None
) -> optax.GradientTransformation:
  """Adam of the network; `decay_steps` turns bring the rate to 0 along a cosine, None keeps it."""
  schedule = rate if decay_steps is None else optax.cosine_decay_schedule(rate, decay_steps * updates_per_turn)
  return optax.adam(schedule, b1=b1, b2=b2)


def weights(state: Any) -> Any:
  """Those that sample and classify: the averaged ones where there are such."""
  return state.params if state.ema is None else state.ema


def store(images: Array, dtype: Literal["float32", "uint8"]) -> Array:
  """Images in [-1, 1] as the pool keeps them."""
  return to_uint8(images) if dtype == "uint8" else images


def recall(flat: Array, shape: tuple[int, int, int]) -> Array:
  """What the pool keeps, [..., F], as images [..., H, W, C] in [-1, 1]."""
  return to_unit(flat.reshape(*flat.shape[:-1], *shape))


def minibatches(rows: Array, minibatch: int) -> Array:
  """[n, ...] -> [n / m, m, ...], position j of every minibatch from the same contiguous run: no exchange."""
  return pool.to_lanes(rows, minibatch).swapaxes(0, 1)


def range_of_f(score: Callable[[Array], Array], reals: Array, stop: str) -> Array:
  """Least and greatest f over the positives [minibatches, m, ...], or over the minibatches' means; [2]."""
  values = lax.map(score, reals)
  values = values.mean(1) if stop == "batch" else values
  return jnp.stack([values.min(), values.max()])
