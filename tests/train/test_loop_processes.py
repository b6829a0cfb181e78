"""Runs in processes of their own: killed at random moments, and two that train together."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import train_toy as toy

from genjax.train.checkpoint import Checkpoints
from genjax.train.errors import WorkdirInUse
from genjax.train.files import read_metrics
from genjax.train.loop import train
from genjax.train.paths import named_leaves

TOY = Path(__file__).parent / "train_toy.py"
SETTINGS = {
  "steps": 400,
  "steps_per_call": 2,
  "log_every": 10,
  "checkpoint_every": 10,
  "sample_every": 100,
  "evaluate_every": 100,
  "keep": 3,
}


# What root may do in a folder that it may not write, as everybody else: nothing. A program that drops this right, for
# others than root without effect, and becomes the next one; without a fork of this process, in which JAX has threads.
WITHOUT_THE_RIGHTS_OF_ROOT = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
  ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.argv[1], sys.argv[1:])
"""


def start(
  workdir: Path, settings: dict = SETTINGS, pause_ms: float = 4, launcher: tuple[str, ...] = ()
) -> subprocess.Popen:
  return subprocess.Popen(
    [*launcher, sys.executable, "-W", "error", str(TOY), str(workdir), json.dumps(settings), str(pause_ms)],
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(process: subprocess.Popen, code: int = 0) -> tuple[str, str]:
  out, err = process.communicate(timeout=300)
  assert process.returncode == code, err
  return out, err


def timeless(workdir: Path) -> list[dict]:
  return [{k: v for k, v in row.items() if k != "clock"} for row in read_metrics(workdir / "metrics.jsonl")]


def arrays(workdir: Path, step: int | None) -> dict[str, bytes]:
  """The bits of every leaf of a checkpoint, verified and read back onto one device."""
  one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  shapes = jax.eval_shape(toy.system().init, jax.random.key(0), toy.batch(0))
  target = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=one), shapes)
  checkpoints = Checkpoints(workdir / "checkpoints", keep=None)
  state, _ = checkpoints.restore(target, step=step)
  checkpoints.close()
  state = state._replace(key=jax.random.key_data(state.key))
  return {name: np.asarray(leaf).tobytes() for name, leaf in named_leaves(state).items()}


def fingerprints(workdir: Path, step: int) -> dict[str, list[int]]:
  """The fingerprints of all leaves, the key included, from the record beside the arrays."""
  folder = workdir / "checkpoints" / str(step) / "fingerprints"
  (record,) = [path for path in folder.rglob("*") if b"sha256" in path.read_bytes()]
  return {row["path"]: row["fingerprint"] for row in json.loads(record.read_text())["leaves"]}


def kill_at_a_random_moment(process: subprocess.Popen, rng: random.Random, workdir: Path) -> None:
  """Kills between start and end of training: half of the time at any moment, else while a save is being written."""
  checkpoints = workdir / "checkpoints"
  seen = {p.name for p in checkpoints.glob("[0-9]*")} if checkpoints.exists() else set()
  deadline = time.monotonic() + 60
  in_mid_save = rng.random() < 0.5
  while process.poll() is None and time.monotonic() < deadline:
    names = {p.name for p in checkpoints.iterdir()} if checkpoints.exists() else set()
    if in_mid_save and any("tmp" in name for name in names):
      break
    if not in_mid_save and any(name.isdigit() and name not in seen for name in names):
      time.sleep(rng.uniform(0, 0.6))
      break
    time.sleep(0.0005)
  process.send_signal(signal.SIGKILL)
  process.communicate()


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_like_one_left_alone(tmp_path):
  finish(start(tmp_path / "whole", pause_ms=0))
  rng, killed = random.Random(int.from_bytes(os.urandom(4), "little")), 0
  for _ in range(5):
    process = start(tmp_path / "cut")
    kill_at_a_random_moment(process, rng, tmp_path / "cut")
    killed += process.returncode == -signal.SIGKILL
  finish(start(tmp_path / "cut", pause_ms=0))
  assert killed >= 3
  assert fingerprints(tmp_path / "cut", 400) == fingerprints(tmp_path / "whole", 400)
  wanted = arrays(tmp_path / "whole", 400)
  assert len(wanted) == 11
  assert arrays(tmp_path / "cut", 400) == wanted
  assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
  for name in os.listdir(tmp_path / "whole" / "samples"):
    assert (tmp_path / "cut" / "samples" / name).read_bytes() == (tmp_path / "whole" / "samples" / name).read_bytes()
  assert not list((tmp_path / "cut" / "checkpoints").glob("*tmp*"))
  assert not (tmp_path / "cut" / "checkpoints_bad").exists()


@pytest.mark.slow
def test_sigterm_ends_a_process_with_143_and_says_how_to_go_on(tmp_path):
  process = start(tmp_path)
  while not list((tmp_path / "checkpoints").glob("[0-9]*")):
    time.sleep(0.05)
    assert process.poll() is None
  process.send_signal(signal.SIGTERM)
  _, err = finish(process, code=143)
  assert "Interrupted: stopped by SIGTERM at step " in err
  assert "the same command goes on from there" in err
  assert "Traceback" not in err


