"""What a run leaves to read: metrics.jsonl, TensorBoard events, samples, and a line on the terminal.

metrics.jsonl has one JSON object a line: "step", then float values by name. What depends on the clock is inside
"clock", so that all else is the same in a run that was stopped and resumed. A log opened at step s drops later lines.

Checked  tests/train/test_log.py
"""

import errno
import json
import logging
import math
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

import jax
import numpy as np
from etils import epath

from genjax.train.errors import storage_errors
from genjax.train.files import is_local, read_json, read_metrics, save_png, write_json, write_whole
from genjax.train.tensorboard import Events, open_events
from genjax.train.terminal import open_terminal

_LOG = logging.getLogger("genjax")
CLOCK = "clock"  # the part of a line that differs between two equal runs


class Log:
  """The writer of one run; on every process but the first all methods do nothing.

  Args:
    workdir: local path or gs://; made if missing.
    step: finished steps; later lines of an earlier attempt are dropped.
    total: steps of the whole run, for the bar.
    quiet: nothing on the terminal.
    held: raises an error where the workdir is no longer this run's; called before every line.

  Raises:
    StorageError: from any method, if the workdir cannot be written.
  """

  def __init__(
    self,
    workdir: str | os.PathLike,
    *,
    step: int = 0,
    total: int = 0,
    quiet: bool = False,
    held: Callable[[], None] = lambda: None,
  ):
    self._held = held
    self._writes = jax.process_index() == 0
    self.workdir = epath.Path(workdir)
    self._path = self.workdir / "metrics.jsonl"
    self._part = self.workdir / "unfinished_call.json"
    self._rows: list[dict[str, Any]] = []
    self._file = self._events = self._terminal = None
    if self._writes:
      self._rows = self._kept_rows(step)
      self._file = self._rewritten()
      self._events = self._event_file(step)
      self._terminal = None if quiet else open_terminal(step, total)

  def scalars(self, step: int, values: Mapping[str, float], clock: Mapping[str, float] | None = None) -> None:
    """Appends a line; `clock` holds what depends on the machine. A value that is not finite becomes null."""
    if not self._writes:
      return
    self._held()
    row: dict[str, Any] = {"step": step, **{name: _finite(value) for name, value in values.items()}}
    if clock:
      row[CLOCK] = {name: _finite(value) for name, value in clock.items()}
    self._rows.append(row)
    with storage_errors(self._path):
      if self._file is not None:
        _append(self._file, _text([row]).encode())
    self._to_tensorboard(step, {**values, **{f"{CLOCK}/{name}": value for name, value in (clock or {}).items()}})

  def samples(self, step: int, shown: np.ndarray | str) -> None:
    """Writes what `Dataset.show` made of samples, and the same to TensorBoard.

    Args:
      step: names the file, samples/step_{step:08d}.
      shown: a picture [H, W, 1 or 3] uint8 becomes a .png, a text a .txt.
    """
    if not self._writes:
      return
    text = isinstance(shown, str)
    if text:
      write_whole(self._sample_path(step, "txt"), (shown.rstrip("\n") + "\n").encode())
    else:
      save_png(self._sample_path(step, "png"), shown)
    if self._events is not None:
      with storage_errors(self.workdir / "tensorboard"):
        (self._events.text if text else self._events.image)(step, "samples", shown)

  def has_samples(self, step: int) -> bool:
    """Whether the samples of this step are written."""
    return any(self._sample_path(step, ending).exists() for ending in ("png", "txt"))

  def has(self, step: int, prefix: str) -> bool:
    """Whether a line of this step has a value whose name starts so."""
    return any(row["step"] == step and any(name.startswith(prefix) for name in row) for row in self._rows)

  def best(self, name: str, better: Literal["lower", "higher"], among: Collection[int]) -> int | None:
    """Of these steps the one with the best value of this name, of equals the earliest; None if none has a value."""
    sign = -1 if better == "higher" else 1
    known = [row for row in self._rows if row["step"] in among and row.get(name) is not None]
    return min((sign * row[name], row["step"]) for row in known)[1] if known else None

  def keep_part(self, step: int, values: Mapping[str, np.ndarray]) -> None:
    """Keeps the values of a call that a signal has cut short, for the line that the rest of it will write."""
    if self._writes and (values or self._part.exists()):
      write_json(self._part, {"step": step, "values": values})

  def part(self, step: int) -> dict[str, np.ndarray]:
    """Those of the call that was cut short at this step, empty where it was not."""
    if not (self._writes and self._part.exists()):
      return {}
    try:
      kept = read_json(self._part)
      values = {name: np.asarray(values, np.float64) for name, values in kept["values"].items()}
      return values if kept["step"] == step else {}
    except (ValueError, KeyError, TypeError, AttributeError):
      _LOG.warning("%s is damaged: the next line of metrics is the mean of fewer steps", self._part)
      return {}

  def progress(self, step: int, values: Mapping[str, float], steps_per_second: float | None) -> None:
    """Moves the bar; without a terminal prints a line, at most one every two seconds."""
    if self._terminal is not None:
      self._terminal.show(step, values, steps_per_second)

  def tick(self, step: int, steps_per_second: float | None = None) -> None:
    """Moves the bar between two lines of metrics; without a terminal prints the step where a minute was silent."""
    if self._terminal is not None:
      self._terminal.tick(step, steps_per_second)

  def say(self, text: str) -> None:
    """One line on the terminal, above the bar."""
    if self._terminal is not None:
      self._terminal.say(text)

  def flush(self) -> None:
    """What was logged is on disk after this; called before a checkpoint, which must not be ahead of the log."""
    if not self._writes:
      return
    with storage_errors(self._path):
      if self._file is not None:
        os.fsync(self._file.fileno())
      else:
        self._path.write_text(_text(self._rows))
      if self._events is not None:
        self._events.flush()

  def close(self) -> None:
    """Flushes and lets go of files and terminal; safe to call twice."""
    if self._terminal is not None:
      self._terminal.close()
      self._terminal = None
    if self._writes:
      try:
        self.flush()
      finally:
        self._writes = False
        with storage_errors(self.workdir):
          if self._file is not None:
            self._file.close()
          if self._events is not None:
            self._events.close()

  def _sample_path(self, step: int, ending: str) -> epath.Path:
    return self.workdir / "samples" / f"step_{step:08d}.{ending}"

  def _kept_rows(self, step: int) -> list[dict[str, Any]]:
    with storage_errors(self.workdir):
      (self.workdir / "samples").mkdir(parents=True, exist_ok=True)
      rows = read_metrics(self._path) if self._path.exists() else []
    return [row for row in rows if row["step"] <= step]

  def _rewritten(self) -> Any:
    """The file with only the kept lines, open to append; None where files cannot grow (gs://)."""
    write_whole(self._path, _text(self._rows).encode())
    if not is_local(self._path):
      return None
    with storage_errors(self._path):
      return open(self._path, "ab", buffering=0)  # open until close(); a killed run has lost nothing that was logged

  def _event_file(self, step: int) -> Events | None:
    if not is_local(self.workdir):
      return None
    with storage_errors(self.workdir):
      return open_events(self.workdir / "tensorboard", step)

  def _to_tensorboard(self, step: int, values: Mapping[str, float]) -> None:
    if self._events is not None:
      with storage_errors(self.workdir / "tensorboard"):
        for name, value in values.items():
          if math.isfinite(value):
            self._events.scalar(step, name, float(value))


def _finite(value: Any) -> float | None:
  number = float(value)
  return number if math.isfinite(number) else None


def _text(rows: list[dict[str, Any]]) -> str:
  return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)


def _append(file: Any, content: bytes) -> None:
  if file.write(content) < len(content):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
