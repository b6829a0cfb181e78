"""How well one number separates two sets: AUROC, AUPR and the false positives at 95 % true positives.

The score is high for positives: f(x) of an energy model is high on images like its training data, so these are the
positives and everything else the negatives. All three depend on the order of the scores only.

Papers   AUROC and ties: Hanley & McNeil 1982; detection by these three: Hendrycks & Gimpel 2017, arXiv:1610.02136,
         Liang, Li & Srikant 2018, arXiv:1706.02690
Shapes   positives [P], negatives [N], any real dtype, infinities included; every function returns a float.
Notes    numpy on the host: counts are whole numbers, so ties and large sets cost no digit.
Checked  tests/ops/test_ranking.py: scikit-learn, with and without ties.
"""

import math
from typing import Any

import numpy as np


def auroc(positives: Any, negatives: Any) -> float:
  """Probability that a positive scores higher than a negative, ties counted half; 0.5 is chance, 1 is perfect.

  Raises:
    ValueError: an empty or not one-dimensional set, or NaN in it. So do the others.
  """
  positives, negatives = _scores(positives, "positives"), np.sort(_scores(negatives, "negatives"))
  below = np.searchsorted(negatives, positives, side="left").sum(dtype=np.int64)
  not_above = np.searchsorted(negatives, positives, side="right").sum(dtype=np.int64)
  return float((below + not_above) / (2 * len(positives) * len(negatives)))


def aupr(positives: Any, negatives: Any) -> float:
  """Area under precision over recall, as average precision (no interpolation); the share of positives is chance."""
  positives, negatives = np.sort(_scores(positives, "positives")), np.sort(_scores(negatives, "negatives"))
  thresholds, counts = np.unique(positives, return_counts=True)
  true = len(positives) - np.searchsorted(positives, thresholds, side="left")
  false = len(negatives) - np.searchsorted(negatives, thresholds, side="left")
  return float(np.sum(counts * (true / (true + false))) / len(positives))


def fpr_at_tpr(positives: Any, negatives: Any, *, tpr: float = 0.95) -> float:
  """Share of negatives at or above the highest threshold that at least `tpr` of the positives reach."""
  if not 0 < tpr <= 1:
    raise ValueError(f"tpr is {tpr}; wanted a share over 0 and at most 1")
  positives, negatives = np.sort(_scores(positives, "positives")), _scores(negatives, "negatives")
  needed = max(1, math.ceil(tpr * len(positives) - 1e-9))  # 0.95 times a whole number is not always whole
  return float(np.mean(negatives >= positives[-needed]))


def _scores(values: Any, name: str) -> np.ndarray:
  values = np.asarray(values).astype(np.float64)
  if values.ndim != 1 or not len(values):
    raise ValueError(f"{name} have shape {values.shape}; wanted [n] scores, one at least")
  if np.isnan(values).any():
    raise ValueError(f"{int(np.isnan(values).sum())} of {len(values)} scores of the {name} are NaN; they have no order")
  return values
