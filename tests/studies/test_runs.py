"""A study trains once, goes on where it was stopped, and finds what is finished; its command line."""

import json

import numpy as np
import pytest
from small_config import SMALL

from genjax import studies
from genjax.cli import main, parse
from genjax.registry import UsageError, load
from genjax.studies import runs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  return runs.trained(runs.settings("winn_digits", SMALL), str(tmp_path_factory.mktemp("run")), quiet=True)


def test_a_finished_run_is_found_and_not_trained_again(run, monkeypatch):
  monkeypatch.setattr("genjax.run.train", lambda *a, **k: pytest.fail("trained again"))
  assert runs.trained(run.config, run.workdir).summary == run.summary


def test_a_run_of_other_settings_is_not_taken_for_this_one(run):
  other = runs.settings("winn_digits", {**SMALL, "optimizer.learning_rate": 1.0})
  with pytest.raises(UsageError, match=r"config\.optimizer\.learning_rate"):
    runs.trained(other, run.workdir, quiet=True)


def test_a_run_is_opened_with_its_weights_and_its_score(run):
  it, state = runs.opened(run)
  assert int(state.step) == SMALL["train.steps"]
  assert np.isfinite(it.system.views["score"](state, np.zeros((3, 8, 8, 1), np.float32))).all()
  assert [bool(stage.active) for stage in it.system.views["stages"](state)] == [True]


def test_every_study_is_there():
  for home, seeds, shows in studies.STUDIES.values():
    assert callable(load(home))
    assert seeds >= 1
    assert shows


def test_the_command_line_of_a_study():
  request = parse(["study", "digits", "--seeds", "2", "--quiet"])
  assert request.workdir == "runs/study_digits"
  assert request.options == {"name": "digits", "seeds": 2, "quiet": True}
  for words, answer in (
    (["study"], "which study"),
    (["study", "digts"], "did you mean digits"),
    (["study", "digits", "--seed", "1"], "did you mean seeds"),
  ):
    with pytest.raises(UsageError, match=answer):
      parse(words)


def test_the_help_of_study_names_them_all(capsys):
  assert main(["study", "--help"]) == 0
  out = capsys.readouterr().out
  assert all(name in out for name in studies.STUDIES)


def test_hours_are_those_of_the_steps_by_the_log(tmp_path):
  rows = [{"step": 10, "clock": {"steps_per_second": 0.5}}, {"step": 10, "eval/x": 1.0}]
  rows += [{"step": 40, "clock": {"steps_per_second": 1.0}}]
  (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
  assert runs.hours_of(runs.Run(None, str(tmp_path), {})) == pytest.approx((20 + 30) / 3600)


def test_config_and_its_keys_reach_the_study_and_a_study_without_them_says_so(tmp_path, monkeypatch, capsys):
  seen = {}

  def digits(workdir, *, seeds, quiet, base, overrides):
    seen.update(base=base, overrides=overrides)
    return "a table"

  monkeypatch.setattr("genjax.studies.generators.digits", digits)
  words = ["study", "digits", "--config", "winn_mnist", "--config.data.path=x", "--workdir", str(tmp_path)]
  assert main(words) == 0
  assert seen == {"base": "winn_mnist", "overrides": {"data.path": "x"}}
  assert "a table" in capsys.readouterr().out
  for word in ("--config=winn_digits", "--config.seed=1"):
    assert main(["study", "dynamics", word, "--workdir", str(tmp_path)]) == 2
    assert "settings of its own" in capsys.readouterr().err
