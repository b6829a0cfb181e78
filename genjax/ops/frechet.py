"""Frechet distance between two Gaussians, and the streaming moments it is computed from.

Papers   Dowson and Landau 1982 (the formula); FID: Heusel et al. 2017, arXiv:1706.08500;
         merging moments: Chan, Golub and LeVeque 1983;
         infinitely many samples: Chong and Forsyth 2020, arXiv:1911.07023.
Departs  The trace term is a sum of singular values (see `frechet_distance`), no matrix root: nothing complex,
         no jitter.
         Chong and Forsyth draw samples by Sobol sequences as well; here they are drawn as always.
Shapes   n examples, d features. features [n, d]; mean [d]; covariance [d, d].
Notes    float64 numpy on the host, not jax: jax runs without x64 here, and float32 covariances lose small distances.
Checked  tests/ops/test_frechet.py: closed forms, scipy's sqrtm, rank-deficient covariances, data at offset 1e3.
"""

from typing import NamedTuple

import numpy as np

_SMALLEST_PIVOT = 1e-5  # of the largest, squared well above rounding: of a Cholesky factor that is trusted


class Moments(NamedTuple):
  """Count, mean [d] and centred sum of outer products m2 [d, d] of the features seen so far, in float64."""

  count: int
  mean: np.ndarray
  m2: np.ndarray

  @classmethod
  def empty(cls, dimension: int) -> "Moments":
    """The moments of no example."""
    return cls(0, np.zeros(dimension), np.zeros((dimension, dimension)))

  def update(self, features: np.ndarray, mask: np.ndarray | None = None) -> "Moments":
    """The moments with a batch added.

    Args:
      features: [n, d], any n, any real dtype; sums are float64.
      mask: [n] bool, True for rows that count; the others may hold anything, NaN included.

    Raises:
      ValueError: wrong shapes, or NaN or Inf in a row that counts.
    """
    features = np.asarray(features)
    if features.ndim != 2 or features.shape[1] != self.mean.shape[0]:
      raise ValueError(f"features have shape {features.shape}; these moments want [n, {self.mean.shape[0]}]")
    if mask is not None:
      mask = np.asarray(mask)
      if mask.shape != features.shape[:1] or mask.dtype != bool:
        raise ValueError(f"mask is {mask.dtype}{list(mask.shape)}; it must be bool[{features.shape[0]}], one per row")
      features = features[mask]
    count = features.shape[0]
    if count == 0:
      return self
    features = features.astype(np.float64)
    if not np.isfinite(features).all():
      rows = int((~np.isfinite(features)).any(axis=1).sum())
      raise ValueError(f"{rows} of {count} feature rows hold NaN or Inf; look at the images they were computed from")
    mean = features.mean(axis=0)
    centred = features - mean
    return self.merge(Moments(count, mean, centred.T @ centred))

  def merge(self, other: "Moments") -> "Moments":
    """The moments of both sets together, whatever their sizes."""
    if self.mean.shape != other.mean.shape:
      raise ValueError(f"moments of {self.mean.shape[0]} and of {other.mean.shape[0]} features do not merge")
    if self.count == 0 or other.count == 0:
      return self if other.count == 0 else other
    count = self.count + other.count
    shift = other.mean - self.mean
    mean = self.mean + shift * (other.count / count)
    between = np.outer(shift, shift) * (self.count * other.count / count)
    return Moments(count, mean, self.m2 + other.m2 + between)

  def covariance(self, ddof: int = 1) -> np.ndarray:
    """Covariance [d, d]: m2 / (count - ddof)."""
    if self.count <= ddof:
      raise ValueError(f"a covariance with ddof {ddof} of {self.count} examples; it takes at least {ddof + 1}")
    return self.m2 / (self.count - ddof)


