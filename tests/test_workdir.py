"""What makes another run of the same workdir, what a run may go on with, and what is recorded of it."""

import json

import pytest
from small_config import small_config, small_vae

from genjax import workdir as workdirs
from genjax.config import load_config, override
from genjax.registry import UsageError
from genjax.run import train


def test_another_sampler_makes_another_run_and_another_metric_does_not():
  kept = workdirs.as_json(small_config())
  keys = lambda key: [row[0] for row in workdirs.changes(kept, small_config(**{key: 7}))]
  assert keys("sampler.learning_rate") == ["sampler.learning_rate"]
  assert keys("metrics.copies.samples") == keys("sample.size") == keys("train.samples") == []


def test_a_run_goes_on_for_longer_with_other_intervals_and_metrics(tmp_path):
  train(small_vae(), tmp_path, quiet=True)
  longer = {"train.steps": 8, "train.checkpoint_every": 4, "metrics.copies": "none", "metrics.frechet.samples": 40}
  summary = train(small_vae(**longer), tmp_path, quiet=True)
  assert summary["steps"] == 8
  assert "copies" not in summary["metrics"]
  assert summary["metrics"]["frechet"]["card"]["generated"] == 40


def test_other_keys_go_on_behind_continue_and_are_recorded(tmp_path):
  train(small_vae(), tmp_path, quiet=True)
  other = small_vae(**{"optimizer.learning_rate": 1e-4, "train.steps": 6})
  summary = train(other, tmp_path, quiet=True, go_on=True)
  assert summary["steps"] == 6
  record = json.loads((tmp_path / "continued.json").read_text())
  assert record == [{"step": 4, "changed": {"optimizer.learning_rate": [2e-3, 1e-4]}}]
  assert workdirs.holds(other, tmp_path)


def test_how_pictures_are_drawn_from_a_run_does_not_make_it_another(tmp_path):
  config = load_config("winn_texture:brick,small")
  workdirs.claim(config, tmp_path, [])
  override(config, [("sample.size", "512")])
  assert workdirs.holds(config, tmp_path)
  override(config, [("optimizer.learning_rate", "0.5")])
  assert not workdirs.holds(config, tmp_path)


def test_a_workdir_is_anothers_only_once_something_was_trained_in_it(tmp_path, caplog):
  workdirs.claim(small_config(), tmp_path, [])  # of a command that stopped before its first line
  other = small_config(**{"optimizer.learning_rate": 0.5})
  assert workdirs.refuse_another(other, tmp_path) == []
  (tmp_path / "metrics.jsonl").write_text('{"step": 2}\n')
  with pytest.raises(UsageError, match=r"holds another run: config.optimizer.learning_rate is 0.0003 there"):
    workdirs.refuse_another(other, tmp_path)
  assert not caplog.messages
  (tmp_path / "config.json").unlink()
  assert workdirs.refuse_another(other, tmp_path) == []
  assert "was trained before, but has no config.json" in caplog.text
