"""Sliced Wasserstein distance of patches from the levels of a Laplacian pyramid: which scale of detail is off.

Papers   Karras et al. 2018 (progressive growing), arXiv:1710.10196, section 5: 7x7 patches, 128 an image and level,
         each channel normalised over the set, 4 x 128 random directions, the mean distance of the sorted projections,
         times 1e3; levels from 16 pixels up.
         The pyramid: Burt and Adelson 1983, filter (1 4 6 4 1) / 16, mirrored borders.
Departs  Images with a side below 16 have one level. A side that is odd ends the pyramid.
Shapes   images [N, H, W, C] uint8; patches [P, h, w, C]; as many images of both sets.
Checked  tests/ops/test_sliced.py: scipy's one-dimensional Wasserstein distance, a shift, a pyramid that adds up.
"""

import numpy as np

_FILTER = np.array([1, 4, 6, 4, 1]) / 16
SMALLEST = 16  # side of the last level
PATCH = 7
_TOGETHER = 32  # directions projected at once


def pyramid(images: np.ndarray) -> list[np.ndarray]:
  """Levels [N, H / 2^i, W / 2^i, C] float32, fine ones first: what the next level lacks, and last the rest."""
  rest, levels = np.asarray(images, np.float32), []
  while min(rest.shape[1:3]) >= 2 * SMALLEST and not (rest.shape[1] % 2 or rest.shape[2] % 2):
    coarse = _smooth(rest)[:, ::2, ::2]
    levels.append(rest - _larger(coarse))
    rest = coarse
  return [*levels, rest]


def patches(level: np.ndarray, rng: np.random.Generator, *, per_image: int = 128, side: int = PATCH) -> np.ndarray:
  """Patches [N per_image, side, side, C] at uniform places of a level; a level smaller than a patch is one itself."""
  n, height, width, _ = level.shape
  tall, broad = min(side, height), min(side, width)
  top = rng.integers(0, height - tall + 1, (n, per_image))[..., None, None]
  left = rng.integers(0, width - broad + 1, (n, per_image))[..., None, None]
  rows, columns = top + np.arange(tall)[:, None], left + np.arange(broad)
  return level[np.arange(n)[:, None, None, None], rows, columns].reshape(n * per_image, tall, broad, -1)


def normalised(descriptors: np.ndarray) -> np.ndarray:
  """Patches as rows [P, h w C], each channel with mean 0 and deviation 1 over all of them."""
  mean = descriptors.mean(axis=(0, 1, 2), dtype=np.float64)
  deviation = descriptors.std(axis=(0, 1, 2), dtype=np.float64)
  scaled = (descriptors - mean) / np.where(deviation > 0, deviation, 1.0)
  return scaled.reshape(len(descriptors), -1).astype(np.float32)


def sliced_distance(a: np.ndarray, b: np.ndarray, rng: np.random.Generator, *, directions: int = 512) -> float:
  """The mean over random unit directions of the one-dimensional Wasserstein-1 distance of rows [P, d], as many each."""
  if a.shape != b.shape:
    raise ValueError(f"rows of shapes {a.shape} and {b.shape}; wanted as many of both")
  drawn = rng.standard_normal((a.shape[1], directions)).astype(np.float32)
  drawn /= np.linalg.norm(drawn, axis=0)
  total = 0.0
  for start in range(0, directions, _TOGETHER):
    projected = [np.sort(x @ drawn[:, start : start + _TOGETHER], axis=0) for x in (a, b)]
    total += float(np.abs(projected[0] - projected[1]).mean(axis=0, dtype=np.float64).sum())
  return total / directions


def sliced_wasserstein(
  real: np.ndarray, generated: np.ndarray, *, per_image: int = 128, directions: int = 512, seed: int = 0
) -> dict[int, float]:
  """Distance times 1e3 of each level, by the height of its images."""
  real, generated = np.asarray(real), np.asarray(generated)
  if real.shape != generated.shape:
    raise ValueError(f"images of shapes {real.shape} and {generated.shape}; wanted as many of one size")
  rng = np.random.default_rng(seed)
  distances = {}
  for levels in zip(pyramid(real), pyramid(generated), strict=True):
    rows = [normalised(patches(level, rng, per_image=per_image)) for level in levels]
    distances[levels[0].shape[1]] = 1e3 * sliced_distance(*rows, rng, directions=directions)
  return distances


def _smooth(images: np.ndarray) -> np.ndarray:
  """The filter along both sides; the border pixel is not repeated in the mirror."""
  for axis in (1, 2):
    padding = [(2, 2) if i == axis else (0, 0) for i in range(4)]
    padded, length = np.pad(images, padding, mode="reflect"), images.shape[axis]
    images = sum(np.float32(weight) * padded.take(range(i, i + length), axis=axis) for i, weight in enumerate(_FILTER))
  return images


def _larger(images: np.ndarray) -> np.ndarray:
  n, height, width, channels = images.shape
  spread = np.zeros((n, 2 * height, 2 * width, channels), np.float32)
  spread[:, ::2, ::2] = 4 * images  # three of four are 0
  return _smooth(spread)
