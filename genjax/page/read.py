"""What a workdir holds, as far as it can be read: what is missing or damaged is a note, never an error.

Reading writes nothing, and may be done beside a live run, whose files come and go meanwhile.

Checked  tests/page/test_page.py
"""

import json
import os
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from etils import epath

from genjax.registry import UsageError
from genjax.train.errors import reason
from genjax.train.files import read_metrics

SIGNS = ("config.json", "metrics.jsonl", "summary.json", "checkpoints")  # one of them makes a folder a workdir
MOST_STEPS = 2**53  # greater whole numbers are no steps, and JavaScript does not know them apart
_DEEPEST = 30  # sections in sections of a file
_LIVE_S = 120.0  # a run touches its run.lock every ten seconds
_SAMPLE = re.compile(r"step_(\d{1,16})\.(png|txt)")


class Sample(NamedTuple):
  """A file of samples/."""

  step: int
  path: epath.Path
  bytes: int


class Run(NamedTuple):
  """A workdir. What it has not is empty; `notes` say what could not be read."""

  folder: str  # as the command line names it
  name: str  # short, and another one than those of the other runs
  config: dict[str, Any]
  continued: list[dict[str, Any]]  # entries of continued.json
  rows: list[dict[str, Any]]  # of metrics.jsonl
  summary: dict[str, Any]
  samples: list[Sample]
  figure: epath.Path | None
  checkpoints: list[int]  # steps
  has_best: bool
  live: bool  # a run is writing here
  notes: list[str]


def read(folder: str, name: str) -> Run:
  """The run of a workdir, local or gs://.

  Raises:
    UsageError: the folder does not exist, or is no workdir.
  """
  path, notes = epath.Path(folder), []
  _check(path, folder)
  config = _json(path / "config.json", dict, notes)
  continued = _json(path / "continued.json", list, notes)
  summary = _json(path / "summary.json", dict, notes)
  figure = path / "figure.png"
  return Run(
    folder,
    name,
    {key: value for key, value in config.items() if key != "layout"},
    [entry for entry in continued if isinstance(entry, dict)],
    _rows(path / "metrics.jsonl", notes),
    summary,
    _samples(path / "samples", notes),
    figure if _try(figure.is_file, False) else None,
    sorted(int(step) for step in _names(path / "checkpoints") if step.isdecimal() and len(step) < 17),
    bool(_names(path / "best")),
    _try(lambda: time.time() - (path / "run.lock").stat().mtime < _LIVE_S, False),
    notes,
  )


def names(folders: Sequence[str]) -> list[str]:
  """The shortest ends of paths that tell the folders apart."""
  parts = [[part for part in folder.replace("\\", "/").split("/") if part not in ("", ".")] for folder in folders]
  for length in range(1, max(map(len, parts), default=1) + 1):
    short = ["/".join(path[-length:]) or folder for path, folder in zip(parts, folders, strict=True)]
    if len({*short}) == len(short):
      return short
  return list(folders)


def _check(path: epath.Path, folder: str) -> None:
  inside = _names(path)
  if not _try(path.is_dir, False):
    raise UsageError(f"{folder} is {'a file' if _try(path.exists, False) else 'not there'}; give a workdir of a run")
  if not {*SIGNS} & {*inside}:
    runs = [name for name in inside if {*SIGNS} & {*_names(path / name)}]
    hint = f"; runs in it: {', '.join(os.path.join(folder, run) for run in runs[:5])}" if runs else ""
    raise UsageError(f"{folder} is no workdir: it has none of {', '.join(SIGNS)}{hint}")


def _try(call: Callable[[], Any], otherwise: Any) -> Any:
  """What a call on a file gives, or `otherwise` where the file is not there or cannot be read."""
  try:
    return call()
  except (OSError, ValueError):  # a name with a NUL is a ValueError
    return otherwise


def _names(folder: epath.Path) -> list[str]:
  return _try(lambda: sorted(path.name for path in folder.iterdir()), [])


def _json(path: epath.Path, kind: type, notes: list[str]) -> Any:
  """The dict or list of a file, an empty one where it is missing or damaged."""
  try:
    value = json.loads(path.read_bytes())
  except FileNotFoundError:
    return kind()
  except OSError as error:
    notes.append(f"{path.name} cannot be read: {reason(error)}")
    return kind()
  except (ValueError, RecursionError):
    value = None
  if not isinstance(value, kind) or not _is_shallow(value):
    notes.append(f"{path.name} is damaged and left out")
    return kind()
  return value


def _is_shallow(value: Any) -> bool:
  """Whether nothing in a JSON value lies deeper than any file of genjax has it."""
  level = [value]
  for _ in range(_DEEPEST):
    level = [inner for one in level if isinstance(one, dict | list) for inner in _inside(one)]
  return not level


def _inside(value: dict[str, Any] | list[Any]) -> list[Any]:
  return list(value.values()) if isinstance(value, dict) else value


def _rows(path: epath.Path, notes: list[str]) -> list[dict[str, Any]]:
  try:
    rows = read_metrics(path)
    lines = sum(1 for line in path.read_bytes().split(b"\n") if line.strip())
  except FileNotFoundError:
    notes.append("there is no metrics.jsonl: nothing was logged yet")
    return []
  except OSError as error:
    notes.append(f"metrics.jsonl cannot be read: {reason(error)}")
    return []
  sound = [row for row in rows if 0 <= row["step"] < MOST_STEPS]
  if len(sound) < lines:
    notes.append(f"{lines - len(sound)} of {lines} lines of metrics.jsonl are damaged and left out")
  return sound


def _samples(folder: epath.Path, notes: list[str]) -> list[Sample]:
  """The files of samples/ by step."""
  files = []
  for name in _names(folder):
    match = _SAMPLE.fullmatch(name)
    if match and int(match[1]) < MOST_STEPS:
      size = _try(lambda path=folder / name: path.stat().length, None)
      if size is None:
        notes.append(f"samples/{name} cannot be read")
      else:
        files.append(Sample(int(match[1]), folder / name, size))
  return sorted(files)
