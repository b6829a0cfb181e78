"""What a run leaves to read: metrics.jsonl, TensorBoard events, sample grids, curves, and a line on the terminal.

metrics.jsonl has one JSON object a line: "step", then float values by name. What depends on the clock is inside
"clock", so that all else is the same in a run that was stopped and resumed. A log opened at step s drops later lines.

Shapes   n images: [n, H, W, C] float in [-1, 1] or uint8, C 1 or 3 (a fourth channel is dropped).
Checked  tests/train/test_log.py
"""

import contextlib
import errno
import io
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from etils import epath
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from genjax.train.errors import StorageError
from genjax.train.points import are_points, scatter
from genjax.train.tensorboard import Events, open_events

_READABLE = 64  # pixels: smaller images are enlarged by a whole number up to about this
_GAP = 2  # pixels between the images of a grid
_PLAIN_EVERY_S = 2.0
CLOCK = "clock"  # the part of a line that differs between two equal runs


def read_metrics(path: str | os.PathLike) -> list[dict[str, Any]]:
  """All complete lines of a metrics.jsonl, in order; a last line cut short by a killed run is left out.

  Raises:
    ValueError: if a line before the last is not JSON.
  """
  lines = epath.Path(path).read_text().splitlines()
  rows = []
  for number, line in enumerate(lines, start=1):
    try:
      row = json.loads(line)
      rows.append({"step": int(row["step"]), **row})
    except (ValueError, KeyError, TypeError) as error:
      if number < len(lines):
        raise ValueError(f"line {number} of {path} is not a JSON object with a step: {line[:80]!r}") from error
  return rows


def read_json(path: str | os.PathLike) -> Any:
  """The value in a file that `write_json` wrote, or None if there is no such file."""
  path = epath.Path(path)
  return json.loads(path.read_text()) if path.exists() else None


def write_json(path: str | os.PathLike, value: Any) -> None:
  """Writes a file that a reader sees whole or not at all. Raises StorageError if it cannot."""
  _write_whole(epath.Path(path), (json.dumps(value, indent=2, default=_plain) + "\n").encode())


def grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
  """Lays images out in rows, tiny ones enlarged by repeating pixels.

  Args:
    images: [n, H, W, C] float in [-1, 1] or uint8; n >= 1.
    columns: of the grid; by default as near to a square as n images allow.

  Images of one pixel and two channels are points in the plane, and are drawn as such.

  Returns:
    uint8 [rows * (H' + 2) + 2, columns * (W' + 2) + 2, C], H' and W' a whole multiple of H and W.
  """
  images = np.asarray(images)
  if are_points(images.shape):
    return scatter(images)
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


