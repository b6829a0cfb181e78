"""MetaOptNet on glyphs by the commands: numbers with cards, classes never on both sides, mistakes before all else."""

import json

import numpy as np
import pytest

from genjax.cli import main

FEW = {
  "train.steps": 12,
  "train.steps_per_call": 6,
  "train.log_every": 6,
  "train.checkpoint_every": 6,
  "train.evaluate_every": 6,
  "net.width": 8,
  "metrics.validation.queries": 5,
  "metrics.test.queries": 5,
  "metrics.test.episodes": 16,
  "metrics.validation.episodes": 16,
}
WORDS = [f"--config.{key}={value}" for key, value in FEW.items()]


@pytest.mark.slow
def test_a_run_learns_chooses_by_validation_and_is_measured_on_test_classes(tmp_path, capsys):
  words = ["train", "--config", "metaoptnet_glyphs", "--workdir", str(tmp_path), *WORDS]
  assert main(words) == 0
  assert "test_1shot_accuracy" in capsys.readouterr().out
  summary = json.loads((tmp_path / "summary.json").read_text())
  for task in ("validation_1shot", "validation_5shot", "test_1shot", "test_5shot"):
    assert 0.15 < summary["metrics"][f"{task}_accuracy"]["value"] <= 1
    assert summary["metrics"][f"{task}_interval"]["value"] > 0
  assert summary["metrics"]["test_1shot_accuracy"]["card"]["split"] == "glyphs/test"
  assert summary["best_step"] in (6, 12)
  rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
  losses = [row["loss"] for row in rows if "loss" in row]
  assert np.isfinite(losses).all()
  assert losses[-1] < losses[0]
  assert main(["evaluate", "--workdir", str(tmp_path), "--config.metrics.test.episodes=8"]) == 0
  report = json.loads(capsys.readouterr().out)
  assert report["metrics"]["test_5shot_accuracy"]["card"]["generated"] == 8


@pytest.mark.parametrize(
  ("word", "answer"),
  [
    ("--config.data.ways=500", "500 ways"),
    ("--config.data.shots=60", "use at most 40"),
    ("--config.metrics.test.chosen_at=3", "chosen_at"),
    ("--config.metrics.test.batch=3", "devices"),
    ("--config.metrics.frechet.split=test", "needs the view 'sample'"),
    ("--config.head.name=sv", "did you mean svm"),
    ("--config.head.c=1.0", "svm takes ways, C, "),
    ("--config.head.kernel=rfb", "rbf"),
    ("--config.net.name=conv5", "did you mean conv4"),
    ("--config.data.name=glyfs", "did you mean glyphs"),
  ],
)
def test_a_mistake_is_answered_before_anything_is_compiled(tmp_path, capsys, word, answer):
  assert main(["train", "--config", "metaoptnet_glyphs", "--workdir", str(tmp_path / "run"), "--quiet", word]) == 2
  assert answer in capsys.readouterr().err
  assert not (tmp_path / "run").exists()
