"""The split syntax of TensorFlow Datasets, for sources that TFDS does not serve: "train", "test[:500]", "train[90%:]".

Departs  No "+" between splits, no even splits, no slice from a number to a percentage (TFDS reads two percents).
Checked  tests/data/test_splits.py: slices equal TFDS's own reading of the same text.
"""

import re
from collections.abc import Mapping

_SPLIT = re.compile(r"(?P<name>\w+)(\[(?P<start>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?")


def parse_split(split: str, counts: Mapping[str, int]) -> tuple[str, int, int]:
  """Read `split` against the number of examples of each split; gives (split name, first, past the last).

  Raises:
    ValueError: no such split, bad syntax, or an empty range.
  """
  match = _SPLIT.fullmatch(split.strip())
  if match is None:
    raise ValueError(f'split "{split}" is not understood; wanted e.g. "train", "train[:90%]" or "train[500:1000]"')
  edges = [edge for edge in (match["start"], match["stop"]) if edge is not None]
  if len({edge.endswith("%") for edge in edges}) > 1:
    raise ValueError(f'split "{split}" mixes examples and percents; use one of them')
  name = match["name"]
  if name not in counts:
    raise ValueError(f'split "{name}" does not exist; there is {" and ".join(counts)}, and slices like "train[90%:]"')
  count = counts[name]
  start = 0 if match["start"] is None else _position(match["start"], count)
  stop = count if match["stop"] is None else _position(match["stop"], count)
  if not 0 <= start < stop <= count:
    raise ValueError(f'split "{split}" is empty or reaches beyond the {count} examples of "{name}"')
  return name, start, stop


def with_held_out_tenth(split: str) -> str:
  """Of a source that has no test part: "train" is its first nine tenths, "test" the rest; others stay as they are."""
  return {"train": "train[:90%]", "test": "train[90%:]"}.get(split.strip(), split)


def _position(text: str, count: int) -> int:
  """Percents are rounded to the closest example; negative positions count from the end."""
  position = round(int(text[:-1]) * count / 100) if text.endswith("%") else int(text)
  return position + count if position < 0 else position
