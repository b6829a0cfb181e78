"""How many steps are done before the host looks at the signals again, by the measured seconds of a step.

Calls that take less than a second are queued one ahead. Longer ones are waited for one by one, and those of more than
ten seconds are done in parts, so that a signal waits for ten seconds or one step. The first step is a part of its own:
it is timed. All parts of a call are runs of one compiled program, so the state does not depend on the parts.

Checked  tests/train/test_pace.py, test_signals.py
"""

import time

from genjax.train.processes import greatest

_PART_S = 10.0  # seconds of a part
_AHEAD_S = 1.0  # calls of fewer seconds are queued ahead
_MICRO = 1e6


class Pace:
  """The seconds of a step, on which all processes agree, and what follows from them.

  Args:
    step: finished steps.
    steps_per_call: steps in one compiled call.
  """

  def __init__(self, step: int, steps_per_call: int):
    self._steps_per_call = steps_per_call
    self._step_s: float | None = None  # of the slowest process
    self._done, self._since = step, time.monotonic()

  @property
  def waits(self) -> bool:
    """Whether a part is waited for before the next one is queued."""
    return self._step_s is None or self._step_s * self._steps_per_call >= _AHEAD_S

  def until(self, at: int) -> int:
    """The end of the part of a call that starts after `at` of its steps."""
    if self._step_s is None:
      return at + 1
    if not self.waits:
      return self._steps_per_call
    return min(at + max(1, int(_PART_S / max(self._step_s, 1e-9))), self._steps_per_call)

  def done(self, step: int) -> None:
    """All steps up to `step` are done; called on all processes at the same steps."""
    seconds = time.monotonic() - self._since
    if step > self._done:
      micro = min(_MICRO * seconds / (step - self._done), 2**31 - 1)
      self._step_s = greatest(max(int(micro), 1)) / _MICRO
    self._done = step

  def go_on(self) -> None:
    """The next part is about to start."""
    self._since = time.monotonic()
