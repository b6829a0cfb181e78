"""Text as tokens: characters or bytes of one file, in windows of a fixed length.

A token is the place of its character among the sorted characters of the whole file, or the byte itself. Every window of
a batch begins at a uniform place of the training part, drawn from (seed, step) alone.

Shapes   B batch, L length of a window, V vocabulary. "tokens" [B, L] int32 in 0..V-1. Facts: vocabulary (V), length
         (L), train_split, name, describe.
Checked  tests/data/test_tokens.py
"""

import functools
import hashlib
import os
from typing import Literal, NamedTuple

import numpy as np

from genjax.core import Dataset, Split
from genjax.data.epochs import RawBatch, share_of
from genjax.data.splits import parse_split, with_held_out_tenth

_STREAM = 0x746F6B65  # "toke": keeps the random words of windows apart from those of other data under the same seed
_RULE = "\n" + 40 * "-" + "\n"  # between the examples that `show` writes
_BYTES = 256


class Text(NamedTuple):
  """A text as tokens. `alphabet` holds the character of every token; None: tokens are bytes."""

  tokens: np.ndarray  # [N], the smallest unsigned type that holds them
  alphabet: str | None
  name: str

  @property
  def vocabulary(self) -> int:
    return _BYTES if self.alphabet is None else len(self.alphabet)


def text(
  *,
  batch: int,
  path: str | None = None,
  unit: Literal["character", "byte"] = "character",
  length: int = 128,
  seed: int = 0,
  split: str = "train",
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """The tokens of a text file, "tokens" [B, L] int32.

  "train" is the first nine tenths of the text and "test" its last tenth; every other slice, such as "train[:100%]", is
  of the whole. A split's examples are its windows side by side. `show` gives the text of tokens.

  Args:
    batch: windows of a step, over all processes.
    path: of a UTF-8 file. None: the topics of Python's language reference, which every Python brings along (465,126
      characters, 103 of them different, in Python 3.11; other versions have other texts), in the order of their names.
    unit: a token is a "character" or a "byte" of the file.
    length: L, tokens of a window.
    seed: of the draws of windows; 0 or more.
    split: to train on.
    process, processes: which of equal shares of the batch is loaded here.

  Raises:
    ValueError, OSError: the text says what came, what was wanted and what to do.
  """
  share = share_of(batch, process=process, processes=processes)
  if length < 1 or seed < 0:
    raise ValueError(
      f"data.length={length} and seed={seed} were asked for; wanted a length of 1 and a seed of 0 or more"
    )
  whole = read_text(path, unit)
  part = functools.partial(_part, whole, length=length)
  train = part(with_held_out_tenth(split))

  def at(step: int) -> RawBatch:
    if step < 0:
      raise ValueError(f"step {step} is negative; the first step is 0")
    words = np.random.Philox(np.random.SeedSequence([seed, step, _STREAM])).random_raw(batch)
    starts = (words % np.uint64(len(train) - length + 1)).astype(np.int64)[process * share : (process + 1) * share]
    return {"tokens": train[starts[:, None] + np.arange(length)].astype(np.int32)}

  @functools.cache
  def split_of(name: str) -> Split:
    resolved = with_held_out_tenth(name)
    tokens = part(resolved)
    windows = tokens[: len(tokens) // length * length].reshape(-1, length).astype(np.int32)
    return Split(f"{whole.name}/{resolved}", _digest(whole.alphabet, windows), {"tokens": windows})

  facts = {
    "vocabulary": whole.vocabulary,
    "length": length,
    "train_split": with_held_out_tenth(split),
    "name": whole.name,
    "describe": f"{whole.name}: {len(train):,} {unit}s, {whole.vocabulary} tokens, windows of {length}",
  }
  return Dataset(at, facts=facts, split=split_of, show=functools.partial(decoded, alphabet=whole.alphabet))


def read_text(path: str | None, unit: str = "character") -> Text:
  """A text file, or the bundled text, as tokens. Raises ValueError, OSError."""
  if unit not in ("character", "byte"):
    raise ValueError(f'data.unit="{unit}" is unknown; wanted "character" or "byte"')
  content, name = (_topics(), "python_topics") if path is None else (_content(path), os.path.basename(path))
  if unit == "byte":
    return Text(np.frombuffer(content, np.uint8), None, name)
  try:
    codes = np.frombuffer(content.decode("utf-8-sig").encode("utf-32-le"), "<u4")
  except UnicodeDecodeError as error:
    raise ValueError(f'"{path}" is no UTF-8 text ({error}); convert it, or set data.unit=byte') from error
  known = np.flatnonzero(np.bincount(codes))
  place = np.zeros(known[-1] + 1, np.min_scalar_type(len(known)))
  place[known] = np.arange(len(known))
  return Text(place[codes], "".join(map(chr, known)), name)


def decoded(tokens: np.ndarray, *, alphabet: str | None) -> str:
  """The text of tokens [n, L], a rule between the examples; bytes that are no UTF-8 become question marks."""
  rows = np.atleast_2d(np.asarray(tokens))
  if alphabet is None:
    lines = [bytes(row.astype(np.uint8).tolist()).decode("utf-8", errors="replace") for row in rows]
  else:
    lines = ["".join(alphabet[token] for token in row) for row in rows]
  return _RULE.join(lines)


def _content(path: str) -> bytes:
  if os.path.isdir(path):
    raise IsADirectoryError(f'"{path}" is a folder; set data.path to a text file')
  try:
    with open(path, "rb") as file:
      content = file.read()
  except FileNotFoundError as error:
    raise FileNotFoundError(f'text file "{path}" does not exist; set data.path to one') from error
  if not content:
    raise ValueError(f'"{path}" is empty; set data.path to a text file')
  return content


def _topics() -> bytes:
  try:
    from pydoc_data.topics import topics
  except ImportError as error:
    raise FileNotFoundError("this Python comes without pydoc_data; set data.path to a text file") from error
  return "\n\n".join(topics[name] for name in sorted(topics)).encode()


def _part(whole: Text, split: str, *, length: int) -> np.ndarray:
  _, start, stop = parse_split(split, {"train": len(whole.tokens)})
  if stop - start < length:
    raise ValueError(f'{whole.name}: split "{split}" has {stop - start} tokens; wanted one window of {length} at least')
  return whole.tokens[start:stop]


def _digest(alphabet: str | None, windows: np.ndarray) -> str:
  """sha256 of the alphabet, the windows' shape and their tokens (little-endian on every machine)."""
  digest = hashlib.sha256(repr((alphabet, windows.shape)).encode())
  digest.update(np.ascontiguousarray(windows, "<i4").data)
  return digest.hexdigest()
