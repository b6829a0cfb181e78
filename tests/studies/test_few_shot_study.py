"""The few-shot studies, small: every row is there, what is trained is not trained again, --config changes the set."""

import json

import numpy as np
import pytest

from genjax.cli import main
from genjax.studies import few_shot
from genjax.studies.few_shot import heads, iterations, shots

ASKED = {"shots": (1,), "chosen_at": 1, "queries": 3, "episodes": 8}
SMALL = {
  "data.name": "mock_episodes",
  "data.size": 16,
  "data.batch": 2,
  "data.shots": 1,
  "net.width": 4,
  "train.steps": 2,
  "train.steps_per_call": 1,
  "train.log_every": 1,
  "train.checkpoint_every": 2,
  "train.evaluate_every": 2,
  **{f"metrics.{section}.{key}": value for section in ("validation", "test") for key, value in ASKED.items()},
}


@pytest.mark.slow
def test_heads_shots_and_iterations_leave_tables_and_pictures(tmp_path):
  table = heads(str(tmp_path), seeds=1, quiet=True, overrides=SMALL, names=("svm", "proto"))
  assert [line.split()[1] for line in table.splitlines()[2:4]] == ["svm", "proto"]
  numbers = json.loads((tmp_path / "heads.json").read_text())
  assert set(numbers["accuracy"]["svm"]) == {"test_1shot"}
  assert all(0 < seconds < 100 for seconds in numbers["seconds"]["proto"].values())

  trained = (tmp_path / "svm_0" / "summary.json").stat().st_mtime_ns
  table = iterations(str(tmp_path), seeds=1, quiet=True, overrides=SMALL, counts=(1,))
  assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == ["| released, 1-shot", "| ours, 1-shot"]
  assert (tmp_path / "svm_0" / "summary.json").stat().st_mtime_ns == trained
  assert (tmp_path / "iterations.png").stat().st_size > 1000

  table = shots(str(tmp_path), seeds=1, quiet=True, overrides=SMALL, names=("proto",), train_shots=(2,))
  assert "| proto, 1-shot | " in table
  assert json.loads((tmp_path / "proto_2shot_0" / "config.json").read_text())["data"]["shots"] == 2


def test_the_table_and_the_picture_have_each_task_and_each_place():
  accuracy = {task: {"svm": [[60.0, 62.0], [70.0, 70.0]]} for task in ("test_1shot", "test_5shot")}
  lines = few_shot._table(accuracy, (1, 5), "trained with").splitlines()
  assert lines[0] == "| accuracy, %; trained with | 1 | 5 |"
  assert lines[2:] == [f"| svm, {shot}-shot | 61.0 ± 1.4 | 70.0 ± 0.0 |" for shot in (1, 5)]
  one, five = few_shot.draw((1, 5), accuracy, "shots").axes
  assert (one.get_title(), five.get_title()) == ("1-shot", "5-shot")
  np.testing.assert_array_equal(one.lines[0].get_ydata(), [61, 70])


def test_a_study_with_configs_of_its_own_refuses_one(tmp_path, capsys):
  for words in (["--config", "winn_digits"], ["--config.seed=1"]):
    assert main(["study", "digits", *words, "--workdir", str(tmp_path)]) == 2
    assert "configs of its own" in capsys.readouterr().err
