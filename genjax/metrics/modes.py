"""Which modes of a mixture a generator found, and how many of its samples lie in one.

Papers   Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761, section 4.1: a sample is good within three deviations of a
         mode's centre, and a mode is covered by one good sample at least.
Shapes   points [n, D]; centres [K, D].
Checked  tests/metrics/test_modes.py
"""

from typing import NamedTuple

import numpy as np

WITHIN = 3.0  # deviations


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


def modes(points: np.ndarray, centres: np.ndarray, deviation: float) -> Modes:
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
