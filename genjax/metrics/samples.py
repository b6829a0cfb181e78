"""The view `sample` as the metrics of one evaluation share it.

Checked  tests/metrics/test_generated.py, test_metrics_contract.py
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax

from genjax.core import Array, State


@dataclass(frozen=True, eq=False)
class Samples:
  """The view `sample` as the metrics of one evaluation share it: what one of them drew, the others do not draw again.

  Attributes:
    view: (key, state, n) -> examples.
    gathers: n -> what some metric of the evaluation keeps of n samples; one pass keeps it all.
    kept: what was drawn so far. It lives as long as the evaluation does.
  """

  view: Callable[[Array, State, int], Any]
  gathers: Mapping[int, frozenset[str]] = field(default_factory=dict)
  kept: dict[tuple, Any] = field(default_factory=dict)

  def __call__(self, key: Array, state: State, n: int) -> Any:
    """All n examples in memory, for data whose examples are small."""
    mark = (*mark_of(key, state, n), "whole")
    if mark not in self.kept:
      self.kept[mark] = self.view(key, state, n)
    return self.kept[mark]


@dataclass(frozen=True, eq=False)
class Given:
  """Images that are there already, as a view: of a folder, of another tool. Key and state mean nothing to it."""

  images: Any  # [N, H, W, C], uint8 or float in [-1, 1]

  def __call__(self, key: Array, state: State, n: int) -> Any:
    """The first n."""
    del key, state
    return self.images[:n]


def mark_of(key: Array, state: State, n: int) -> tuple:
  """What a call of the view is known by: the bits of the key, and the state as an object, not as numbers."""
  return (None if key is None else jax.random.key_data(key).tobytes(), id(state), n)
