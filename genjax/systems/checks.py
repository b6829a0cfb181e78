"""What systems ask of their settings and of a batch; each error says what came and what to use.

Checked  tests/systems/test_optimizers.py, and the tests of every system that refuses something.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

LIMIT, STANDARDISED = 2.0, 16.0  # of values around [-1, 1], of values of mean 0 and deviation 1; pixels go up to 255
_LOOKED_AT = 8  # images of a batch, for their values


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


def check_images(images: Any, shape: tuple[int, int, int], multiple: int, of: str) -> None:
  """Raises ValueError unless images [B, H, W, C] have this `shape` and are floats, and `of` divides B.

  Where values are at hand, that is outside of jit, also for images as they are stored, in [0, 255].

  Args:
    images: of a batch, traced or not.
    shape: H, W, C.
    multiple: that B is a multiple of.
    of: the setting that it is, for the message.
  """
  if tuple(images.shape[1:]) != tuple(shape):
    raise ValueError(f"images are {tuple(images.shape[1:])}, the system was built for {tuple(shape)}")
  count = images.shape[0]
  if count % multiple:
    raise ValueError(f"batch {count} is not a multiple of {of} {multiple}; use a multiple of it (config.data.batch)")
  check_pixels(images)


def check_pixels(images: Any, name: str = "images", limit: float = LIMIT) -> None:
  """Raises ValueError unless images [B, ..., H, W, C] are floats; also where values at hand show them in [0, 255].

  Points, which have one pixel, may lie anywhere. Traced arrays and those of several hosts are asked for their type
  alone.
  """
  scaled = "a system takes prepared ones, float32 in [-1, 1]: x / 127.5 - 1, or core.prepared(system, data.prepare)"
  if not jnp.issubdtype(images.dtype, jnp.floating):
    raise ValueError(f"{name} are {images.dtype}; {scaled}")
  if not at_hand(images) or images.shape[-3:-1] == (1, 1):
    return
  greatest = np.abs(np.asarray(images[:_LOOKED_AT], np.float32)).max(initial=0.0)
  if greatest > limit:
    raise ValueError(f"{name} have values up to {greatest:g}; {scaled}")


def at_hand(array: Any) -> bool:
  """Whether the values can be looked at: not while they are traced, nor where other hosts hold some of them."""
  return not isinstance(array, jax.core.Tracer) and getattr(array, "is_fully_addressable", True)


def check_critic(out: Any) -> None:
  """Raises ValueError unless a critic gave (logits [1], aux) for one image."""
  match out:
    case (logits, Mapping()) if getattr(logits, "shape", None) == (1,):
      return
  raise ValueError(
    f"the critic returns {spelled(out)} for one image; a critic returns (logits [B], aux): one number an image, and a "
    "dict of what else it says, {} for nothing"
  )


def spelled(out: Any) -> str:
  """What a net returned, by shapes."""
  if isinstance(out, tuple):
    return f"({', '.join(map(spelled, out))})"
  return f"an array {list(out.shape)}" if hasattr(out, "shape") else f"a {type(out).__name__}"
