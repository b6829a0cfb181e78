"""Who reads a run's checkpoints changes nothing, whatever the run does meanwhile."""

import shutil
from pathlib import Path

import pytest
from etils import epath
from saved_states import assert_same_bits, data_files, state_of, target_of

from genjax.train.checkpoint import Checkpoints
from genjax.train.errors import StorageError


def listing(folder: Path) -> dict[str, tuple[int, int]]:
  """Every file and folder, with its size and the time of its last change."""
  stats = {path: path.stat() for path in (folder, *folder.rglob("*"))}
  return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def test_a_reader_changes_nothing_not_even_a_save_that_is_under_way_or_a_damaged_checkpoint(saved, caplog):
  _, folder = saved
  (folder / "3.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
  for file in data_files(folder / "2"):
    file.write_bytes(b"")
  before = listing(folder.parent)
  reader = Checkpoints(folder, keep=None)
  state, step = reader.restore(target_of(state_of(0)))
  with pytest.raises(StorageError, match=r"checkpoint of step 2 is damaged \("):
    reader.restore(target_of(state_of(0)), step=2)
  reader.close()
  assert step == 1
  assert_same_bits(state, state_of(1))
  assert listing(folder.parent) == before
  assert "moved" not in caplog.text
  assert "read only" not in caplog.text


def test_a_reader_looks_again_where_a_checkpoint_vanishes_while_orbax_lists_them(saved, monkeypatch):
  _, folder = saved
  passing, stat = folder / "7", type(epath.Path(folder)).stat
  shutil.copytree(folder / "1", passing)
  (passing / "_CHECKPOINT_METADATA").unlink()  # the first file to go

  def vanishes(path):
    if str(path) == str(passing):
      shutil.rmtree(passing, ignore_errors=True)
    return stat(path)

  monkeypatch.setattr(type(epath.Path(folder)), "stat", vanishes)
  reader = Checkpoints(folder, keep=None)
  assert not passing.exists()
  assert reader.steps() == [1, 2]
  reader.close()


def test_a_reader_takes_what_is_there_now_when_the_run_removes_a_checkpoint_meanwhile(saved):
  checkpoints, folder = saved
  reader = Checkpoints(folder, keep=None)
  checkpoints.save(3, state_of(3))
  checkpoints.wait()
  checkpoints.keep_only(3)
  assert reader.steps() == [1, 2]
  state, step = reader.restore(target_of(state_of(0)))
  reader.close()
  assert step == 3
  assert_same_bits(state, state_of(3))
