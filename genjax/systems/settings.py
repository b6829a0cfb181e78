"""What systems ask of their settings and of a batch: each says what came, and what to use.

Checked  by the tests of every system that refuses something.
"""

from collections.abc import Mapping, Sequence


def check_counts(counts: Mapping[str, int], least: int = 1) -> None:
  """Raises ValueError for a count below `least`."""
  for name, count in counts.items():
    if count < least:
      raise ValueError(f"{name} {count}; use at least {least}")


def check_average(ema: float) -> None:
  """Raises ValueError unless `ema` decays an average: [0, 1), 0 for none."""
  if not 0 <= ema < 1:
    raise ValueError(f"ema {ema} is not in [0, 1)")


def check_words(words: Mapping[str, tuple[str, str, str]]) -> None:
  """Raises ValueError for a word that is none of the two that there are; name -> (word, one, other)."""
  for name, (word, *known) in words.items():
    if word not in known:
      raise ValueError(f"{name} {word!r}; use {known[0]!r} or {known[1]!r}")


def check_images(image: Sequence[int], shape: tuple[int, int, int], multiple: int, of: str) -> None:
  """Raises ValueError unless images [B, H, W, C] are those of `shape`, B a multiple of the setting `of`."""
  if tuple(image[1:]) != shape:
    raise ValueError(f"images are {tuple(image[1:])}, the system was built for {shape}")
  if image[0] % multiple:
    raise ValueError(f"batch {image[0]} is not a multiple of {of} {multiple}; use a multiple of it (config.data.batch)")
