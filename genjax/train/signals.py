"""What watches over a run from outside the devices: the clock, the signals that stop it, the watchdog that ends it.

Checked  tests/train/test_signals.py, test_loop_processes.py
"""

import faulthandler
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from genjax.train.terminal import say

_PATIENCE = 20  # compiling, sampling and evaluating may take so many times longer than a call before the watchdog bites


class Clock:
  """Seconds of training alone: evaluating, sampling, saving and compiling do not count."""

  def __init__(self, compile_s: float):
    self._extra = {"compile_s": compile_s}
    self._seconds, self._steps, self._counted = 0.0, 0, 0
    self._since = time.monotonic()

  def pause(self, step: int) -> None:
    """All steps up to `step` of this attempt are done."""
    self._seconds += time.monotonic() - self._since
    self._steps = step

  def take(self) -> dict[str, float]:
    """Steps a second since the last time, and the first time the seconds of compiling."""
    values = {"steps_per_second": (self._steps - self._counted) / max(self._seconds, 1e-9), **self._extra}
    self._seconds, self._counted, self._extra = 0.0, self._steps, {}
    return values

  def go_on(self) -> None:
    """Training starts again."""
    self._since = time.monotonic()


class Stop:
  """Which signal has asked to stop: 0 for none yet."""

  signal: int = 0


@contextmanager
def stop_signals() -> Iterator[Stop]:
  """SIGTERM and the first Ctrl-C are noted; the second Ctrl-C raises. Outside the main thread nothing is installed."""
  stop = Stop()
  if threading.current_thread() is not threading.main_thread():
    yield stop
    return

  def note(number, frame):
    if stop.signal and number == signal.SIGINT:
      raise KeyboardInterrupt
    stop.signal = number
    again = "; Ctrl-C again gives up at once" if number == signal.SIGINT else ""
    say(f"\n{signal.Signals(number).name}: finishing this call, then saving{again}", to=sys.stderr)

  before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
  try:
    yield stop
  finally:
    for number, handler in before.items():
      signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def reminders(remind: Callable[[float], None], first_s: float) -> Iterator[Callable[[], None]]:
  """Calls `remind(seconds)` in a thread while something takes long: after `first_s`, then at twice the time each.

  Gives a function that ends it; the end of the block does so as well.
  """
  over, began = threading.Event(), time.monotonic()

  def wait():
    due = first_s
    while not over.wait(began + due - time.monotonic()):
      remind(time.monotonic() - began)
      due *= 2

  thread = threading.Thread(target=wait, daemon=True)
  thread.start()

  def end():
    over.set()
    thread.join()

  try:
    yield end
  finally:
    end()


class Watchdog:
  """Prints all stacks and ends the process if nothing has armed it again in time."""

  def __init__(self, seconds: float | None):
    self._seconds = seconds

  def arm(self, *, patient: bool = False) -> None:
    """Starts the time anew; `patient` for what takes longer than a call."""
    if self._seconds is not None:
      limit = self._seconds * (_PATIENCE if patient else 1)
      faulthandler.dump_traceback_later(limit, exit=True, file=sys.__stderr__)

  def __enter__(self) -> "Watchdog":
    return self

  def __exit__(self, *_: Any) -> None:
    if self._seconds is not None:
      faulthandler.cancel_dump_traceback_later()
