"""The few-shot studies, small: every row is there, what is trained is not trained again, --config changes the set."""

import json

import numpy as np
import pytest

from genjax.studies import few_shot
from genjax.studies.few_shot import SWEEP, heads, iterations, omniglot, shots, sweep
from genjax.studies.runs import settings

ASKED = {"shots": (1,), "chosen_at": 1, "queries": 3, "episodes": 8}
PERFECT = {"accuracy": 0.97, "interval": 0.003}
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

  table = sweep(str(tmp_path), seeds=1, quiet=True, overrides=SMALL, rows={"svm": ("svm", {})})
  assert table.startswith("| accuracy, % | validation, 1-shot | test, 1-shot |")
  assert (tmp_path / "svm_0" / "summary.json").stat().st_mtime_ns == trained

  table = shots(str(tmp_path), seeds=1, quiet=True, overrides=SMALL, names=("proto",), train_shots=(2,))
  assert "| proto, 1-shot | " in table
  assert json.loads((tmp_path / "proto_2shot_0" / "config.json").read_text())["data"]["shots"] == 2


def test_every_row_of_the_sweep_is_a_config_of_its_own():
  configs = {row: settings(f"metaoptnet_glyphs:{head}", keys) for row, (head, keys) in SWEEP.items()}
  assert configs["svm, C 10.0"].head.C == 10
  assert configs["ridge, 128 features"].net.width == 128
  assert len({config.to_json() for config in configs.values()}) == len(SWEEP)


def test_the_table_and_the_picture_have_each_task_and_each_place():
  accuracy = {task: {"svm": [[60.0, 62.0], [70.0, 70.0]]} for task in ("test_1shot", "test_5shot")}
  lines = few_shot._table(accuracy, (1, 5), "trained with").splitlines()
  assert lines[0] == "| accuracy, %; trained with | 1 | 5 |"
  assert lines[2:] == [f"| svm, {shot}-shot | 61.0 ± 1.4 | 70.0 ± 0.0 |" for shot in (1, 5)]
  one, five = few_shot.draw((1, 5), accuracy, "shots").axes
  assert (one.get_title(), five.get_title()) == ("1-shot", "5-shot")
  np.testing.assert_array_equal(one.lines[0].get_ydata(), [61, 70])


def test_omniglot_has_a_column_for_each_task_and_the_numbers_of_the_papers(tmp_path, monkeypatch):
  asked = []

  def runs_of(workdir, base, head, seeds, overrides, quiet, more):
    asked.append((base, head, more))
    metrics = {f"test_{shot}shot_{name}": {"value": value} for shot in (1, 5) for name, value in PERFECT.items()}
    return [few_shot.Run(None, "", {"metrics": metrics})]

  monkeypatch.setattr(few_shot, "_runs", runs_of)
  lines = omniglot(str(tmp_path), names=("svm", "proto")).splitlines()
  assert lines[0] == "| head | 5way, 1shot | 5way, 5shot | 20way, 1shot | 20way, 5shot |"
  assert lines[2] == "| svm | 97.0 | 97.0 | 97.0 | 97.0 |"
  assert lines[3] == "| proto | 97.0 [98.8] | 97.0 [99.7] | 97.0 [96.0] | 97.0 [98.9] |"
  assert "known to 0.3" in lines[4]
  assert ("few_shot_omniglot:20way,1shot", "proto", "_20way_1shot") in asked
