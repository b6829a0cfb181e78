"""Averages of a player's variables over its updates, from which the views then read.

Papers   decay      Polyak & Juditsky 1992, as in most GANs since Yazici et al. 2019, arXiv:1806.04498
         half-life  Karras et al. 2018, arXiv:1710.10196: in examples, so that it does not depend on the batch
Checked  tests/systems/test_game.py, test_gan.py
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


class Average(NamedTuple):
  """How an average moves; `half_life` takes the place of `decay`."""

  decay: float = 0.0  # of the average in one update
  half_life: float | None = None  # examples of the player's updates after which a weight counts half
  start: int = 0  # steps in which the average is a copy


def check_averages(rule: Average) -> None:
  """Raises ValueError for numbers out of range, or for a decay and a half-life at once."""
  if not 0 <= rule.decay < 1:
    raise ValueError(f"ema {rule.decay} is not in [0, 1)")
  if rule.half_life is not None and (rule.decay or rule.half_life <= 0):
    raise ValueError(
      f"ema {rule.decay} and ema_half_life {rule.half_life}; set one of them, and the other to 0 or None"
    )
  if rule.start < 0:
    raise ValueError(f"ema_start {rule.start}; use 0 for none, or more")


def averaged(rule: Average, step: Array, examples: int, new: Any, old: Any) -> Any:
  """The average after an update on so many examples. A leaf of integers, a counter, takes its newest value."""
  decay = rule.decay if rule.half_life is None else 0.5 ** (examples / rule.half_life)
  share = jnp.where(step < rule.start, 1.0, 1 - decay) if rule.start else 1 - decay
  mix = lambda new, old: share * new + (1.0 - share) * old if jnp.issubdtype(new.dtype, jnp.inexact) else new
  return jax.tree.map(mix, new, old)
