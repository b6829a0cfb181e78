"""What is restored is what was saved, or it is not used."""

import functools
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from etils import epath

from genjax.train import checkpoint
from genjax.train.checkpoint import Checkpoints
from genjax.train.errors import CheckpointMismatch, StorageError
from genjax.train.fingerprint import fingerprints
from genjax.train.mesh import DEFAULT_RULES, make_mesh, state_shardings, weights
from genjax.train.paths import named_leaves

GRID = 222  # as a number of devices: 8, 2 along each axis of the mesh
OVER_ALL_AXES = ((r"^weights/", functools.partial(weights, least=1, width=2)), *DEFAULT_RULES)


def state_of(seed: int, devices: int = 8):
  """A state with a leaf of every kind, incompressible data in the larger ones."""
  return maker(devices)(jax.random.key(seed))


@functools.cache
def maker(devices: int):
  def make(key):
    return {
      "pool": jax.random.normal(key, (16, 40, 3)),
      "weights": {
        "kernel": jax.random.normal(key, (60, 50)),
        "half": jax.random.normal(key, (7,)).astype(jnp.bfloat16),
      },
      "byte": jnp.arange(11, dtype=jnp.uint8),
      "truth": jnp.array([True, False, True]),
      "key": key,
      "keys": jax.random.split(key, 8),
      "nothing": jnp.zeros((0, 3)),
      "none": None,
      "step": jax.random.key_data(key)[1].astype(jnp.int32),
    }

  shapes = jax.eval_shape(make, jax.random.key(0))
  mesh = make_mesh(fsdp=2, model=2) if devices == GRID else make_mesh(jax.devices()[:devices])
  return jax.jit(make, out_shardings=state_shardings(mesh, shapes, OVER_ALL_AXES))


def target_of(state):
  return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state)


def raw(leaf):
  return np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)


def assert_same_bits(result, wanted):
  assert jax.tree.structure(result) == jax.tree.structure(wanted)
  for (name, a), b in zip(named_leaves(result).items(), jax.tree.leaves(wanted), strict=True):
    assert a.dtype == b.dtype, name
    assert raw(a).tobytes() == raw(b).tobytes(), name
    assert a.shape == b.shape, name


@pytest.fixture
def saved(tmp_path):
  """A folder with sound checkpoints of steps 1 and 2, and its manager."""
  checkpoints = Checkpoints(tmp_path / "checkpoints", keep=3)
  for step in (1, 2):
    checkpoints.save(step, state_of(step))
  checkpoints.wait()
  yield checkpoints, tmp_path / "checkpoints"
  checkpoints.close()


def data_files(folder: Path) -> list[Path]:
  """Files that hold array data, largest first."""
  return sorted((p for p in folder.rglob("d/*") if p.is_file()), key=lambda p: -p.stat().st_size)


def test_every_kind_of_leaf_comes_back_bit_for_bit(saved):
  checkpoints, _ = saved
  state, step = checkpoints.restore(target_of(state_of(0)))
  assert step == 2
  assert_same_bits(state, state_of(2))


def test_an_older_step_can_be_asked_for(saved):
  checkpoints, _ = saved
  state, step = checkpoints.restore(target_of(state_of(0)), step=1)
  assert step == 1
  assert_same_bits(state, state_of(1))
  with pytest.raises(StorageError, match=r"no checkpoint of step 7 .* there are \[1, 2\]"):
    checkpoints.restore(target_of(state_of(0)), step=7)


def test_an_empty_folder_restores_nothing(tmp_path):
  checkpoints = Checkpoints(tmp_path / "new", keep=1)
  assert checkpoints.restore(target_of(state_of(0))) is None
  assert checkpoints.steps() == []
  checkpoints.close()


