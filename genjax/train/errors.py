"""What can stop a run: one family, each with a one-line message for a person and an exit code for the shell.

Anything else that leaves the training code is a bug, and keeps its traceback. What a disk refuses is said in the
operating system's words, with what to do about it.

Checked  tests/train/test_errors.py, test_checkpoint.py, test_checkpoint_damage.py
"""

import contextlib
import errno
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from signal import Signals
from typing import Any

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EPERM, errno.EACCES, errno.EROFS}
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}
_LONG = 160  # letters of somebody else's message that still read as one line


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


class NoWorkdir(StorageError):
  """The workdir cannot be made; it is raised before anything is compiled."""

  exit_code = 2


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


@contextlib.contextmanager
def storage_errors(path: Any) -> Iterator[None]:
  """Raises an OSError of the block as a StorageError, one line that names the path."""
  try:
    yield
  except RunError:
    raise
  except OSError as error:
    raise StorageError(f"cannot write {path}: {error.strerror or error}; {advice(error, path)}") from error


def reason(error: BaseException) -> str:
  """One line, the plain words of the operating system where the error has them."""
  number, words = _of_the_system(error)
  if words:
    return f"{errno.errorcode.get(number, number)}: {words}" if number else words
  status = re.match(r"[A-Z_]{4,}(?=:)", str(error))  # TensorStore: DATA_LOSS, NOT_FOUND, OUT_OF_RANGE
  if status:
    return status[0]
  lines = str(error).split(" See full TensorStore details")[0].strip().splitlines() or [type(error).__name__]
  return lines[0][:_LONG]


def advice(error: BaseException, path: Any) -> str:
  """What to do about it: to make room only where the disk is full."""
  number, _ = _of_the_system(error)
  if number in _FULL:
    return f"make room ({_free(path)}), or choose another --workdir"
  if number in _FORBIDDEN:
    return "it may not be written: change its owner or its rights, or choose another --workdir"
  if number in _GONE:
    return "a folder of this path is missing or a file: was it moved or deleted? Or choose another --workdir"
  return "choose another --workdir"


def _of_the_system(error: BaseException) -> tuple[int | None, str]:
  """Number and words of the operating system's error behind an error; None and "" where there is none."""
  seen: BaseException | None = error
  while seen is not None:
    if isinstance(seen, OSError) and seen.errno:
      return seen.errno, str(seen.strerror)
    quoted = re.search(r"\[OS error (\d+): (?:E[A-Z0-9]+ )?([^\]]+)\]", str(seen))  # TensorStore quotes the kernel so
    if quoted:
      return int(quoted[1]), quoted[2]
    seen = seen.__cause__ or seen.__context__
  return None, ""


def _free(path: Any) -> str:
  """Room on the disk of a path, or of the nearest folder above it that exists."""
  for folder in (Path(str(path)), *Path(str(path)).parents):
    with contextlib.suppress(OSError):
      return f"{shutil.disk_usage(folder).free / 2**20:.0f} MiB free"
  return "free space unknown"
