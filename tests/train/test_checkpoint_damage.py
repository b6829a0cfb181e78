"""A damaged checkpoint never reaches the run, and is moved away; the one before is used."""

import logging
import random
import shutil
from pathlib import Path

import jax.numpy as jnp
import orbax.checkpoint as ocp
import pytest
from saved_states import assert_same_bits, data_files, state_of, target_of

from genjax.train.paths import named_leaves


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
