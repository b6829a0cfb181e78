"""Points in the plane as a picture, where a set's images are one pixel of two channels.

Shapes   images [n, 1, 1, 2] float, x and y in [-1, 1] -> [SIDE, SIDE, 1] uint8, dark where points lie.
Checked  tests/train/test_points.py
"""

import numpy as np

SIDE = 256
_HALF = 1  # pixels round a point


def are_points(shape: tuple[int, ...]) -> bool:
  """Whether images of this shape [n, H, W, C] are points."""
  return tuple(shape[1:]) == (1, 1, 2)


def scatter(images: np.ndarray) -> np.ndarray:
  """Each point a square of 3 pixels, darker the more of them lie there; x to the right, y upwards."""
  points = np.asarray(images, np.float64).reshape(-1, 2)
  if images.dtype == np.uint8:
    points = points / 127.5 - 1
  place = np.clip(np.round((points + 1) / 2 * (SIDE - 1)), 0, SIDE - 1).astype(int)
  counts = np.zeros((SIDE + 2 * _HALF, SIDE + 2 * _HALF))
  for down in range(2 * _HALF + 1):
    for right in range(2 * _HALF + 1):
      np.add.at(counts, (SIDE - 1 - place[:, 1] + down, place[:, 0] + right), 1)
  shown = counts[_HALF:-_HALF, _HALF:-_HALF, None]
  return np.round(255 * 0.5 ** np.minimum(shown, 8)).astype(np.uint8)
