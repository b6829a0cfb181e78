"""A study trains once, goes on where it was stopped, and finds what is finished; its command line."""

import json

import numpy as np
import pytest
from small_config import SMALL

from genjax import studies
from genjax.cli import main, parse
from genjax.registry import UsageError, load
from genjax.studies import runs
from genjax.studies.digits import ROWS, digits


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


def test_every_study_is_there_and_every_row_of_digits_is_a_config():
  for home, seeds, shows in studies.STUDIES.values():
    assert callable(load(home))
    assert seeds >= 1
    assert shows
  for name in ROWS.values():
    runs.settings(name)


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


@pytest.mark.slow
def test_the_digits_study_leaves_a_row_for_each_and_resumes(tmp_path):
  small = {**SMALL, "system.cascade_steps": 1, "system.starts": 8}
  text = digits(str(tmp_path), seeds=1, quiet=True, overrides=small)
  table = json.loads((tmp_path / "digits.json").read_text())["frechet"]
  assert list(table) == list(ROWS)
  for row, (value,) in table.items():
    assert f"| {row} | {value:.2f} |" in text
  assert len({value for (value,) in table.values()}) == len(ROWS)
  assert digits(str(tmp_path), seeds=1, quiet=True, overrides=small) == text
