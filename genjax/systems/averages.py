"""Averages of a player's variables over its updates, from which the views then read.

Papers   decay      Polyak & Juditsky 1992, as in most GANs since Yazici et al. 2019, arXiv:1806.04498
         half-life  Karras et al. 2018, arXiv:1710.10196: in examples, so that it does not depend on the batch
State    An average is made of all of a player's collections, but for what has no mean:
         spectral     the vectors of power iterations rotate with the weights, and the mean of unit vectors is short.
                      The average has vectors of its own, which make one iteration on the averaged weights at every
                      update. Like the player's they lag where two singular values cross; StudioGAN averages them.
         integers     counters take their newest value.
         batch_stats  are averaged like weights, as in StudioGAN's code, after BigGAN's (src/utils/ema.py): statistics
                      of the nets that were averaged, over as many steps. Its variant for StyleGAN takes the newest,
                      which are those of one net that is not sampled from.
Checked  tests/systems/test_averages.py, test_game.py, test_gan.py
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from genjax.nets.spectral import iterated

Array = jax.Array
Variables = Mapping[str, Any]  # flax's: {"params": ..., other collections}


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


def averaged(rule: Average, step: Array, examples: int, new: Variables, old: Variables) -> Variables:
  """The average of a player's variables after an update on so many examples, see State."""
  decay = rule.decay if rule.half_life is None else 0.5 ** (examples / rule.half_life)
  share = jnp.where(step < rule.start, 1.0, 1 - decay) if rule.start else 1 - decay
  mix = lambda new, old: share * new + (1.0 - share) * old if jnp.issubdtype(new.dtype, jnp.inexact) else new
  after = {name: jax.tree.map(mix, new[name], old[name]) for name in new if name != "spectral"}
  return after | ({"spectral": iterated(after["params"], old["spectral"])} if "spectral" in new else {})
