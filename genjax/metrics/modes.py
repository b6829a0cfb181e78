"""Which modes of a mixture a generator covers, and how many of its samples lie in one.

Papers   Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761, section 4.1: a sample is good within three deviations of a
         mode's centre, and a mode is covered by one good sample at least.
Shapes   points [n, D]; centres [K, D].
Checked  tests/metrics/test_modes.py
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from genjax.core import Array, Dataset, Metric, Number, State
from genjax.metrics.card import Card, digest

WITHIN = 3.0  # deviations
_FACTS = ("centres", "deviation")


class Modes(NamedTuple):
  """counts: good samples of each mode [K]. covered: modes with one at least. good: share of all samples."""

  counts: np.ndarray
  covered: int
  good: float

  @property
  def balance(self) -> float:
    """Entropy of the good samples over the modes, as a share of the greatest: 1 if all modes have as many."""
    shares = self.counts[self.counts > 0] / max(self.counts.sum(), 1)
    return float((shares * np.log(1 / shares)).sum() / np.log(len(self.counts)))


def modes(*, samples: int = 2500, seed: int | None = None, ema: bool | None = None) -> Metric:
  """The metrics "modes" (covered), "good" (share of samples) and "balance" of a generator of a mixture.

  The mixture is that of the data: its facts `centres` [K, D] and `deviation`.

  Args:
    samples: number of samples; each is read as a point of D coordinates.
    seed: of the samples, for the card.
    ema: whether the samples come from averaged weights, for the card.
  """
  if samples < 1:
    raise ValueError(f"samples {samples}; use at least 1")

  def measure(key: Array, views: Mapping[str, Callable], state: State, data: Dataset) -> dict[str, Number]:
    check(data)
    centres, deviation = (data.facts[name] for name in _FACTS)
    result = coverage(np.asarray(views["sample"](key, state, samples)).reshape(samples, -1), centres, deviation)
    card = lambda metric: Card(
      metric=f"{metric}, within {WITHIN:g} deviations",
      subject="samples",
      generated=samples,
      reference=len(centres),
      split=f"centres of {data.facts.get('name', 'the mixture')}",
      data_digest=digest(np.asarray(centres)),
      quantisation="none",
      ema=ema,
      seed=seed,
      precision=None,
    )
    values = {"modes": float(result.covered), "good": result.good, "balance": result.balance}
    return {name: Number(value, card(name)) for name, value in values.items()}

  return Metric(("sample",), measure, dict.fromkeys(("modes", "good", "balance"), "higher"), check)


def check(data: Dataset) -> None:
  """Raises ValueError where the data are no mixture with known centres [K, D], K at least 2."""
  missing = [name for name in _FACTS if data.facts.get(name) is None]
  if missing:
    raise ValueError(
      f"data {data.facts.get('name', 'set')} say no {' and no '.join(missing)}; modes are counted of a mixture whose "
      "centres are known: ring, grid, or a data set of your own with the facts centres [K, D] and deviation"
    )
  shape, deviation = np.shape(data.facts["centres"]), data.facts["deviation"]
  if len(shape) != 2 or shape[0] < 2 or not deviation > 0:
    raise ValueError(f"centres have shape {shape} and deviation is {deviation}; wanted [K, D] of two at least, and > 0")


def coverage(points: np.ndarray, centres: np.ndarray, deviation: float) -> Modes:
  """Counts samples near the centres of a mixture whose modes all have this deviation.

  Raises:
    ValueError: no points, or of another dimension than the centres.
  """
  points, centres = np.asarray(points, np.float64), np.asarray(centres, np.float64)
  if points.ndim != 2 or points.shape[1:] != centres.shape[1:] or not len(points):
    raise ValueError(f"points have shape {points.shape}; wanted [n, {centres.shape[1]}] with n at least 1")
  distance = np.linalg.norm(points[:, None] - centres, axis=2)
  good = distance.min(1) <= WITHIN * deviation
  counts = np.bincount(distance.argmin(1)[good], minlength=len(centres))
  return Modes(counts, int((counts > 0).sum()), float(good.mean()))