def frechet_distance(
  mean_a: np.ndarray, covariance_a: np.ndarray, mean_b: np.ndarray, covariance_b: np.ndarray
) -> float:
  """|mean_a - mean_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2), the squared Wasserstein-2 distance of two Gaussians.

  The roots of the eigenvalues of A^1/2 B A^1/2 are the singular values of F^T G for any A = F F^T and B = G G^T. Taken
  so, an eigenvalue that is 0 stays 0 to 1e-16 and not 1e-8, and the arguments play the same part.

  Args:
    mean_a, mean_b: [d].
    covariance_a, covariance_b: [d, d], symmetric positive semi-definite, of any rank.

  Returns:
    The distance, never negative.

  Raises:
    ValueError: shapes that do not fit, NaN or Inf, or a matrix that is not a covariance.
  """
  mean_a, mean_b = np.asarray(mean_a, np.float64), np.asarray(mean_b, np.float64)
  covariance_a, covariance_b = np.asarray(covariance_a, np.float64), np.asarray(covariance_b, np.float64)
  dimension = mean_a.shape[0] if mean_a.ndim == 1 else -1
  wanted = ((dimension,), (dimension, dimension)) * 2
  came = (mean_a.shape, covariance_a.shape, mean_b.shape, covariance_b.shape)
  if came != wanted:
    raise ValueError(f"means and covariances have shapes {came}; they must be [d], [d, d], [d], [d, d] with one d")
  if not all(np.isfinite(x).all() for x in (mean_a, mean_b, covariance_a, covariance_b)):
    raise ValueError("a mean or covariance holds NaN or Inf; look at the features it was computed from")
  squared_shift = np.sum((mean_a - mean_b) ** 2)
  overlap = _overlap(_factor(covariance_a), _factor(covariance_b))
  return float(max(0.0, squared_shift + np.trace(covariance_a) + np.trace(covariance_b) - 2.0 * overlap))


def frechet_between(a: Moments, b: Moments) -> float:
  """Frechet distance of the Gaussians that two sets of features have, covariances with ddof 1."""
  if a.mean.shape != b.mean.shape:
    raise ValueError(f"moments of {a.mean.shape[0]} and of {b.mean.shape[0]} features have no distance")
  # As `frechet_distance`, with no more than two matrices beside the moments at a time.
  traces = [np.trace(one.m2) / (one.count - 1) for one in (a, b) if one.count > 1]
  factors = [_factor(one.covariance()) for one in (a, b)]
  return float(max(0.0, np.sum((a.mean - b.mean) ** 2) + sum(traces) - 2.0 * _overlap(*factors)))


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
  """tr (A^1/2 B A^1/2)^1/2 by factors of A and B."""
  return float(np.linalg.svd(a.T @ b, compute_uv=False).sum())


class Extrapolated(NamedTuple):
  """distance: at 1 / n = 0. sizes, distances: the points of the line [points]."""

  distance: float
  sizes: np.ndarray
  distances: np.ndarray


def frechet_at_infinity(
  features: np.ndarray, reference: Moments, *, points: int = 15, least: int | None = None, seed: int = 0
) -> Extrapolated:
  """The Frechet distance that infinitely many samples would have: the distances of n of them, a line in 1 / n.

  Args:
    features: [N, d] of samples.
    reference: moments of the real images; the bias by their own number stays.
    points: distances of the line, of n in equal steps from `least` to N, each of samples drawn anew from the N.
    least: None: a tenth of N, at least 2 d where N allows it; with fewer than d the distances lie on no line.
    seed: of the choice of samples.
  """
  features, d = np.asarray(features), np.shape(features)[-1]
  whole = len(features)
  least = max(whole // 10, min(2 * d, whole // 2), 2) if least is None else least
  if not 2 <= least < whole or points < 2:
    raise ValueError(f"{points} sizes from {least} to {whole} samples; use two sizes at least, from 2 to below {whole}")
  sizes = np.unique(np.linspace(least, whole, points).astype(int))
  rng = np.random.default_rng(seed)
  subsets = (features[rng.permutation(whole)[:size]] for size in sizes)
  distances = np.array([frechet_between(Moments.empty(d).update(rows), reference) for rows in subsets])
  slope, distance = np.polyfit(1 / sizes, distances, 1)
  del slope
  return Extrapolated(float(distance), sizes, distances)


def _factor(covariance: np.ndarray) -> np.ndarray:
  """F [d, rank] with F F^T = covariance; eigenvalues within rounding of 0 are clamped to 0 and dropped."""
  covariance = covariance + covariance.T
  covariance *= 0.5
  try:  # a tenth of the time, where no eigenvalue is near 0
    lower = np.linalg.cholesky(covariance)
    if lower.size and np.diagonal(lower).min() > _SMALLEST_PIVOT * np.diagonal(lower).max():
      return lower
  except np.linalg.LinAlgError:
    pass
  values, vectors = np.linalg.eigh(covariance)
  largest = max(float(np.abs(values).max(initial=0.0)), 0.0)
  rounding = values.size * np.finfo(np.float64).eps * largest
  # Wider than rounding: a float32 covariance is negative by 1e-7 of its largest eigenvalue without being wrong.
  if values.size and values[0] < -1e-5 * largest:
    raise ValueError(
      f"a covariance has the eigenvalue {values[0]:.3g} (largest {largest:.3g}); it must not be negative"
    )
  kept = values > rounding
  return vectors[:, kept] * np.sqrt(values[kept])
