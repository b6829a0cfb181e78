"""The pictures of a page: as they lie in the workdir while they fit, else fewer of them, then smaller ones.

Checked  tests/page/test_pictures.py
"""

import base64
import io
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath
from PIL import Image

from genjax.page.read import Sample

PAGE_BYTES = 11 * 2**20  # of the pictures of a page; base64 makes a third more of them
MOST_SHOWN = 300  # grids of a run
_LEAST_SHOWN = 12  # grids of a run, before they are made smaller
_MOST_TEXT = 20_000  # letters of one text
_MOST_SIDE = 2_048  # pixels


class Frame(NamedTuple):
  """Samples of one step: `uri` of a picture, or `text`."""

  step: int
  uri: str | None
  text: str | None
  size: tuple[int, int] | None  # width, height
  share: float  # of the picture's sides, or of the text, that is shown


class Frames(NamedTuple):
  """Those of a run that a page shows, out of `of` in the workdir; `broken` ones are no pictures, or were gone."""

  frames: list[Frame]
  of: int
  broken: int


def evenly(n: int, count: int) -> list[int]:
  """`count` of the indices 0 to n - 1, the first and the last among them."""
  return sorted({*np.linspace(0, n - 1, min(n, count)).round().astype(int).tolist()}) if n else []


def frames(samples: Sequence[Sample], budget: int) -> Frames:
  """The samples of a run in at most `budget` bytes.

  All, where they fit. Else an even choice of them with the first and the last, down to twelve; then pictures are made
  smaller, each the same share of the budget.
  """
  count = min(len(samples), MOST_SHOWN)
  while count > _LEAST_SHOWN and sum(_cost(samples[i]) for i in evenly(len(samples), count)) > budget:
    count -= 1
  chosen = [samples[i] for i in evenly(len(samples), count)]
  fits = sum(map(_cost, chosen)) <= budget
  each = budget if fits else budget // max(1, len(chosen))
  read = [_frame(sample, each) for sample in chosen]
  return Frames([frame for frame in read if frame is not None], len(samples), read.count(None))


def _cost(sample: Sample) -> int:
  return min(sample.bytes, 4 * _MOST_TEXT) if sample.path.suffix == ".txt" else sample.bytes


def _frame(sample: Sample, most: int) -> Frame | None:
  """None for a file that cannot be shown."""
  if sample.path.suffix == ".png":
    picture = picture_of(sample.path, most)
    return None if picture is None else Frame(sample.step, picture.uri, None, picture.size, picture.scale)
  try:
    text = sample.path.read_bytes().decode("utf-8", "replace")
  except OSError:
    return None
  length = min(_MOST_TEXT, most)
  return Frame(sample.step, None, text[:length], None, min(1.0, length / max(1, len(text))))


class Picture(NamedTuple):
  """A PNG as a data URI."""

  uri: str
  size: tuple[int, int]  # width, height
  scale: float  # of its sides, against those in the file


def picture_of(path: epath.Path, most: int) -> Picture | None:
  try:
    return fitted(path.read_bytes(), most)
  except OSError:
    return None


def fitted(content: bytes, most: int) -> Picture | None:
  """A PNG of at most `most` bytes: the file itself if it is one, else a smaller copy. None for what is no picture."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("error", Image.DecompressionBombWarning)
      with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        image.verify()
      size = image.size
      if len(content) <= most and max(size) <= _MOST_SIDE:
        return Picture(_uri(content), size, 1.0)
      with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        whole = image.convert("L" if image.mode in ("1", "L", "I", "I;16", "F") else "RGB")
  except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
    return None  # PIL raises each of them for some damaged file
  return _smaller(whole, most)


def _smaller(image: Image.Image, most: int) -> Picture:
  """A copy whose sides are the same part of the picture's, by averages of pixels."""
  scale = min(1.0, _MOST_SIDE / max(image.size))
  while True:
    size = tuple(max(1, round(side * scale)) for side in image.size)
    content = png(np.asarray(image.resize(size, Image.Resampling.BOX)))
    if len(content) <= most or max(size) == 1:
      return Picture(_uri(content), size, scale)
    scale *= 0.75


def png(pixels: np.ndarray) -> bytes:
  """A picture [H, W] or [H, W, 1 or 3] uint8 as PNG."""
  content = io.BytesIO()
  Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels).save(content, format="PNG")
  return content.getvalue()


def _uri(content: bytes) -> str:
  return "data:image/png;base64," + base64.b64encode(content).decode()


def share_of(runs: Sequence[Any]) -> int:
  """Bytes of pictures that each run may have on the page."""
  return PAGE_BYTES // max(1, len(runs))
