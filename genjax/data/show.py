"""Images side by side as one picture.

Shapes   n images: [n, H, W, C] float in [-1, 1] or uint8, C 1 or 3 (a fourth channel is dropped).
Checked  tests/data/test_show.py
"""

import math

import numpy as np

_READABLE = 64  # pixels: smaller images are enlarged by a whole number up to about this
_GAP = 2  # pixels between the images of a grid


def grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
  """Lays images out in rows, tiny ones enlarged by repeating pixels.

  Args:
    images: [n, H, W, C] float in [-1, 1] or uint8; n >= 1.
    columns: of the grid; by default as near to a square as n images allow.

  Returns:
    uint8 [rows * (H' + 2) + 2, columns * (W' + 2) + 2, C], H' and W' a whole multiple of H and W.
  """
  images = np.asarray(images)
  if images.ndim != 4 or not len(images) or images.shape[-1] not in (1, 3, 4):
    raise ValueError(f"images have shape {images.shape}; wanted [n, H, W, C] with n >= 1 and C of 1 or 3")
  pixels = images if images.dtype == np.uint8 else _to_uint8(images)
  scale = max(1, round(_READABLE / max(pixels.shape[1:3])))
  pixels = pixels[..., :3].repeat(scale, axis=1).repeat(scale, axis=2)
  n, height, width, channels = pixels.shape
  columns = columns or math.ceil(math.sqrt(n))
  rows = math.ceil(n / columns)
  canvas = np.full((rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, channels), 255, np.uint8)
  for i, image in enumerate(pixels):
    top, left = _GAP + i // columns * (height + _GAP), _GAP + i % columns * (width + _GAP)
    canvas[top : top + height, left : left + width] = image
  return canvas


def _to_uint8(images: np.ndarray) -> np.ndarray:
  # round((x + 1) * 127.5): the inverse of x / 127.5 - 1
  return np.rint((np.clip(np.nan_to_num(images.astype(np.float32)), -1, 1) + 1) * 127.5).astype(np.uint8)
