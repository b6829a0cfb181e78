"""What can stop a run: one family, each with a one-line message for a person and an exit code for the shell.

Anything else that leaves the training code is a bug, and keeps its traceback.
"""

from signal import Signals


class RunError(Exception):
  """A run stopped for a reason a person can act on; `str(error)` is one line, `exit_code` is for the shell."""

  exit_code = 1


class BadSetting(RunError, ValueError):
  """A setting that cannot work; it is raised before anything is compiled."""

  exit_code = 2


class CheckpointMismatch(RunError, ValueError):
  """The checkpoint is sound, but of another model than the one that was asked for."""

  exit_code = 2


class StorageError(RunError, OSError):
  """The workdir cannot be written: full disk, missing permission, a file in the way."""


class WorkdirInUse(RunError, OSError):
  """Another run is writing in the workdir."""

  exit_code = 2


class Diverged(RunError, FloatingPointError):
  """A loss or a parameter became NaN or infinite.

  Attributes: step (finished steps), metric (its name, or None), leaf (path of the first non-finite leaf, or None).
  """

  def __init__(self, message: str, *, step: int, metric: str | None, leaf: str | None):
    super().__init__(message)
    self.step, self.metric, self.leaf = step, metric, leaf


class Interrupted(RunError):
  """A signal asked the run to stop; it finished its call and saved. Attributes: step, signal (number)."""

  def __init__(self, message: str, *, step: int, signal: int):
    super().__init__(message)
    self.step, self.signal = step, signal

  @property
  def exit_code(self) -> int:
    """130 for Ctrl-C, 143 for SIGTERM, as a shell has it."""
    return 128 + self.signal

  @property
  def signal_name(self) -> str:
    """SIGINT, SIGTERM."""
    return Signals(self.signal).name
