"""One run at a time writes in a workdir: run.lock names the host and the process that does.

The lock of a killed run is taken over. On the same machine that is one whose process is dead, or is another one of the
same number. Of another machine only a sign of life can be seen: a run touches its lock every ten seconds, and after
two minutes without it counts as dead. Several processes of one run have one lock, that of process 0.

Departs  gs://: an object store has neither files that only one can make nor one that can be touched, and a preempted
         slice must go on at once. So there is no lock there, and two runs in one bucket folder are not kept apart.
Checked  tests/train/test_lock.py, tests/train/test_loop_processes.py
"""

import contextlib
import json
import logging
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from genjax.train.errors import RunError, StorageError, WorkdirInUse, storage_errors
from genjax.train.files import is_local
from genjax.train.processes import first_says

_LOG = logging.getLogger("genjax")
_NAME = "run.lock"
_BEAT_S = 10.0  # between two signs of life
_STALE_S = 120.0  # without one, the lock of another machine is taken over
_LOOK_S = 1.0  # between two looks for one
_TRIES = 5  # takings that may each be beaten by another process


@contextlib.contextmanager
def locked(workdir: Any) -> Iterator[Callable[[], None]]:
  """Holds a workdir that exists.

  Yields:
    A function that raises StorageError if the workdir is gone, and WorkdirInUse if another run has taken it over.

  Raises:
    WorkdirInUse: another run is writing there; on all processes.
    StorageError: the lock cannot be written.
  """
  if not is_local(workdir):
    yield lambda: None
    return
  path, mine, error = Path(str(workdir)) / _NAME, "", None
  if jax.process_index() == 0:
    try:
      with storage_errors(path):
        mine = _taken(path)
    except RunError as caught:
      error = caught
  if not first_says(error is None):
    raise error or WorkdirInUse(f"process 0 could not lock {workdir}")
  if jax.process_index():
    yield lambda: None
    return
  with _beating(path):
    try:
      yield lambda: _check(path, mine)
    finally:
      with contextlib.suppress(OSError):
        if path.read_text() == mine:
          path.unlink()


def _taken(path: Path) -> str:
  """Makes the lock, if need be in the place of a dead one; returns what it holds."""
  mine = json.dumps({**_process(os.getpid()), "since": time.strftime("%Y-%m-%d %H:%M:%S"), "token": uuid.uuid4().hex})
  for _ in range(_TRIES):
    if _made(path, mine):
      return mine
    with contextlib.suppress(FileNotFoundError):  # its run has just ended
      theirs = path.read_text(errors="replace")
      holder = _holder(theirs)
      if _lives(holder, path):
        raise WorkdirInUse(
          f"another run is writing here: {path.parent} is locked by process {holder.get('process', '?')} on "
          f"{holder.get('host', 'an unknown host')} since {holder.get('since', '?')}; wait for it or stop it, or "
          f"choose another --workdir; if there is no such run, delete {path}"
        )
      _remove(path, theirs)
  raise WorkdirInUse(f"other runs are starting in {path.parent} at the same time; choose another --workdir")


def _made(path: Path, content: str) -> bool:
  """Whether this process is the one that made the file, with its content."""
  handle, scratch = tempfile.mkstemp(prefix=f".{_NAME}-", dir=path.parent)
  try:
    with os.fdopen(handle, "w") as file:
      file.write(content)
    try:
      os.link(scratch, path)
    except FileExistsError:
      return False
    except OSError:  # a file system without hard links
      with open(path, "x") as file:
        file.write(content)
    return True
  except FileExistsError:
    return False
  finally:
    os.unlink(scratch)


def _remove(path: Path, theirs: str) -> None:
  """Removes a dead lock; one that another process has made in the meantime is put back."""
  aside = path.with_name(f".{_NAME}-{uuid.uuid4().hex}")
  os.rename(path, aside)
  if aside.read_text(errors="replace") != theirs:
    with contextlib.suppress(OSError):
      os.link(aside, path)
  aside.unlink()


def _lives(holder: dict[str, Any], path: Path) -> bool:
  """Whether the run that holds a lock is alive."""
  here = _process(os.getpid())
  if (holder.get("host"), holder.get("machine")) == (here["host"], here["machine"]):
    return bool(holder.get("started")) and _process(int(holder.get("process", 0)))["started"] == holder["started"]
  seen = path.stat().st_mtime_ns
  with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{_NAME}-") as now:  # by the clock of the same disk
    age = (os.fstat(now.fileno()).st_mtime_ns - seen) / 1e9
  if age < _STALE_S:
    _LOG.warning(
      "%s is locked by a run on %s; looking up to %.0f s for a sign of life",
      path.parent,
      holder.get("host", "an unknown host"),
      _STALE_S - age,
    )
  deadline = time.monotonic() + _STALE_S - age
  while time.monotonic() < deadline:
    time.sleep(_LOOK_S)
    if path.stat().st_mtime_ns != seen:
      return True
  return False


def _holder(text: str) -> dict[str, Any]:
  try:
    holder = json.loads(text)
  except ValueError:
    return {}
  return holder if isinstance(holder, dict) else {}


def _process(number: int) -> dict[str, Any]:
  """What tells a process from all others: host, machine (as booted, and as the container sees it), number, start."""
  machine = ""
  with contextlib.suppress(OSError):
    machine = Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
  return {"host": socket.gethostname(), "machine": machine, "process": number, "started": _started(number)}


def _started(number: int) -> str:
  """When a living process started, in the kernel's clock; "" for a dead one. Without /proc: "alive" or ""."""
  if Path("/proc/self/stat").exists():
    try:
      state, *fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
      return ""
    return "" if state in "ZX" else fields[18]
  try:
    os.kill(number, 0)
  except PermissionError:
    return "alive"
  except OSError:
    return ""
  return "alive"


@contextlib.contextmanager
def _beating(path: Path) -> Iterator[None]:
  """Touches the lock from time to time."""
  over = threading.Event()

  def beat():
    while not over.wait(_BEAT_S):
      with contextlib.suppress(OSError):
        os.utime(path)

  thread = threading.Thread(target=beat, daemon=True, name="genjax_lock")
  thread.start()
  try:
    yield
  finally:
    over.set()
    thread.join()


def _check(path: Path, mine: str) -> None:
  try:
    theirs = path.read_text(errors="replace")
  except OSError as error:
    if not path.parent.is_dir():
      raise StorageError(f"the workdir {path.parent} is gone, was it moved or deleted? The run is stopped") from error
    with storage_errors(path):  # somebody removed it
      theirs = mine if _made(path, mine) else path.read_text(errors="replace")
  if theirs != mine:
    raise WorkdirInUse(f"another run has taken over {path.parent}, so this one is stopped: {theirs}")
