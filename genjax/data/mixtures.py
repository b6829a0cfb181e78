"""Mixtures of Gaussians in the plane, as images of one pixel and two channels: does a generator find every mode?

    ring       8 modes on a circle
    grid       25 modes on a square grid

Papers   ring  Metz et al. 2017, arXiv:1611.02163, appendix; grid  Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761:
         25 modes, 2 apart, of deviation 0.05
Departs  Scaled into [-1, 1]: the ring's radius is 0.8 and the grid's spacing 0.4, and every mode has deviation 0.01, a
         fortieth of the spacing as in VEEGAN (Metz: a hundredth of the radius). Points are rounded to 8 bits like any
         image, which adds 0.0023 to the deviation in squares: 0.0103.
Shapes   image [1, 1, 2] uint8; label the number of the mode.
Checked  tests/data/test_mixtures.py
"""

import zlib

import numpy as np

from genjax.data.image_set import ImageSet, image_set
from genjax.data.splits import parse_split

COUNTS = {"train": 100_000, "test": 10_000}
DEVIATION = 0.01
_ANGLES = 2 * np.pi * np.arange(8) / 8
_SIDE = 0.4 * np.arange(-2, 3)
CENTRES = {  # [K, 2], in [-1, 1]
  "ring": 0.8 * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1),
  "grid": np.stack(np.meshgrid(_SIDE, _SIDE, indexing="ij"), axis=-1).reshape(-1, 2),
}


def mixture(name: str, *, split: str = "train", size: int | None = None, channels: int | None = None) -> ImageSet:
  """Points of a mixture, the same for ever.

  Args:
    name: "ring" or "grid".
    split: "train" or "test", or a slice of one.
    size, channels: 1 and 2, or None.
  """
  if size not in (None, 1) or channels not in (None, 2):
    raise ValueError(f"{name} has points of one pixel and two channels; leave data.size and data.channels unset")
  part, start, stop = parse_split(split, COUNTS)
  words = np.random.Philox(zlib.crc32(f"{name}/{part}".encode())).random_raw((3, COUNTS[part]))
  mode, radius, angle = (words >> np.uint64(11)) * 2.0**-53  # uniform in [0, 1)
  labels = (mode * len(CENTRES[name])).astype(np.int32)
  spread = DEVIATION * np.sqrt(-2 * np.log1p(-radius))  # Box and Muller
  noise = spread[:, None] * np.stack([np.cos(2 * np.pi * angle), np.sin(2 * np.pi * angle)], axis=1)
  pixels = np.round((CENTRES[name][labels] + noise + 1) * 127.5).astype(np.uint8)
  names = [f"mode {number}" for number in range(len(CENTRES[name]))]
  return image_set(pixels[start:stop, None, None], labels[start:stop], name=name, label_names=names)
