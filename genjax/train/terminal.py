"""What a run shows while it goes: a bar on a terminal, plain lines in a file or a pipe.

Checked  tests/train/test_log.py
"""

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from genjax.train.errors import StorageError

_PLAIN_EVERY_S = 2.0  # at most one plain line of metrics in so many seconds
_SILENT_S = 60.0  # after so many seconds without a line, a plain one says that the run goes on


def say(text: str, *, to: TextIO | None = None) -> None:
  """Prints a line on standard output; where nobody can read it (a closed pipe, a full disk), nothing from then on."""
  stream = Forgiving(to or sys.stdout)
  stream.write(f"{text}\n")
  stream.flush()


def answer(text: str) -> None:
  """Prints what a command was asked for; a reader who has gone (`| head`) is no error. Raises StorageError."""
  try:
    print(text, flush=True)
  except BrokenPipeError:
    _mute(sys.stdout)
  except OSError as error:
    _mute(sys.stdout)
    raise StorageError(f"cannot write to standard output: {error.strerror or error}") from error


class Forgiving:
  """A stream of which no error comes: no run ends because of a line on a terminal."""

  def __init__(self, stream: TextIO | None):
    self._stream = stream

  def write(self, text: str) -> int:
    """Writes, or mutes the stream for good."""
    try:
      return self._stream.write(text) if self._stream else len(text)
    except (OSError, ValueError):
      _mute(self._stream)
      return len(text)

  def flush(self) -> None:
    """Flushes, or mutes the stream for good."""
    try:
      if self._stream:
        self._stream.flush()
    except (OSError, ValueError):
      _mute(self._stream)

  def isatty(self) -> bool:
    """Whether somebody sees it at once."""
    return bool(self._stream) and self._stream.isatty()

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)


def _mute(stream: TextIO) -> None:
  """Sends the rest of a stream nowhere, what it still holds at the end of the process too."""
  with contextlib.suppress(OSError, ValueError):
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Terminal:
  """A bar that stays at the bottom of a terminal, under the lines that are said."""

  def __init__(self, console: Console, step: int, total: int):
    columns: tuple[ProgressColumn, ...] = (
      TextColumn("step"),
      MofNCompleteColumn(),
      BarColumn(bar_width=None),
      TextColumn("{task.fields[speed]}"),
      TimeRemainingColumn(),
      TextColumn("{task.fields[values]}"),
    )
    self._bar = Progress(*columns, console=console, transient=False)
    self._task = self._bar.add_task("step", total=total, completed=step, speed="starting", values="")
    self._bar.start()

  def show(self, step: int, values: Mapping[str, float], steps_per_second: float | None) -> None:
    """Moves the bar to a step, with its metrics."""
    self._bar.update(self._task, completed=step, speed=_speed(steps_per_second), values=_brief(values))

  def tick(self, step: int, steps_per_second: float | None = None) -> None:
    """Moves the bar to a step, with its speed where that is known."""
    speed = {"speed": _speed(steps_per_second)} if steps_per_second else {}
    self._bar.update(self._task, completed=step, **speed)

  def say(self, text: str) -> None:
    """Prints a line above the bar."""
    self._bar.console.print(Text(text))

  def close(self) -> None:
    """Leaves the bar as it stands."""
    self._bar.stop()


class Plain:
  """Lines for a file or a pipe."""

  def __init__(self, total: int):
    self._total = total
    self._next = 0.0  # when the next line of metrics may be printed
    self._heard = time.monotonic()  # when the last line was printed
    self._held: str | None = None

  def show(self, step: int, values: Mapping[str, float], steps_per_second: float | None) -> None:
    """Prints a line of metrics; holds it back where the last one was printed a moment ago."""
    left = ""
    if steps_per_second and step < self._total:
      left = f", {_clock((self._total - step) / steps_per_second)} left"
    self._held = f"step {step}/{self._total}  {_speed(steps_per_second)}{left}  {_brief(values)}"
    if time.monotonic() >= self._next:
      self._print()

  def tick(self, step: int, steps_per_second: float | None = None) -> None:
    """Prints the step where nothing was printed for a minute."""
    del steps_per_second
    if time.monotonic() >= self._heard + _SILENT_S:
      self._held = self._held or f"step {step}/{self._total}"
      self._print()

  def say(self, text: str) -> None:
    """Prints a line."""
    self._print()
    say(text)
    self._heard = time.monotonic()

  def close(self) -> None:
    """Prints the line that was held back."""
    self._print()

  def _print(self) -> None:
    if self._held is not None:
      say(self._held)
      self._held, self._heard = None, time.monotonic()
      self._next = self._heard + _PLAIN_EVERY_S


def open_terminal(step: int, total: int) -> Terminal | Plain:
  """A bar where standard output is a terminal, else plain lines."""
  console = Console(file=Forgiving(sys.stdout))
  return Terminal(console, step, total) if console.is_terminal else Plain(total)


def _speed(steps_per_second: float | None) -> str:
  return f"{steps_per_second:.3g} steps/s" if steps_per_second else "- steps/s"


def _brief(values: Mapping[str, float]) -> str:
  return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def _clock(seconds: float) -> str:
  """1:02:03 for hours, minutes, seconds."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02d}:{seconds:02d}"