@pytest.mark.slow
def test_a_disk_that_fills_up_is_one_line_and_the_good_checkpoints_stay(tmp_path):
  limited = SETTINGS | {"file_limit_after_step": 60}
  _, err = finish(start(tmp_path, limited), code=1)
  assert "StorageError: " in err
  assert "Traceback" not in err
  steps = sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit())
  assert steps
  assert steps[-1] <= 70
  finish(start(tmp_path, pause_ms=0))
  finish(start(tmp_path / "whole", pause_ms=0))
  assert fingerprints(tmp_path, 400) == fingerprints(tmp_path / "whole", 400)


@pytest.mark.slow
def test_a_checkpoint_that_may_not_be_written_ends_the_process_within_seconds(tmp_path):
  launcher = (sys.executable, "-c", WITHOUT_THE_RIGHTS_OF_ROOT)
  process = start(tmp_path, SETTINGS | {"forbidden_after_step": 60}, launcher=launcher)
  line = next(line for line in process.stderr if line.startswith("StorageError"))
  began = time.monotonic()
  finish(process, code=1)
  assert time.monotonic() - began < 60  # Orbax's threads would wait for 300
  what = r"(a checkpoint could not be written|cannot write checkpoints to \S+): EACCES: Permission denied; "
  assert re.match(f"StorageError: {what}", line), line  # found when it is written, or when the next one begins
  assert "make room" not in line


@pytest.mark.slow
def test_a_live_run_is_left_alone_by_readers_and_by_a_second_run_and_does_not_need_its_terminal(tmp_path):
  process = start(tmp_path, SETTINGS | {"steps": 100_000}, pause_ms=10)
  for _ in range(3):
    process.stdout.readline()
  process.stdout.close()  # | head -3
  for _ in range(20):
    steps = [int(path.name) for path in (tmp_path / "checkpoints").glob("[0-9]*") if path.name.isdigit()]
    if steps:
      assert arrays(tmp_path, None)
    with pytest.raises(WorkdirInUse, match=f"locked by process {process.pid}"):
      train(toy.system(), toy.data(), workdir=tmp_path, key=jax.random.key(0), steps=20, quiet=True)
    time.sleep(0.2)
  while len(steps) < 3:
    steps = [int(path.name) for path in (tmp_path / "checkpoints").glob("[0-9]*") if path.name.isdigit()]
    assert process.poll() is None
    time.sleep(0.1)
  process.kill()
  process.wait()
  process.stderr.close()
  assert (tmp_path / "run.lock").exists()
  end = max(steps) + 100
  assert train(toy.system(), toy.data(), workdir=tmp_path, key=jax.random.key(0), steps=end, quiet=True).step == end


@pytest.mark.slow
def test_a_stuck_call_is_ended_by_the_watchdog_with_its_stack(tmp_path):
  process = start(tmp_path, SETTINGS | {"watchdog_s": 1.0, "stuck_at": 50})
  _, err = finish(process, code=1)
  assert "Timeout (0:00:01)!" in err
  assert "in slow_batch" in err


TWO = """
  import sys, jax
  jax.config.update("jax_num_cpu_devices", 4)
  jax.distributed.initialize(sys.argv[2], num_processes=2, process_id=int(sys.argv[3]))
  sys.path.insert(0, sys.argv[4])
  import os, signal, numpy as np, train_toy as toy
  from genjax.train.errors import RunError
  from genjax.train.loop import train
  process, until, stop = jax.process_index(), int(sys.argv[5]), int(sys.argv[6])
  def batch(step):
    if step == stop and process == 1:
      os.kill(os.getpid(), signal.SIGTERM)  # one process only is asked to stop
    return toy.batch(step, process=process, processes=2)
  try:
    result = train(toy.system(), toy.data(batch), workdir=sys.argv[1], key=jax.random.key(0), steps=until, log_every=5,
                   checkpoint_every=10, sample_every=20, evaluators={"mean": toy.evaluate}, best="mean",
                   better={"mean": "higher"})
  except RunError as error:
    print(f"{type(error).__name__} {error.step}")
    sys.exit(error.exit_code)
  print("finished", result.step, len(result.state.pool.sharding.device_set))
"""


def two_processes(workdir: Path, until: int, stop: int = -1, code: int = 0) -> list[str]:
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    address = f"localhost:{probe.getsockname()[1]}"
  processes = [
    subprocess.Popen(
      [
        sys.executable,
        "-c",
        textwrap.dedent(TWO),
        str(workdir),
        address,
        str(i),
        str(TOY.parent),
        str(until),
        str(stop),
      ],
      env=os.environ | {"JAX_PLATFORMS": "cpu"},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for i in range(2)
  ]
  return [finish(process, code)[0].splitlines()[-1] for process in processes]


@pytest.mark.slow
def test_two_processes_train_together_stop_at_the_same_step_and_resume(tmp_path):
  assert two_processes(tmp_path / "whole", 40) == ["finished 40 8"] * 2
  assert two_processes(tmp_path / "cut", 40, stop=12, code=143) == ["Interrupted 15"] * 2
  (tmp_path / "cut" / "checkpoints" / "15" / "state" / "manifest.ocdbt").write_bytes(b"?")
  assert two_processes(tmp_path / "cut", 40) == ["finished 40 8"] * 2
  assert fingerprints(tmp_path / "cut", 40) == fingerprints(tmp_path / "whole", 40)
  assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
  assert sorted(os.listdir(tmp_path / "cut" / "checkpoints_bad")) == ["15"]
  assert sorted(os.listdir(tmp_path / "cut" / "samples")) == [f"step_{s:08d}.png" for s in (0, 20, 40)]
  assert [path.name for path in (tmp_path / "cut" / "best").iterdir()] == ["40"]
