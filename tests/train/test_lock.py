"""A workdir has one writer; that of a dead one is taken over."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from genjax.train import lock
from genjax.train.errors import StorageError, WorkdirInUse


@pytest.fixture
def dead():
  """A process that was killed, and that nobody has waited for."""
  process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
  known = lock._process(process.pid)
  process.send_signal(signal.SIGKILL)
  os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
  yield known
  process.communicate()


def test_a_held_workdir_is_refused_with_the_process_that_holds_it_and_is_free_afterwards(tmp_path):
  with lock.locked(tmp_path) as held:
    held()
    words = f"another run is writing here: .* by process {os.getpid()} on "
    with pytest.raises(WorkdirInUse, match=words) as caught, lock.locked(tmp_path):
      pass
    assert caught.value.exit_code == 2
    held()
  assert list(tmp_path.iterdir()) == []
  with lock.locked(tmp_path):
    pass


def test_the_lock_of_a_killed_process_and_of_an_older_one_of_the_same_number_is_taken_over(tmp_path, dead):
  for holder in (dead, {**lock._process(os.getpid()), "started": "1"}):
    (tmp_path / "run.lock").write_text(json.dumps(holder))
    with lock.locked(tmp_path) as held:
      held()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ['{"host": "elsewhere", "process": 1}', "", "[1]"])
def test_of_another_machine_a_sign_of_life_is_waited_for(tmp_path, monkeypatch, content):
  monkeypatch.setattr(lock, "_STALE_S", 0.3)
  monkeypatch.setattr(lock, "_LOOK_S", 0.01)
  path = tmp_path / "run.lock"
  path.write_text(content)
  over = threading.Event()

  def live():
    while not over.wait(0.02):
      os.utime(path)

  thread = threading.Thread(target=live)
  thread.start()
  with pytest.raises(WorkdirInUse, match="another run is writing here"), lock.locked(tmp_path):
    pass
  over.set()
  thread.join()
  began = time.monotonic()
  with lock.locked(tmp_path):
    assert time.monotonic() - began > 0.2
  path.write_text(content)
  os.utime(path, (1, 1))
  monkeypatch.setattr(lock, "_STALE_S", 120.0)
  with lock.locked(tmp_path) as held:  # silent for years: at once
    held()


def test_a_run_whose_workdir_is_taken_over_or_gone_learns_of_it_and_a_removed_lock_is_made_again(tmp_path):
  workdir = tmp_path / "run"
  workdir.mkdir()
  with lock.locked(workdir) as held:
    (workdir / "run.lock").unlink()
    held()
    assert (workdir / "run.lock").exists()
    (workdir / "run.lock").write_text("another")
    with pytest.raises(WorkdirInUse, match="another run has taken over"):
      held()
    (workdir / "run.lock").unlink()
    workdir.rmdir()
    with pytest.raises(StorageError, match="is gone, was it moved or deleted"):
      held()


def test_a_bucket_has_no_lock():
  with lock.locked("gs://bucket/run") as held:
    held()
