"""What a disk refuses, in the operating system's words, and what to do about it.

Checked  tests/train/test_storage.py, tests/train/test_checkpoint.py
"""

import contextlib
import errno
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genjax.train.errors import RunError, StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EPERM, errno.EACCES, errno.EROFS}
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}
_LONG = 160  # letters of somebody else's message that still read as one line


def is_local(path: Any) -> bool:
  """Whether a path is of this machine's own file system: there a file can grow, in a bucket (gs://) it cannot."""
  return "://" not in str(path)


@contextlib.contextmanager
def storage_errors(path: Any) -> Iterator[None]:
  """Raises an OSError of the block as a StorageError, one line that names the path."""
  try:
    yield
  except RunError:
    raise
  except OSError as error:
    raise StorageError(f"cannot write {path}: {error.strerror or error}; {advice(error, path)}") from error


def probe(folder: Any) -> None:
  """Makes and removes a folder in a local folder. Raises OSError where that is refused."""
  Path(tempfile.mkdtemp(prefix=".probe-", dir=str(folder))).rmdir()


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
