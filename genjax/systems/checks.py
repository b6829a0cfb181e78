"""What systems ask of their settings and of a batch; each error says what came and what to use.

Checked  tests/systems/test_optimizers.py, and the tests of every system that refuses something.
"""

from collections.abc import Mapping, Sequence


def check_counts(counts: Mapping[str, int], least: int = 1) -> None:
  """Raises ValueError for a count below `least`."""
  for name, count in counts.items():
    if count < least:
      raise ValueError(f"{name} {count}; use at least {least}")


def check_average(ema: float) -> None:
  """Raises ValueError unless `ema` is the decay of an average, in [0, 1); 0 stands for no average."""
  if not 0 <= ema < 1:
    raise ValueError(f"ema {ema} is not in [0, 1)")


def check_shares(shares: Mapping[str, float]) -> None:
  """Raises ValueError for a decay or another share outside [0, 1)."""
  for name, share in shares.items():
    if not 0 <= share < 1:
      raise ValueError(f"{name} {share}; use 0 or more and less than 1")


def check_words(words: Mapping[str, tuple[str, ...]]) -> None:
  """Raises ValueError for a word that is not among its choices; name -> (word, choice, choice, ...)."""
  for name, (word, *choices) in words.items():
    if word not in choices:
      raise ValueError(f"{name} {word!r}; use {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}")


def check_images(image: Sequence[int], shape: tuple[int, int, int], multiple: int, of: str) -> None:
  """Raises ValueError unless images [B, H, W, C] have this `shape` and B is a multiple of the setting named `of`."""
  if tuple(image[1:]) != tuple(shape):
    raise ValueError(f"images are {tuple(image[1:])}, the system was built for {tuple(shape)}")
  if image[0] % multiple:
    raise ValueError(f"batch {image[0]} is not a multiple of {of} {multiple}; use a multiple of it (config.data.batch)")
