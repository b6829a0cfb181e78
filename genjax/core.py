"""The vocabulary: what a system, a batch and its metrics are, and the law of arguments (key, state, data).

Shapes   B batch, H W C image. image [B, H, W, C] float32 in [-1, 1]; label [B] int32.
Checked  tests/systems/contract.py holds every system to what is said here.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

Array = jax.Array
Batch = Mapping[str, Array]  # "image" [B, H, W, C] float32 in [-1, 1]; "label" [B] int32 where the data has labels
Metrics = Mapping[str, Array]  # names to float32 scalars
State = Any  # a pytree of the system's own, with an int32 scalar `step` that counts finished steps


class System(NamedTuple):
  """A training algorithm as four pure functions; nothing that trains or saves it needs to know more.

  Whatever makes the next step different is in the state, so that a restored state goes on exactly.
  All four are traceable; `n` is static.
  """

  init: Callable[[Array, Batch], State]
  step: Callable[[Array, State, Batch], tuple[State, Metrics]]
  sample: Callable[[Array, State, int], Array] | None = None  # -> images [n, H, W, C] in [-1, 1]
  evaluate: Callable[[Array, State, Batch], Metrics] | None = None


class Kernel(NamedTuple):
  """A piece of a system that `genjax bench` times alone."""

  fn: Callable[..., Any]  # traceable
  args: tuple[Any, ...]
  work: int  # what one call does, in units: images * moves, say. It must do just that: see that nothing stops early
  unit: str  # plural: "gradient-steps"; the rate is told in gradient-steps/s