@pytest.mark.parametrize(("writer", "reader"), [(8, 1), (1, 8), (8, 2), (GRID, 1), (2, GRID)])
def test_the_number_of_devices_and_their_grid_may_change(tmp_path, writer, reader):
  checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
  checkpoints.save(3, state_of(3, writer))
  checkpoints.wait()
  state, _ = checkpoints.restore(target_of(state_of(3, reader)))
  assert_same_bits(state, state_of(3))
  assert len(state["pool"].sharding.device_set) == min(reader, 8)
  kernel = {shard.data.shape for shard in state["weights"]["kernel"].addressable_shards}
  assert kernel == ({(30, 25)} if reader == GRID else {(60, 50)})
  checkpoints.close()


def test_a_restored_state_can_be_donated_and_a_saved_one_too(saved):
  checkpoints, _ = saved
  bump = jax.jit(
    lambda tree: jax.tree.map(
      lambda x: x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else ~x if x.dtype == bool else x + 1, tree
    ),
    donate_argnums=0,
  )
  copied = lambda tree: jax.tree.map(lambda leaf: raw(leaf).copy(), tree)
  state, _ = checkpoints.restore(target_of(state_of(0)))
  before = copied(state)
  after = bump(state)
  assert state["pool"].is_deleted()
  np.testing.assert_array_equal(after["pool"], before["pool"] + 1)
  np.testing.assert_array_equal(after["byte"], before["byte"] + 1)
  # All copies of a replicated leaf have changed once, so they share no memory.
  for shard in after["weights"]["kernel"].addressable_shards:
    np.testing.assert_array_equal(shard.data, before["weights"]["kernel"] + 1)

  kept = copied(after)
  checkpoints.save(3, after)
  bump(after)  # while it may still be written: what is written is what was there
  checkpoints.wait()
  result, step = checkpoints.restore(target_of(state_of(0)))
  assert step == 3
  jax.tree.map(np.testing.assert_array_equal, copied(result), kept)


def test_only_the_newest_are_kept(tmp_path):
  checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
  for step in (10, 20, 30):
    checkpoints.save(step, state_of(step))
  checkpoints.wait()
  assert checkpoints.steps() == [20, 30]
  checkpoints.close()


def test_flipped_bits_in_array_files_never_reach_the_run(saved, caplog):
  checkpoints, folder = saved
  noticed = 0
  rng = random.Random(0)
  sound = folder.parent / "sound"
  shutil.copytree(folder / "2", sound)
  for _ in range(60):  # about one flip in three lands where Orbax reads; the rest do no harm
    if noticed == 3:
      break
    file = rng.choice(data_files(folder / "2")[:4])
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(bytes(content))
    state, step = checkpoints.restore(target_of(state_of(0)))
    assert_same_bits(state, state_of(step))
    noticed += step == 1
    shutil.rmtree(folder / "2", ignore_errors=True)
    shutil.copytree(sound, folder / "2")
    checkpoints._manager.reload()
  assert noticed == 3
  assert len(list((folder.parent / "checkpoints_bad").iterdir())) == noticed


