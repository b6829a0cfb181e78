"""The main job by its command, as a user has it: `genjax train --config winn_digits`.

Here on a smaller net, in a fifth of the steps; the whole job, with three seeds, is `long`.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

COMMAND = [sys.executable, "-m", "genjax.cli", "train", "--config", "winn_digits", "--quiet"]
STEPS = 80
SMALLER = {
  "net.blocks": "((16,),(32,))",
  "optimizer.learning_rate": 2e-3,
  "sampler.learning_rate": 0.05,
  "system.ascent_steps": 40,
  "system.synthesis": 64,
  "system.synthesis_batch": 64,
  "system.ema": 0.98,
  "train.steps": STEPS,
  "train.checkpoint_every": 10,
  "train.sample_every": 40,
  "train.evaluate_every": 40,
  "train.samples": 250,  # as many as are measured: the sampler compiles once
  **{f"metrics.{name}.samples": 250 for name in ("frechet", "copies", "anchors")},
}
WORDS = [f"--config.{key}={value}" for key, value in SMALLER.items()]


def start(workdir, words):
  """The command in a process of its own: one device, none of the tests' settings but their cache."""
  ours = ("XLA_FLAGS", "JAX_DISABLE_MOST_OPTIMIZATIONS", "PYTHONWARNINGS")
  environment = {key: value for key, value in os.environ.items() if key not in ours}
  return subprocess.Popen([*COMMAND, "--workdir", str(workdir), *words], env=environment)


def summary_of(workdir):
  summary = json.loads((Path(workdir) / "summary.json").read_text())
  return summary, {name: number["value"] for name, number in summary["metrics"].items()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("alone")
  assert start(workdir, WORDS).wait() == 0
  return workdir


@pytest.mark.slow
def test_the_main_job_writes_digits_that_beat_noise_and_a_gaussian_of_pixels_and_copies_none(alone):
  summary, values = summary_of(alone)
  print(values)
  assert summary["steps"] == STEPS
  assert values["frechet"] <= 0.75 * values["anchors_pixel_gaussian"]
  assert values["frechet"] <= values["anchors_noise"] / 3
  assert values["copies"] <= 0.02
  assert 0.8 <= values["diversity"] <= 1.2


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_whole_main_job_halves_the_distance_of_a_gaussian_of_pixels(seed, tmp_path):
  assert start(tmp_path, [f"--config.seed={seed}"]).wait() == 0
  summary, values = summary_of(tmp_path)
  print(f"seed {seed}: median {summary['median_of_last_three_frechet']:.2f}, last {values}")
  assert summary["median_of_last_three_frechet"] <= values["anchors_pixel_gaussian"] / 2
  assert values["frechet"] <= values["anchors_pixel_gaussian"] / 2
  assert values["copies"] <= 0.02
  assert 0.9 <= values["diversity"] <= 1.1


# Killed ---------------------------------------------------------------------------------------------------------------


def rows_of(workdir):
  """metrics.jsonl without what depends on the clock; a run that is killed leaves the last line cut short at times."""
  path, rows = Path(workdir) / "metrics.jsonl", []
  for line in path.read_text().splitlines() if path.exists() else []:
    with contextlib.suppress(ValueError):
      rows.append({key: value for key, value in json.loads(line).items() if key != "clock"})
  return rows


def kill_after(process, workdir, step, seconds):
  """Kills a run some seconds after it logged a step."""
  while process.poll() is None and not any(row["step"] >= step for row in rows_of(workdir)):
    time.sleep(0.05)
  time.sleep(seconds)
  assert process.poll() is None, "the run ended before it was killed"
  process.send_signal(signal.SIGKILL)
  process.wait()


def last_state(workdir):
  """Every array of the newest checkpoint, as Orbax itself reads it."""
  step = max(int(path.name) for path in (Path(workdir) / "checkpoints").iterdir() if path.name.isdigit())
  handler = ocp.StandardCheckpointHandler()
  state = ocp.Checkpointer(handler).restore(Path(workdir) / "checkpoints" / str(step) / "state")
  return step, {
    jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state)
  }


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore")  # of Orbax, read here without our own code
@pytest.mark.parametrize("kills", [1, pytest.param(4, marks=pytest.mark.long)])
def test_a_run_killed_at_a_random_moment_ends_with_the_same_bits(kills, alone, tmp_path):
  rng = random.Random(kills)
  for step in sorted(rng.randrange(10, STEPS - 20, 10) for _ in range(kills)):
    kill_after(start(tmp_path, WORDS), tmp_path, step, rng.uniform(0, 2))
  assert start(tmp_path, WORDS).wait() == 0
  (step, state), (step_killed, state_killed) = last_state(alone), last_state(tmp_path)
  assert step == step_killed == STEPS
  assert state.keys() == state_killed.keys()
  assert all(np.array_equal(state[name], state_killed[name]) for name in state)
  assert rows_of(alone) == rows_of(tmp_path)
  grids = [sorted((workdir / "samples").glob("*.png")) for workdir in (alone, tmp_path)]
  assert len(grids[0]) == 3
  assert [a.read_bytes() for a in grids[0]] == [b.read_bytes() for b in grids[1]]
