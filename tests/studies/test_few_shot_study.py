"""The few-shot studies, small: every row is there, what is trained is found again, --config changes the set."""

import json

import pytest

from genjax.main import main
from genjax.studies.few_shot import heads, iterations, shots

SMALL = {
  "data.name": "mock",
  "data.size": 16,
  "data.batch": 8,
  "net.width": 4,
  "train.steps": 2,
  "train.steps_per_call": 1,
  "train.log_every": 1,
  "train.checkpoint_every": 2,
  "train.evaluate_every": 2,
  "metrics.queries": 3,
  "metrics.episodes": 8,
  "metrics.validation_episodes": 8,
}


@pytest.mark.slow
def test_heads_shots_and_iterations_leave_tables_and_pictures(tmp_path):
  table = heads(str(tmp_path), seeds=1, quiet=True, overrides=SMALL, names=("svm", "proto"))
  assert [line.split()[1] for line in table.splitlines()[2:4]] == ["svm", "proto"]
  found = json.loads((tmp_path / "heads.json").read_text())
  assert set(found["accuracy"]["svm"]) == {"test_1shot", "test_5shot"}
  assert all(0 < seconds < 100 for seconds in found["seconds"]["proto"].values())

  table = iterations(str(tmp_path), seeds=1, quiet=True, overrides=SMALL, counts=(1, 3))  # the same svm run
  assert len(table.splitlines()) == 2 + 2 * 2
  assert (tmp_path / "iterations.png").stat().st_size > 1000

  table = shots(str(tmp_path), seeds=1, quiet=True, overrides=SMALL, names=("proto",), train_shots=(1, 5))
  assert "proto, 1-shot" in table
  assert (tmp_path / "shots.png").stat().st_size > 1000


def test_a_study_with_configs_of_its_own_refuses_one(tmp_path, capsys):
  for words in (["--config", "winn_digits"], ["--config.seed=1"]):
    assert main(["study", "digits", *words, "--workdir", str(tmp_path)]) == 2
    assert "configs of its own" in capsys.readouterr().err