def largest(folder: Path) -> Path:
  return data_files(folder)[0]


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing", "emptied", "zeroed page"])
def test_a_damaged_checkpoint_is_reported_in_one_line_and_the_one_before_is_used(saved, damage, caplog, capfd):
  checkpoints, folder = saved
  for file in data_files(folder / "2"):
    content = file.read_bytes()
    if damage == "flipped":
      file.write_bytes(content[:-20] + bytes([content[-20] ^ 4]) + content[-19:])
    elif damage == "truncated":
      file.write_bytes(content[: len(content) // 2])
    elif damage == "missing":
      file.unlink()
    elif damage == "emptied":
      file.write_bytes(b"")
    else:
      file.write_bytes(content[:64] + bytes(min(len(content) - 64, 4096)) + content[64 + 4096 :])
  with caplog.at_level(logging.WARNING):
    state, step = checkpoints.restore(target_of(state_of(0)))
  assert step == 1
  assert_same_bits(state, state_of(1))
  (line,) = caplog.messages
  assert line.startswith("checkpoint of step 2 is damaged (")
  assert "checkpoints_bad/2" in line
  assert "\n" not in line
  assert "Traceback" not in capfd.readouterr().err
  assert (folder.parent / "checkpoints_bad" / "2").is_dir()
  assert checkpoints.steps() == [1]


def test_after_quarantine_the_same_step_can_be_saved_again_and_again(saved):
  checkpoints, folder = saved
  for name in ("2", "2_1"):
    largest(folder / "2").write_bytes(b"gone")
    shutil.rmtree(folder / "2" / "state" / "d", ignore_errors=True)
    assert checkpoints.restore(target_of(state_of(0)))[1] == 1
    assert (folder.parent / "checkpoints_bad" / name).is_dir()
    checkpoints.save(2, state_of(2))
    checkpoints.wait()
    assert checkpoints.steps() == [1, 2]
  assert_same_bits(checkpoints.restore(target_of(state_of(0)))[0], state_of(2))


def test_when_all_are_damaged_nothing_is_restored_and_nothing_is_lost(saved):
  checkpoints, folder = saved
  for step in ("1", "2"):
    (folder / step / "state" / "manifest.ocdbt").unlink()
  assert checkpoints.restore(target_of(state_of(0))) is None
  assert sorted(p.name for p in (folder.parent / "checkpoints_bad").iterdir()) == ["1", "2"]


def test_a_record_with_a_flipped_letter_is_damage_and_not_another_model(saved):
  checkpoints, folder = saved
  (record,) = [p for p in (folder / "2" / "fingerprints").rglob("*") if p.is_file() and b"kernel" in p.read_bytes()]
  record.write_bytes(record.read_bytes().replace(b"kernel", b"kernem"))
  assert checkpoints.restore(target_of(state_of(0)))[1] == 1


def test_arrays_of_another_dtype_than_recorded_are_damage(saved):
  checkpoints, folder = saved
  record = ocp.Checkpointer(ocp.CompositeCheckpointHandler()).restore(
    folder / "2", args=ocp.args.Composite(fingerprints=ocp.args.JsonRestore())
  )["fingerprints"]
  leaves = {name: leaf for name, leaf in named_leaves(state_of(2)).items() if leaf.size}
  leaves["weights/kernel"] = leaves["weights/kernel"].astype(jnp.bfloat16)  # Orbax casts it back without a word
  with ocp.CheckpointManager(folder) as other:
    other.save(5, args=ocp.args.Composite(state=ocp.args.StandardSave(leaves), fingerprints=ocp.args.JsonSave(record)))
  checkpoints._manager.reload()
  assert checkpoints.restore(target_of(state_of(0)))[1] == 2
  assert (folder.parent / "checkpoints_bad" / "5").is_dir()


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda s: s | {"byte": jnp.zeros(12, jnp.uint8)}, r"byte: saved uint8\[11\], wanted uint8\[12\]"),
    (lambda s: s | {"byte": jnp.zeros(11, jnp.int8)}, r"byte: saved uint8\[11\], wanted int8\[11\]"),
    (lambda s: s | {"more": jnp.zeros(2)}, r"more: saved nothing, wanted float32\[2\]"),
    (lambda s: {k: v for k, v in s.items() if k != "pool"}, r"pool: saved float32\[16, 40, 3\], wanted nothing"),
  ],
)
def test_another_model_is_the_users_mistake_and_nothing_is_moved(saved, change, message):
  checkpoints, folder = saved
  with pytest.raises(CheckpointMismatch, match=message):
    checkpoints.restore(target_of(change(state_of(0))))
  assert checkpoints.steps() == [1, 2]
  assert not (folder.parent / "checkpoints_bad").exists()


def test_a_mismatch_names_at_most_five_leaves(saved):
  checkpoints, _ = saved
  with pytest.raises(CheckpointMismatch, match="and 3 more"):
    checkpoints.restore(target_of({"step": jnp.int32(0)}))