def curves(workdir: str | os.PathLike) -> epath.Path | None:
  """Draws every scalar of metrics.jsonl over the steps into curves.png; None if there is nothing to draw."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and needed once a run
  from matplotlib.figure import Figure

  workdir = epath.Path(workdir)
  lines = _series(read_metrics(workdir / "metrics.jsonl")) if (workdir / "metrics.jsonl").exists() else {}
  if not lines:
    return None
  columns = min(3, len(lines))
  rows = math.ceil(len(lines) / columns)
  figure = Figure(figsize=(4.5 * columns, 2.8 * rows), layout="constrained")
  FigureCanvasAgg(figure)
  axes = figure.subplots(rows, columns, squeeze=False).ravel()
  for axis, (name, (steps, values)) in zip(axes, lines.items(), strict=False):
    axis.plot(steps, values, marker="." if len(steps) < 30 else None, linewidth=1)
    axis.set_title(name, fontsize=9)
    axis.set_xlabel("step", fontsize=8)
    axis.grid(alpha=0.3)
  for axis in axes[len(lines) :]:
    axis.set_visible(False)
  path = workdir / "curves.png"
  content = io.BytesIO()
  figure.savefig(content, format="png", dpi=100)
  _write_whole(path, content.getvalue())
  return path


class Log:
  """The writer of one run; on every process but the first all methods do nothing.

  Args:
    workdir: local path or gs://; made if missing.
    step: finished steps; later lines of an earlier attempt are dropped.
    total: steps of the whole run, for the bar.
    quiet: nothing on the terminal.

  Raises:
    StorageError: from any method, if the workdir cannot be written.
  """

  def __init__(self, workdir: str | os.PathLike, *, step: int = 0, total: int = 0, quiet: bool = False):
    self._writes = jax.process_index() == 0
    self.workdir = epath.Path(workdir)
    self._path = self.workdir / "metrics.jsonl"
    self._rows: list[dict[str, Any]] = []
    self._file = self._events = self._progress = None
    if self._writes:
      self._rows = self._kept_rows(step)
      self._file = self._rewritten()
      self._events = self._event_file(step)
      self._progress = None if quiet else _progress(step, total)

  def scalars(self, step: int, values: Mapping[str, float], clock: Mapping[str, float] | None = None) -> None:
    """Appends a line; `clock` holds what depends on the machine. A value that is not finite becomes null."""
    if not self._writes:
      return
    row: dict[str, Any] = {"step": step, **{name: _finite(value) for name, value in values.items()}}
    if clock:
      row[CLOCK] = {name: _finite(value) for name, value in clock.items()}
    self._rows.append(row)
    with _told(self._path):
      if self._file is not None:
        _append(self._file, _text([row]).encode())
    self._tell_tensorboard(step, {**values, **{f"{CLOCK}/{name}": value for name, value in (clock or {}).items()}})

  def images(self, step: int, images: np.ndarray) -> None:
    """Writes samples/step_{step:08d}.png and the same grid to TensorBoard."""
    if not self._writes:
      return
    pixels = grid(images)
    save_png(self.sample_path(step), pixels)
    if self._events is not None:
      with _told(self.workdir / "tensorboard"):
        self._events.image(step, "samples", pixels)

  def sample_path(self, step: int) -> epath.Path:
    """Where the grid of this step is, or will be."""
    return self.workdir / "samples" / f"step_{step:08d}.png"

  def has(self, step: int, prefix: str) -> bool:
    """Whether a line of this step has a value whose name starts so."""
    return any(row["step"] == step and any(name.startswith(prefix) for name in row) for row in self._rows)

  def lowest(self, name: str) -> int | None:
    """The step whose value of this name is the lowest, of equals the earliest; None if no line has one."""
    values = [(row[name], row["step"]) for row in self._rows if row.get(name) is not None]
    return min(values)[1] if values else None

  def progress(self, step: int, values: Mapping[str, float], rate: float | None) -> None:
    """Moves the bar; without a terminal prints a line, at most one every two seconds."""
    if self._progress is not None:
      self._progress.show(step, values, rate)

  def tick(self, step: int) -> None:
    """Moves a bar between two lines of metrics."""
    if isinstance(self._progress, _Terminal):
      self._progress.tick(step)

  def say(self, text: str) -> None:
    """One line on the terminal, above the bar."""
    if self._progress is not None:
      self._progress.say(text)

  def flush(self) -> None:
    """What was logged is on disk after this; called before a checkpoint, which must not be ahead of the log."""
    if not self._writes:
      return
    with _told(self._path):
      if self._file is not None:
        os.fsync(self._file.fileno())
      else:
        self._path.write_text(_text(self._rows))
      if self._events is not None:
        self._events.flush()

  def close(self) -> None:
    """Flushes and lets go of files and terminal; safe to call twice."""
    if self._progress is not None:
      self._progress.close()
      self._progress = None
    if self._writes:
      try:
        self.flush()
      finally:
        self._writes = False
        with _told(self.workdir):
          if self._file is not None:
            self._file.close()
          if self._events is not None:
            self._events.close()

  def _kept_rows(self, step: int) -> list[dict[str, Any]]:
    with _told(self.workdir):
      (self.workdir / "samples").mkdir(parents=True, exist_ok=True)
      rows = read_metrics(self._path) if self._path.exists() else []
    return [row for row in rows if row["step"] <= step]

  def _rewritten(self) -> Any:
    """The file with only the kept lines, open to append; None where files cannot grow (gs://)."""
    _write_whole(self._path, _text(self._rows).encode())
    if not _is_local(self._path):
      return None
    with _told(self._path):
      return open(self._path, "ab", buffering=0)  # open until close(); a killed run has lost nothing that was logged

  def _event_file(self, step: int) -> Events | None:
    if not _is_local(self.workdir):
      return None
    with _told(self.workdir):
      return open_events(self.workdir / "tensorboard", step)

  def _tell_tensorboard(self, step: int, values: Mapping[str, float]) -> None:
    if self._events is not None:
      with _told(self.workdir / "tensorboard"):
        for name, value in values.items():
          if math.isfinite(value):
            self._events.scalar(step, name, float(value))


def save_png(path: str | os.PathLike, pixels: np.ndarray) -> None:
  """Writes [H, W, 1 or 3] uint8, whole or not at all. Raises StorageError if it cannot."""
  content = io.BytesIO()
  Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(content, format="PNG")
  _write_whole(epath.Path(path), content.getvalue())


@contextlib.contextmanager
def _told(path: Any) -> Iterator[None]:
  """Turns an OSError into one line that names the path."""
  try:
    yield
  except StorageError:
    raise
  except OSError as error:
    raise StorageError(
      f"cannot write {path}: {error.strerror or error}; make room, or choose another --workdir"
    ) from error


class _Terminal:
  """A bar that stays at the bottom of a terminal."""

  def __init__(self, console: Console, step: int, total: int):
    columns: tuple[ProgressColumn, ...] = (
      TextColumn("step"),
      MofNCompleteColumn(),
      BarColumn(bar_width=None),
      TextColumn("{task.fields[rate]}"),
      TimeRemainingColumn(),
      TextColumn("{task.fields[values]}"),
    )
    self._bar = Progress(*columns, console=console, transient=False)
    self._task = self._bar.add_task("step", total=total, completed=step, rate="compiling", values="")
    self._bar.start()

  def show(self, step: int, values: Mapping[str, float], rate: float | None) -> None:
    self._bar.update(self._task, completed=step, rate=_rate(rate), values=_brief(values))

  def tick(self, step: int) -> None:
    self._bar.update(self._task, completed=step)

  def say(self, text: str) -> None:
    self._bar.console.print(Text(text))

  def close(self) -> None:
    self._bar.stop()


class _Plain:
  """Lines for a file or a pipe."""

  def __init__(self, total: int):
    self._total = total
    self._next = 0.0
    self._held: str | None = None

  def show(self, step: int, values: Mapping[str, float], rate: float | None) -> None:
    left = f", {_duration((self._total - step) / rate)} left" if rate and step < self._total else ""
    self._held = f"step {step}/{self._total}  {_rate(rate)}{left}  {_brief(values)}"
    if time.monotonic() >= self._next:
      self._print()

  def say(self, text: str) -> None:
    self._print()
    print(text, flush=True)

  def close(self) -> None:
    self._print()

  def _print(self) -> None:
    if self._held is not None:
      print(self._held, flush=True)
      self._held, self._next = None, time.monotonic() + _PLAIN_EVERY_S


def _progress(step: int, total: int) -> _Terminal | _Plain:
  console = Console(file=sys.stdout)
  return _Terminal(console, step, total) if console.is_terminal else _Plain(total)


def _rate(rate: float | None) -> str:
  return f"{rate:.3g} steps/s" if rate else "- steps/s"


def _brief(values: Mapping[str, float]) -> str:
  return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def _duration(seconds: float) -> str:
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02d}:{seconds:02d}"


