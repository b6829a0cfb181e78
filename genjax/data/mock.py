"""Images that stand in for a set that is not here: the right shape and labels, nothing to learn.

For `genjax bench`, and to see that a config starts before its data arrive.

Shapes   image [H, W, C] uint8, uniform in 0..255; labels 0 to 9.
Checked  tests/data/test_mock.py
"""

import numpy as np

from genjax.data.image_set import ImageSet, check_request, image_set
from genjax.data.splits import parse_split

COUNTS = {"train": 4096, "test": 1024}
CLASSES = 10


def mock(*, split: str = "train", size: int | None = None, channels: int | None = None) -> ImageSet:
  """Noise with labels, the same at every call.

  Args:
    split: "train" (4,096 images) or "test" (1,024), or a slice.
    size: of the side; None: 32.
    channels: 1 or 3; None: 3.
  """
  check_request(size, channels)
  size, channels = size or 32, channels or 3
  name, start, stop = parse_split(split, COUNTS)
  rng = np.random.default_rng([size, channels, list(COUNTS).index(name)])
  images = rng.integers(0, 256, (COUNTS[name], size, size, channels), np.uint8)
  labels = np.arange(COUNTS[name], dtype=np.int32) % CLASSES
  names = tuple(str(label) for label in range(CLASSES))
  return image_set(images[start:stop], labels[start:stop], name="mock", label_names=names)
