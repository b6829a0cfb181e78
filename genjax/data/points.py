"""Points in the plane, as images of one pixel and two channels: two mixtures of Gaussians, and points as a picture.

Shapes   raw: "image" [B, 1, 1, 2] uint8, "label" [B] int32, the number of the mode. Prepared: "image" float32, x and y
         in [-1, 1]. Facts: those of images, and centres [K, 2] and deviation of the modes, in [-1, 1].
Checked  tests/data/test_points.py
"""

import numpy as np

from genjax.core import Dataset
from genjax.data.epochs import Share
from genjax.data.image_dataset import image_dataset
from genjax.data.mixtures import CENTRES, DEVIATION, mixture

SIDE = 256  # of the picture, in pixels
_HALF = 1  # pixels round a point


def ring(*, batch: int, seed: int = 0, split: str = "train", process: int = 0, processes: int = 1) -> Dataset:
  """8 Gaussians on a circle: 100,000 points to train on, 10,000 to test. Arguments as in data/images.py."""
  return _points("ring", Share(batch, seed, process, processes), split)


def grid(*, batch: int, seed: int = 0, split: str = "train", process: int = 0, processes: int = 1) -> Dataset:
  """25 Gaussians on a square grid: 100,000 points to train on, 10,000 to test. Arguments as in data/images.py."""
  return _points("grid", Share(batch, seed, process, processes), split)


def _points(name: str, share: Share, split: str) -> Dataset:
  return image_dataset(
    lambda split: mixture(name, split=split),
    share,
    split=split,
    show=scatter,
    facts={
      "centres": CENTRES[name],
      "deviation": DEVIATION,
      "describe": f"{name}: points of {len(CENTRES[name])} Gaussians in the plane",
    },
  )


def scatter(points: np.ndarray, columns: int | None = None) -> np.ndarray:
  """Points as a picture, each a square of 3 pixels, darker the more of them lie there; x to the right, y upwards.

  Args:
    points: [n, 1, 1, 2] floats in [-1, 1], or uint8.
    columns: of a grid of pictures; points lie in one picture, whatever it is.

  Returns:
    [SIDE, SIDE, 1] uint8; points outside [-1, 1] lie on the edge.
  """
  del columns
  points = np.asarray(points)
  if points.ndim != 4 or points.shape[1:] != (1, 1, 2):
    raise ValueError(f"points have shape {points.shape}; wanted [n, 1, 1, 2]")
  places = np.nan_to_num(points.astype(np.float64)).reshape(-1, 2)
  if points.dtype == np.uint8:
    places = places / 127.5 - 1
  places = np.clip(np.round((places + 1) / 2 * (SIDE - 1)), 0, SIDE - 1).astype(int)
  counts = np.zeros((SIDE + 2 * _HALF, SIDE + 2 * _HALF))
  for down in range(2 * _HALF + 1):
    for right in range(2 * _HALF + 1):
      np.add.at(counts, (SIDE - 1 - places[:, 1] + down, places[:, 0] + right), 1)
  shown = counts[_HALF:-_HALF, _HALF:-_HALF, None]
  return np.round(255 * 0.5 ** np.minimum(shown, 8)).astype(np.uint8)
