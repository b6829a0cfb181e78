"""Real images of a data set, as metrics ask for them: in memory, whole, and opened once.

Shapes   N images [N, H, W, C] uint8.
Checked  tests/metrics/test_real.py
"""

from collections.abc import Callable
from typing import Any

from genjax.core import Dataset, Split
from genjax.metrics.pixels import as_uint8, paired


def once(function: Callable[[Dataset], Any]) -> Callable[[Dataset], Any]:
  """`function` of a data set, worked out again only when it is asked about another data set than the last time.

  What belongs to a metric and its data (moments, extractors, thresholds) is made at the first measurement and kept in
  the closure of the metric. Data sets are compared by identity.
  """
  last: list[Any] = []

  def remembered(data: Dataset) -> Any:
    if not last or last[0] is not data:
      last[:] = data, function(data)
    return last[1]

  return remembered


def split_of(data: Dataset, split: str) -> Split:
  """A split of the data. Raises ValueError where there is none."""
  if data.split is None:
    raise ValueError(f"split {split!r}: this data set holds no examples in memory; leave the metric out")
  try:
    return data.split(split)
  except OSError as error:
    raise ValueError(f"split {split!r} cannot be read: {error}") from error


def real_images(data: Dataset, split: str) -> Split:
  """A split of whole images, "image" [N, H, W, C] uint8 among its examples.

  Raises:
    ValueError: no such split, no images, or images of another shape than the system sees (they are cropped for it).
  """
  real = split_of(data, split)
  if "image" not in real.examples:
    raise ValueError(f"{real.name} has {', '.join(real.examples) or 'nothing'}; wanted images, 'image' [N, H, W, C]")
  shape = as_uint8(real.examples["image"], name=f"images of {real.name}").shape[1:]
  seen = tuple(data.facts.get("shape", shape))
  if shape != seen:
    raise ValueError(
      f"images of {real.name} are {_size(shape)} and the system sees {_size(seen)}: metrics compare whole images; "
      "set crop=0 in the data, or leave the metric out"
    )
  return real


def train_and_held_out(data: Dataset, train_split: str, split: str) -> tuple[Split, Split]:
  """Training images and held-out ones of one shape, two at least of each. Raises ValueError; see `real_images`."""
  train, held_out = real_images(data, train_split), real_images(data, split)
  for real in (train, held_out):
    if len(real.examples["image"]) < 2:
      raise ValueError(f"{real.name} has 1 image; samples are compared with two at least")
  paired(held_out.examples["image"], train.examples["image"], name=f"images of {held_out.name}")
  return train, held_out


def name_of(data: Dataset, split: Split) -> str:
  """What the data set is called: its fact `name`, else what stands before the slash in the name of a split."""
  return str(data.facts.get("name") or split.name.partition("/")[0])


def _size(shape: tuple[int, ...]) -> str:
  return "x".join(map(str, shape))
