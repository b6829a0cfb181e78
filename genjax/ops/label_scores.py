"""Scores of generated images by the labels that a classifier gives them: how sure it is, and how many labels there are.

Papers   Inception score  Salimans et al. 2016, arXiv:1606.03498: exp(E KL(p(y|x) || p(y))), the mean over 10 splits.
         MODE score       Che et al. 2017, arXiv:1612.02136, as Xu et al. 2018, arXiv:1806.07755, write it:
                          exp(E KL(p(y|x) || p(y)) - KL(p(y) || p*(y))), p* the labels of the real images.
Departs  Inception score: images are shuffled before they are split, as torch-fidelity does (with its seed).
Shapes   logits [n, K], any real dtype; all sums in float64.
Checked  tests/ops/test_label_scores.py: uniform logits give 1, balanced one-hot ones K; numpy by hand.
"""

from typing import NamedTuple

import numpy as np

_LEAST = 5e-4  # share of a label among the real images


class InceptionScore(NamedTuple):
  """Mean and standard deviation (ddof 0) over the splits, from 1 to K."""

  mean: float
  deviation: float
  splits: int


def inception_score(logits: np.ndarray, *, splits: int = 10, seed: int | None = 2020) -> InceptionScore:
  """The Inception score of images by their logits.

  Args:
    logits: [n, K].
    splits: parts, each measured alone; with fewer images than that, n.
    seed: of the shuffle before them, by numpy's RandomState; None: as they come.
  """
  logs = _log_shares(logits)
  order = np.arange(len(logs)) if seed is None else np.random.RandomState(seed).permutation(len(logs))
  splits = min(splits, len(logs))
  bounds = [(i * len(logs) // splits, (i + 1) * len(logs) // splits) for i in range(splits)]
  scores = [np.exp(_information(logs[order[start:end]])) for start, end in bounds]
  return InceptionScore(float(np.mean(scores)), float(np.std(scores)), splits)


class ModeScore(NamedTuple):
  """score: MODE score. classes: labels that some image has. divergence: KL(p(y) || p*(y)) in nats."""

  score: float
  classes: int
  divergence: float


def mode_score(logits: np.ndarray, real: np.ndarray) -> ModeScore:
  """The MODE score of images by their logits.

  Args:
    logits: [n, K].
    real: p* [K], shares of the labels among the real images; a share below 0.0005 counts as that, so that a label which
      no real image has leaves the score finite.

  Raises:
    ValueError: shapes that do not fit.
  """
  logs = _log_shares(logits)
  real = np.asarray(real, np.float64)
  if real.shape != logs.shape[1:]:
    raise ValueError(f"shares of real labels have shape {real.shape}; the logits are of {logs.shape[1]} classes")
  real = np.maximum(real / real.sum(), _LEAST)
  shares = np.exp(logs).mean(axis=0)
  divergence = float(np.sum(_xlogx(shares) - shares * np.log(real / real.sum())))
  classes = len(np.unique(logs.argmax(axis=1)))
  return ModeScore(float(np.exp(_information(logs) - divergence)), classes, divergence)


def mean_shares(logits: np.ndarray) -> np.ndarray:
  """p(y) [K]: the mean of p(y|x) over images."""
  return np.exp(_log_shares(logits)).mean(axis=0)


def _log_shares(logits: np.ndarray) -> np.ndarray:
  """log p(y|x) [n, K] in float64. Raises ValueError."""
  logits = np.asarray(logits, np.float64)
  if logits.ndim != 2 or logits.shape[1] < 2 or not len(logits):
    raise ValueError(f"logits have shape {logits.shape}; wanted [n, K] with n at least 1 and K at least 2")
  if not np.isfinite(logits).all():
    raise ValueError("logits hold NaN or Inf; look at the images they were computed from")
  shifted = logits - logits.max(axis=1, keepdims=True)
  return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _information(logs: np.ndarray) -> float:
  """E KL(p(y|x) || p(y)): the entropy of the mean less the mean entropy, never negative."""
  shares = np.exp(logs)
  return max(0.0, float((shares * logs).sum(axis=1).mean() - _xlogx(shares.mean(axis=0)).sum()))


def _xlogx(shares: np.ndarray) -> np.ndarray:
  return shares * np.log(np.where(shares > 0, shares, 1.0))