def _series(rows: list[dict[str, Any]]) -> dict[str, tuple[list[int], list[float]]]:
  found: dict[str, tuple[list[int], list[float]]] = {}
  for row in rows:
    for name, value in row.items():
      if name != "step" and isinstance(value, int | float):
        steps, values = found.setdefault(name, ([], []))
        steps.append(row["step"])
        values.append(value)
  return found


def _to_uint8(images: np.ndarray) -> np.ndarray:
  # round((x + 1) * 127.5): the inverse of x / 127.5 - 1
  return np.rint((np.clip(np.nan_to_num(images.astype(np.float32)), -1, 1) + 1) * 127.5).astype(np.uint8)


def _finite(value: Any) -> float | None:
  number = float(value)
  return number if math.isfinite(number) else None


def _plain(value: Any) -> Any:
  if isinstance(value, np.ndarray | np.generic | jax.Array):
    return np.asarray(value).tolist()
  raise TypeError(f"{type(value).__name__} has no place in a JSON file; use plain dicts, lists, numbers and strings")


def _text(rows: list[dict[str, Any]]) -> str:
  return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)


def _append(file: Any, content: bytes) -> None:
  if file.write(content) < len(content):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_local(path: epath.Path) -> bool:
  return "://" not in str(path)


def _write_whole(path: epath.Path, content: bytes) -> None:
  partial = path.parent / f".{path.name}.partial"
  with _told(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(content)
    partial.replace(path)
