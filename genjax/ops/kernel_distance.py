"""Kernel distance of two sets of features: the squared maximum mean discrepancy under a polynomial kernel.

Papers   KID  Binkowski et al. 2018, arXiv:1801.01401: k(x, y) = (x.y / d + 1)^3, the unbiased estimate of section 3,
         the mean over subsets; the estimate is Gretton et al. 2012, JMLR 13, equation 3.
Shapes   features [n, d] and [m, d], any real dtype.
Notes    x.y = x'.y' + x'.c + y'.c + c.c with x' = x - c for one centre c of all features: only x'.y' is a float32
         product, the rest is float64. Far from 0 (features near 1e3) a float32 x.y would lose the distance. c is a
         float32 vector, and x - c is exact where x is near c. All on the host: numpy computes half of a set with
         itself.
Checked  tests/ops/test_kernel_distance.py: a double loop in float64, and subsets as torch-fidelity draws them.
"""

from typing import NamedTuple

import numpy as np

_CONVERTED = 512  # rows of features that become float64 at once
_ROWS = 64  # of a kernel that are float64 at once: they stay in a core's cache


def kernel_distance(a: np.ndarray, b: np.ndarray, *, degree: int = 3) -> float:
  """The unbiased estimate of MMD^2 of sets of two at least; its mean is 0 for one distribution, so it may be below."""
  a, b = checked(a, b)
  centre = centre_of(a, b)
  return _distance(*(_centred(x, centre, _shifts(x, centre)) for x in (a, b)), degree)


def subset_distances(
  a: np.ndarray, b: np.ndarray, *, subsets: int = 100, size: int = 1000, degree: int = 3, seed: int = 2020
) -> np.ndarray:
  """The distances [subsets] of `size` rows of a to `size` rows of b, each drawn without repetition.

  Args:
    a, b: features, at least `size` of each.
    subsets, size, degree: of the estimate.
    seed: of the choice. It is numpy's RandomState(seed).choice, once of a and once of b for each subset: what
      torch-fidelity does (2020 is its seed), so that its number of the same features is this one.
  """
  a, b = checked(a, b)
  if not 2 <= size <= min(len(a), len(b)):
    raise ValueError(f"subsets of {size} of {len(a)} and {len(b)} features; use 2 to {min(len(a), len(b))}")
  random = np.random.RandomState(seed)
  centre, distances = centre_of(a, b), []
  whole = [(x, _shifts(x, centre)) for x in (a, b)]
  for _ in range(subsets):
    chosen = [random.choice(len(x), size, replace=False) for x, _ in whole]
    parts = (_centred(x[at], centre, shifts[at]) for (x, shifts), at in zip(whole, chosen, strict=True))
    distances.append(_distance(*parts, degree))
  return np.array(distances)


class Centred(NamedTuple):
  """x' = x - c as float32 [n, d]; x'.c [n] and c.c in float64."""

  rows: np.ndarray
  shifts: np.ndarray
  constant: float


def _centred(x: np.ndarray, centre: np.ndarray, shifts: np.ndarray) -> Centred:
  return Centred((x - centre).astype(np.float32), shifts, float(np.sum(centre.astype(np.float64) ** 2)))


def _shifts(x: np.ndarray, centre: np.ndarray) -> np.ndarray:
  """x'.c [n], a few rows in float64 at a time."""
  c = centre.astype(np.float64)
  blocks = range(0, len(x), _CONVERTED)
  return np.concatenate([x[i : i + _CONVERTED] @ c for i in blocks]) - c @ c


def centre_of(*sets: np.ndarray) -> np.ndarray:
  """The mean [d] of the sets' means, rounded to float32: a vector that is taken off every feature."""
  return np.mean([x.mean(axis=0, dtype=np.float64) for x in sets], axis=0).astype(np.float32)


def checked(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Two sets of features that can be compared. Raises ValueError."""
  a, b = np.asarray(a), np.asarray(b)
  if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
    raise ValueError(f"features have shapes {a.shape} and {b.shape}; wanted [n, d] and [m, d] of two at least")
  if not (np.isfinite(a).all() and np.isfinite(b).all()):
    raise ValueError("features hold NaN or Inf; look at the images they were computed from")
  return a, b


def _distance(a: Centred, b: Centred, degree: int) -> float:
  distance = -2.0 * _sum(a, b, degree)[0] / (len(a.rows) * len(b.rows))
  for one in (a, b):
    whole, diagonal = _sum(one, one, degree)
    distance += (whole - diagonal) / (len(one.rows) * (len(one.rows) - 1))
  return distance


def _sum(a: Centred, b: Centred, degree: int) -> tuple[float, float]:
  """The sum of the kernel over all pairs, and over the pairs (i, i); float64."""
  d = a.rows.shape[1]
  rows, columns = (a.shifts + a.constant) / d + 1.0, b.shifts / d
  products = a.rows @ b.rows.T  # of one array, half of the work
  total = 0.0
  for start in range(0, len(rows), _ROWS):
    part = slice(start, start + _ROWS)
    base = np.multiply(products[part], 1.0 / d, dtype=np.float64)
    base += rows[part, None]
    base += columns
    total += _powers(base, degree)
  diagonal = np.diagonal(products).astype(np.float64) / d + rows + columns if a is b else np.zeros(0)
  return total, _powers(diagonal, degree)


def _powers(base: np.ndarray, degree: int) -> float:
  """The sum of powers; numpy's own power takes many times as long."""
  power = base
  for _ in range(degree - 1):
    power = power * base
  return float(power.sum())
