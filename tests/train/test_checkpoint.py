"""What is restored is what was saved, or it is not used."""

import json
import os
import subprocess
import sys
import textwrap
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from saved_states import GRID, assert_same_bits, raw, state_of, target_of

from genjax.train import checkpoint
from genjax.train.checkpoint import Checkpoints
from genjax.train.errors import CheckpointMismatch, StorageError
from genjax.train.fingerprint import fingerprints
from genjax.train.paths import named_leaves


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
