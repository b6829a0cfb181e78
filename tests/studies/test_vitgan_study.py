"""The study of ViTGAN's gradients and costs, in nets of one narrow block."""

import json

import jax
import numpy as np
import pytest

from genjax.core import prepared
from genjax.experiment import experiment
from genjax.studies.vitgan import STEPS, cost_table, costed, draw, gradients, memory, table
from genjax.train.flops import model_flops

BASE = "vitgan_digits:l2-isn,noaug"
SMALL = {
  "generator.width": 8,
  "critic.width": 8,
  "generator.depth": 1,
  "critic.depth": 1,
  "data.batch": 8,
  "metrics": "none",
}


@pytest.mark.slow
def test_norms_of_every_seed_are_written_and_not_measured_again(tmp_path):
  rows = {"SN": "sn,noaug"}
  text = gradients(str(tmp_path), seeds=2, quiet=True, rows=rows, steps=4, overrides=SMALL)
  assert text.splitlines()[2].startswith("| SN | ")
  kept = json.loads((tmp_path / "vitgan_gradients.json").read_text())
  norms = np.asarray(kept["SN"]["norms"])
  assert norms.shape == (2, 4)
  assert (norms > 0).all()
  assert not np.array_equal(*norms)
  assert (tmp_path / "vitgan_gradients.png").stat().st_size > 1000
  before = (tmp_path / "sn,noaug.json").stat().st_mtime_ns
  assert gradients(str(tmp_path), seeds=2, quiet=True, rows=rows, steps=4, overrides=SMALL) == text
  assert (tmp_path / "sn,noaug.json").stat().st_mtime_ns == before


def test_the_table_measures_spikes_beside_the_median_of_the_last_half():
  norms = np.ones((1, 400))
  norms[0, 10], norms[0, 399], norms[0, 398:399] = 99.0, 8.0, 1.0
  row = table({"SN": {"norms": norms, "frechet": [3.21]}}).splitlines()[2]
  assert row == "| SN | 1 | 1 | 8 | 3.2 |"
  (axis,) = draw({"SN": norms}).axes
  np.testing.assert_array_equal(axis.lines[0].get_ydata(), norms[0])


def flops(weight, remat):
  it = experiment(costed(weight, remat, BASE, SMALL))
  system, batch = prepared(it.system, it.data.prepare), it.data.batch(0)
  state = jax.eval_shape(system.init, jax.random.key(0), batch)
  return model_flops(system.step, jax.random.key(0), state, batch).flops


@pytest.mark.slow
def test_a_step_with_consistency_or_remat_does_more_work_and_is_measured(tmp_path):
  plain, remat, consistent, both = (flops(weight, remat) for weight, remat in STEPS)
  assert consistent > 1.3 * plain
  assert plain < remat < both
  text = memory(str(tmp_path), quiet=True, base=BASE, overrides=SMALL, seconds=0.01, steps=((10.0, False),))
  (row,) = json.loads((tmp_path / "memory.json").read_text())["rows"]
  assert (row["bcr"], row["remat"]) == (True, False)
  assert row["step_flops"] == pytest.approx(consistent)
  assert text.splitlines()[2].startswith("| yes | no | ")


def test_costs_are_in_seconds_and_mebibytes():
  row = {"bcr": True, "remat": False, "step_ms": 1500.0, "step_flops": 2e12, "memory": {"temp": 3 * 2**20}}
  assert cost_table([row], "x").splitlines()[2] == "| yes | no | 1.50 | 3 | 2,000 |"
