import json

import numpy as np
import pytest

from genjax.studies.vitgan import cost_table, draw, gradients, memory, table

SMALL = {
  "generator.width": 8,
  "net.width": 8,
  "generator.depth": 1,
  "net.depth": 1,
  "data.batch": 8,
  "metrics.name": "",
}


@pytest.mark.slow
def test_norms_of_every_seed_are_kept_and_found_again(tmp_path):
  rows = {"R1": "r1"}
  told = gradients(str(tmp_path), seeds=2, quiet=True, rows=rows, steps=4, overrides=SMALL)
  assert told.splitlines()[2].startswith("| R1 | ")
  kept = json.loads((tmp_path / "vitgan_gradients.json").read_text())
  norms = np.asarray(kept["R1"]["norms"])
  assert norms.shape == (2, 4)
  assert (norms > 0).all()
  assert not np.array_equal(*norms)
  assert (tmp_path / "vitgan_gradients.png").stat().st_size > 1000
  before = (tmp_path / "r1.json").stat().st_mtime_ns
  assert gradients(str(tmp_path), seeds=2, quiet=True, rows=rows, steps=4, overrides=SMALL) == told
  assert (tmp_path / "r1.json").stat().st_mtime_ns == before


def test_the_table_measures_spikes_beside_the_median_of_the_last_half():
  norms = np.ones((1, 400))
  norms[0, 10], norms[0, 399], norms[0, 398:399] = 99.0, 8.0, 1.0
  row = table({"SN": {"norms": norms, "frechet": [3.21]}}).splitlines()[2]
  assert row == "| SN | 1 | 1 | 8 | 3.2 |"
  (axis,) = draw({"SN": norms}).axes
  np.testing.assert_array_equal(axis.lines[0].get_ydata(), norms[0])


@pytest.mark.slow
def test_a_step_with_consistency_does_more_work_and_all_is_told(tmp_path):
  told = memory(str(tmp_path), quiet=True, base="vitgan_digits:l2-isn", overrides=SMALL, seconds=0.01)
  rows = json.loads((tmp_path / "memory.json").read_text())["rows"]
  assert [(row["bcr"], row["remat"]) for row in rows] == [(False, False), (False, True), (True, False), (True, True)]
  assert rows[2]["step_flops"] > 1.3 * rows[0]["step_flops"]
  assert rows[1]["step_flops"] > rows[0]["step_flops"]
  assert len(told.splitlines()) == 7


def test_costs_are_told_in_seconds_and_mebibytes():
  row = {"bcr": True, "remat": False, "step_ms": 1500.0, "step_flops": 2e12, "memory": {"temp": 3 * 2**20}}
  assert cost_table([row], "x").splitlines()[2] == "| yes | no | 1.50 | 3 | 2,000 |"
