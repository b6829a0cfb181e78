"""Kernel distance of two sets of features: the squared maximum mean discrepancy under a polynomial kernel.

Papers   KID  Binkowski et al. 2018, arXiv:1801.01401: k(x, y) = (x.y / d + 1)^3, the unbiased estimate of section 3,
         the mean over subsets; the estimate is Gretton et al. 2012, JMLR 13, equation 3.
Shapes   features [n, d] and [m, d], any real dtype.
Notes    x.y = x'.y' + x'.c + y'.c + c.c with x' = x - c for one centre c of all features: only x'.y' is a float32
         product, on the device, and the rest float64 on the host. Far from 0 (features near 1e3) a float32 x.y would
         lose the distance. c is a float32 vector, and x - c is exact where x is near c.
Checked  tests/ops/test_kernel_distance.py: a double loop in float64, and subsets as torch-fidelity draws them.
"""

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import Array


def kernel_distance(a: np.ndarray, b: np.ndarray, *, degree: int = 3) -> float:
  """The unbiased estimate of MMD^2 of sets of two at least; its mean is 0 for one distribution, so it may be below."""
  a, b = _checked(a, b)
  centre = centre_of(a, b)
  within = [_without_diagonal(_kernel(x, x, centre, degree)) for x in (a, b)]
  return float(sum(within) - 2.0 * _kernel(a, b, centre, degree).mean())


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
  a, b = _checked(a, b)
  if not 2 <= size <= min(len(a), len(b)):
    raise ValueError(f"subsets of {size} of {len(a)} and {len(b)} features; use 2 to {min(len(a), len(b))}")
  random = np.random.RandomState(seed)
  rows = lambda x: x[random.choice(len(x), size, replace=False)]
  return np.array([kernel_distance(rows(a), rows(b), degree=degree) for _ in range(subsets)])


def centre_of(*sets: np.ndarray) -> np.ndarray:
  """The mean [d] of the sets' means, rounded to float32: a vector that is taken off every feature."""
  return np.mean([x.mean(axis=0, dtype=np.float64) for x in sets], axis=0).astype(np.float32)


def _checked(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  a, b = np.asarray(a), np.asarray(b)
  if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
    raise ValueError(f"features have shapes {a.shape} and {b.shape}; wanted [n, d] and [m, d], n and m at least 2")
  if not (np.isfinite(a).all() and np.isfinite(b).all()):
    raise ValueError("features hold NaN or Inf; look at the images they were computed from")
  return a, b


def _kernel(a: np.ndarray, b: np.ndarray, centre: np.ndarray, degree: int) -> np.ndarray:
  """[n, m] float64."""
  a, b, c = a - centre, b - centre, centre.astype(np.float64)
  products = np.asarray(_products(a.astype(np.float32), b.astype(np.float32))).astype(np.float64)
  products += (a @ c)[:, None] + ((b @ c) + c @ c)[None, :]
  base = products / a.shape[1] + 1.0
  kernel = base.copy()
  for _ in range(degree - 1):
    kernel *= base  # numpy's power is many times slower
  return kernel


def _without_diagonal(kernel: np.ndarray) -> float:
  n = len(kernel)
  return float(kernel.sum() - np.trace(kernel)) / (n * (n - 1))


@jax.jit
def _products(a: Array, b: Array) -> Array:
  return jnp.dot(a, b.T, precision=jax.lax.Precision.HIGHEST)
