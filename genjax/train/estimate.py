"""What a run says before its first long wait: on what it trains, how much, and how long that will take.

The first call is the one that is timed. A program of one step, compiled only to be timed, would double the time of
compiling. So while a first call of K steps runs, its seconds over K are a bound from below, and it is said again
whenever they have doubled.

Checked  tests/train/test_estimate.py, tests/train/test_loop.py
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from genjax.train.paths import named_leaves, parameter_count
from genjax.train.signals import reminders

_REMIND_S = 10.0  # seconds of a first call after which it is said what it takes at least
_SHORT_S = 1.0  # a first call this short is mostly the overhead of a first one, so an upper bound


def opening(mesh: Mesh, describe: str, batch: Mapping[str, np.ndarray], state: Any) -> str:
  """The first line of a run: devices, data, batch, parameters.

  Args:
    mesh: the devices.
    describe: the data in words; "": the batch's arrays stand for it.
    batch: this process's share of a step.
    state: arrays or shapes.
  """
  device = mesh.devices.flat[0]
  kind = device.platform if device.platform == "cpu" else device.device_kind
  devices = f"{mesh.size} {kind} device{'s' * (mesh.size > 1)}"
  if jax.process_count() > 1:
    devices += f" of {jax.process_count()} processes"
  shares = {name: np.asarray(value) for name, value in batch.items()}
  data = describe or ", ".join(f"{name} {value.dtype}{list(value.shape[1:])}" for name, value in shares.items())
  rows = len(next(iter(shares.values()))) * jax.process_count()
  parameters = parameter_count(state)
  size = f"{parameters:,} parameters"
  if not parameters:
    size = f"a state of {sum(leaf.size for leaf in named_leaves(state).values()):,} numbers"
  return f"{devices}; {data}, {rows:,} a step; {size}"


@contextmanager
def first_call(
  say: Callable[[str], None], *, start: int, steps: int, steps_per_call: int
) -> Iterator[Callable[[], float | None]]:
  """Times the first call of a run, and says how long the run will take.

  Args:
    say: prints a line.
    start: steps that are done already.
    steps: of the whole run.
    steps_per_call: steps in one compiled call.

  Yields:
    A function to call whenever a call is known to be done. The first time it gives steps a second, later None.
  """
  began, known = time.monotonic(), False
  remind = lambda seconds: say(at_least(seconds, start=start, steps=steps, steps_per_call=steps_per_call))
  with reminders(remind, _REMIND_S) as end:

    def done() -> float | None:
      nonlocal known
      if known:
        return None
      known = True
      end()
      seconds = time.monotonic() - began
      if start + steps_per_call < steps:
        say(about(seconds, start=start, steps=steps, steps_per_call=steps_per_call))
      return steps_per_call / seconds

    yield done


def about(seconds: float, *, start: int, steps: int, steps_per_call: int) -> str:
  """The line after the first call, which took so many seconds."""
  step = seconds / steps_per_call
  left = duration(step * (steps - start - steps_per_call))
  if seconds < _SHORT_S:
    return f"a step takes less than {brief(step)}: less than {left} of training to step {steps:,}"
  call = f"{steps_per_call} steps took {brief(seconds)}, " if steps_per_call > 1 else ""
  return f"{call}{brief(step)} a step, about {left} of training to step {steps:,}"


def at_least(seconds: float, *, start: int, steps: int, steps_per_call: int) -> str:
  """The line while the first call has run for so many seconds and is not done."""
  step = seconds / steps_per_call
  what = f"call, of {steps_per_call} steps," if steps_per_call > 1 else "step"
  return (
    f"the first {what} has run for {duration(seconds)}: more than {brief(step)} a step, "
    f"more than {duration(step * (steps - start))} of training to step {steps:,}"
  )


def brief(seconds: float) -> str:
  """Seconds of a step: 14 s, 0.32 s, 4.2 ms."""
  if seconds < 0.1:
    return f"{1e3 * seconds:.2g} ms"
  return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def duration(seconds: float) -> str:
  """Seconds of a run: 45 s, 43 min, 31 h, 4.5 days."""
  if seconds < 99.5:
    return f"{max(seconds, 1):.0f} s"
  if seconds < 99.5 * 60:
    return f"{seconds / 60:.0f} min"
  if seconds < 9.5 * 3600:
    return f"{seconds / 3600:.1f} h"
  if seconds < 48 * 3600:
    return f"{seconds / 3600:.0f} h"
  return f"{seconds / 86400:.1f} days"
