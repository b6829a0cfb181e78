"""Calibration of a classifier: reliability bins, expected calibration error, likelihood, Brier score.

Papers   ECE  Naeini, Cooper & Hauskrecht, AAAI 2015; Guo et al. 2017, arXiv:1706.04599 (15 bins of equal width)
         equal mass  Nguyen & O'Connor 2015, arXiv:1508.05154; Brier 1950
Departs  Equal mass: images of equal confidence share their accuracy before the bins are cut, so that the order of the
         images plays no part (many classifiers give exactly 1 to half of the images).
Shapes   N images, K classes. logits [N, K], any real dtype (of probabilities, their log); labels [N] int.
Notes    float64 numpy on the host: 1 - p of a sure classifier is lost in float32.
Checked  tests/ops/test_calibration.py: scikit-learn, and a loop over the images.
"""

from typing import Any, Literal, NamedTuple

import numpy as np

BINS = 15


class Reliability(NamedTuple):
  """Confidence against accuracy. A bin without images has count 0 and NaN in the others."""

  count: np.ndarray  # [bins] int64
  confidence: np.ndarray  # [bins] mean probability of the predicted class
  accuracy: np.ndarray  # [bins] share of images predicted right


def reliability(
  logits: Any, labels: Any, *, bins: int = BINS, spacing: Literal["width", "mass"] = "width"
) -> Reliability:
  """Images binned by the probability of their predicted class.

  Args:
    logits: [N, K].
    labels: [N].
    bins: how many.
    spacing: "width": ((i - 1) / bins, i / bins]; "mass": as many images in each bin, or one more.

  Raises:
    ValueError: shapes or labels that do not fit, NaN, +inf, a row of only -inf. So do the others.
  """
  if bins < 1 or spacing not in ("width", "mass"):
    raise ValueError(f"{bins} bins of equal {spacing!r}; wanted one at least, of equal 'width' or 'mass'")
  log_p, labels = _log_probabilities(logits, labels)
  confidence = np.exp(log_p.max(axis=1))
  right = (log_p.argmax(axis=1) == labels).astype(np.float64)
  if spacing == "width":
    place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence, side="left")
  else:
    _, tied = np.unique(confidence, return_inverse=True)
    right = (np.bincount(tied, weights=right) / np.bincount(tied))[tied]
    place = np.empty(len(labels), np.int64)
    for i, rows in enumerate(np.array_split(np.argsort(confidence), bins)):
      place[rows] = i
  count = np.bincount(place, minlength=bins)
  with np.errstate(invalid="ignore"):
    mean = lambda values: np.bincount(place, weights=values, minlength=bins) / count
    return Reliability(count, mean(confidence), mean(right))


def expected_calibration_error(
  logits: Any, labels: Any, *, bins: int = BINS, spacing: Literal["width", "mass"] = "width"
) -> float:
  """Mean over images of |accuracy - confidence| of their bin: 0 where the two agree in every bin, at most 1."""
  binned = reliability(logits, labels, bins=bins, spacing=spacing)
  gaps = np.abs(binned.accuracy - binned.confidence)
  return float(np.sum(binned.count * np.where(binned.count > 0, gaps, 0.0)) / binned.count.sum())


def negative_log_likelihood(logits: Any, labels: Any) -> float:
  """Mean of -log p of the label, in nats."""
  log_p, labels = _log_probabilities(logits, labels)
  return float(-log_p[np.arange(len(labels)), labels].mean())


def brier(logits: Any, labels: Any) -> float:
  """Mean of the summed squares of p - [label], over all classes: 0 to 2 (libraries that have 0 to 1 halve it)."""
  log_p, labels = _log_probabilities(logits, labels)
  return float(((np.exp(log_p) - np.eye(log_p.shape[1])[labels]) ** 2).sum(axis=1).mean())


def _log_probabilities(logits: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
  """log softmax [N, K] float64, and labels [N]."""
  logits, labels = np.asarray(logits).astype(np.float64), np.asarray(labels)
  if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
    raise ValueError(
      f"logits are {list(logits.shape)} and labels {list(labels.shape)}; wanted [N, K] and [N], N over 0"
    )
  classes = logits.shape[1]
  if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= classes:
    raise ValueError(
      f"labels are {labels.dtype} from {labels.min()} to {labels.max()}; wanted integers below {classes}"
    )
  largest = logits.max(axis=1, keepdims=True)
  bad = int((~np.isfinite(largest)).sum())  # NaN and +inf come through the maximum, as does a row of only -inf
  if bad:
    raise ValueError(f"{bad} of {len(logits)} rows of logits hold NaN or +inf, or only -inf; the network diverged")
  shifted = logits - largest
  return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), labels