def test_leftovers_of_a_killed_save_are_cleaned_at_start(saved, tmp_path):
  checkpoints, folder = saved
  left = folder / "3.orbax-checkpoint-tmp"
  (left / "state").mkdir(parents=True)
  (left / "state" / "half").write_bytes(b"half")
  again = Checkpoints(folder, keep=3)
  assert again.steps() == [1, 2]
  assert not left.exists()
  again.close()


def test_a_file_in_the_way_is_one_clear_line(tmp_path):
  (tmp_path / "checkpoints").write_text("in the way")
  with pytest.raises(StorageError, match=r"cannot write checkpoints to .*/checkpoints"):
    Checkpoints(tmp_path / "checkpoints", keep=2)


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


def test_late_calls_of_a_failed_save_are_no_news_and_other_lost_errors_are(monkeypatch):
  seen = []
  monkeypatch.setattr(sys, "unraisablehook", seen.append)
  checkpoint._drop_late_calls()
  for words in ("Event loop is closed", "another"):
    sys.unraisablehook(types.SimpleNamespace(exc_value=RuntimeError(words)))
  assert [str(lost.exc_value) for lost in seen] == ["another"]


def test_keeping_none_is_refused(tmp_path):
  with pytest.raises(ValueError, match="keep=0 checkpoints; keep at least 1"):
    Checkpoints(tmp_path / "checkpoints", keep=0)


FULL_DISK = """
  import resource, sys, time
  import jax, jax.numpy as jnp
  from genjax.train.checkpoint import Checkpoints
  from genjax.train.errors import StorageError
  states = [jax.random.normal(jax.random.key(i), (300, 1000)) for i in range(4)]
  checkpoints = Checkpoints(sys.argv[1], keep=3)
  checkpoints.save(1, {"w": states[1]})
  checkpoints.wait()
  _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # every larger file fails, as on a full disk
  checkpoints.save(2, {"w": states[2]})
  message = None
  for _ in range(100):
    time.sleep(0.1)
    try:
      checkpoints.check()
    except StorageError as error:
      message = str(error)
      break
  print(message)
  print(checkpoints.steps())
  resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
  checkpoints.save(3, {"w": states[3]})
  checkpoints.wait()
  print(checkpoints.steps())
  target = {"w": jax.ShapeDtypeStruct((300, 1000), jnp.float32, sharding=states[0].sharding)}
  state, step = checkpoints.restore(target)
  print(step, bool((state["w"] == states[3]).all()))
  state, step = checkpoints.restore(target, step=1)
  print(step, bool((state["w"] == states[1]).all()))
  checkpoints.close()
"""


def test_a_save_that_fails_in_the_background_is_reported_and_good_steps_stay(tmp_path):
  done = subprocess.run(
    [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(tmp_path / "checkpoints")],
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode == 0, done.stderr
  assert "Traceback" not in done.stderr
  message, *rest = done.stdout.splitlines()
  assert message.startswith("a checkpoint could not be written: ")
  assert "checkpoints of steps [1] are good" in message
  assert "make room" not in message  # the disk is not full, the file is larger than it may be
  assert rest == ["[1]", "[1, 3]", "3 True", "1 True"]


def test_the_record_names_every_leaf_with_its_fingerprint(saved):
  _, folder = saved
  (record,) = [p for p in (folder / "2" / "fingerprints").rglob("*") if p.is_file() and b"kernel" in p.read_bytes()]
  rows = json.loads(record.read_text())["leaves"]
  assert [row["path"] for row in rows] == list(named_leaves(state_of(2)))
  assert [row["fingerprint"] for row in rows] == fingerprints(state_of(2)).words.tolist()


def test_a_checkpoint_of_the_layout_before_is_refused_and_stays(saved):
  checkpoints, folder = saved
  (folder / "2" / "fingerprints").rename(folder / "2" / "audit")
  with pytest.raises(CheckpointMismatch, match="was written by an earlier genjax, in another layout"):
    checkpoints.restore(target_of(state_of(0)))
  assert (folder / "2").exists()
