"""What the loop refuses: settings, batches and systems that cannot work, folders that it cannot use."""

import jax.numpy as jnp
import pytest
import train_toy as toy
from toy_runs import train

from genjax.core import System
from genjax.train.errors import BadSetting, StorageError


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    (
      {"steps": 21, "steps_per_call": 5},
      r"config.train.steps=21 is not a multiple of .*steps_per_call=5; use 20 or 25",
    ),
    ({"steps": 20, "steps_per_call": 2}, r"config.train.log_every=5 .*; use 4 or 6"),
    ({"steps": 20, "steps_per_call": 4, "log_every": 4}, r"config.train.checkpoint_every=10"),
    ({"steps": 20, "steps_per_call": 5, "sample_every": 7}, r"config.train.sample_every=7"),
    ({"steps": 20, "steps_per_call": 5, "evaluate_every": 7}, r"config.train.evaluate_every=7"),
    ({"steps": 20, "evaluate_every": 5}, r"config.train.evaluate_every=5, but there is nothing to evaluate"),
    ({"steps": 20, "log_every": 0}, r"config.train.log_every=0; use at least"),
    ({"steps": 0}, r"config.train.steps=0"),
    ({"steps": 20, "sample_every": 5, "samples": 0}, r"config.train.samples=0"),
    ({"steps": 20, "keep": 0}, r"config.train.keep=0; keep at least 1"),
    (
      {"steps": 20, "sample_every": 5, "system": toy.system()._replace(views={})},
      r"this system has no view `sample`, .*; set config.train.sample_every=0",
    ),
    (
      {"steps": 20, "sample_every": 5, "data": toy.data(show=None)},
      r"this data set cannot show samples .*; set config.train.sample_every=0",
    ),
  ],
)
def test_a_setting_that_cannot_work_is_named_before_anything_is_compiled(tmp_path, settings, message):
  traces = []
  with pytest.raises(BadSetting, match=message):
    train(tmp_path / "run", **({"system": toy.system(traces=traces)} | settings))
  assert not traces
  assert not (tmp_path / "run").exists()


def test_a_batch_that_does_not_divide_is_refused_before_compiling(tmp_path):
  traces = []
  with pytest.raises(BadSetting, match=r"batch 12 does not divide over 8 devices"):
    train(tmp_path, system=toy.system(traces=traces), batch=lambda step: toy.batch(step, rows=12))
  assert not traces


def test_a_batch_of_another_form_is_named_by_its_step(tmp_path):
  with pytest.raises(ValueError, match=r"the batch of step 3 is .*8, 4, 4, 1.*, that of step 0 .*16, 4, 4, 1"):
    train(tmp_path, batch=lambda step: toy.batch(step, rows=8 if step == 3 else 16))


def test_a_system_that_does_not_count_its_steps_is_refused(tmp_path):
  system = toy.system()
  stuck = system._replace(step=lambda k, s, b: (system.step(k, s, b)[0]._replace(step=s.step), {"loss": jnp.zeros(())}))
  with pytest.raises(ValueError, match=r"state.step is 0 after 1 steps"):
    train(tmp_path, system=stuck)


def test_a_state_without_a_step_is_refused(tmp_path):
  system = System(lambda key, batch: {"w": jnp.zeros(3)}, lambda key, state, batch: (state, {}))
  with pytest.raises(ValueError, match="the state of a system has an int32 scalar `step`; this dict has none"):
    train(tmp_path, system=system)


def test_a_metric_that_is_no_scalar_is_named(tmp_path):
  system = toy.system()
  vector = system._replace(step=lambda *a: (system.step(*a)[0], {"losses": jnp.zeros(3)}))
  with pytest.raises(ValueError, match=r"metric 'losses' has shape \(3,\)"):
    train(tmp_path, system=vector)


def test_a_workdir_that_is_removed_stops_the_run_with_one_line(tmp_path):
  def batch(step):
    if step == 12:
      (tmp_path / "run").rename(tmp_path / "elsewhere")  # removing it would race with the save in the background
    return toy.batch(step)

  with pytest.raises(StorageError, match=r"run is gone, was it moved or deleted|a checkpoint could not be written: "):
    train(tmp_path / "run", 30, batch=batch)


def test_a_refused_start_claims_nothing(tmp_path):
  train(tmp_path, 10)
  claims = []
  with pytest.raises(BadSetting, match=r"beyond config.train.steps=5"):
    train(tmp_path, 5, claim=lambda: claims.append(1))
  assert not claims


def test_a_file_in_the_way_of_the_workdir_is_one_line(tmp_path):
  (tmp_path / "run").write_text("in the way")
  with pytest.raises(StorageError, match=r"cannot make workdir .*run: .*; choose another --workdir"):
    train(tmp_path / "run")


def test_two_evaluators_cannot_give_the_same_name(tmp_path):
  with pytest.raises(ValueError, match="two evaluators give 'mean'"):
    train(tmp_path, 10, evaluators={"a": toy.evaluate, "b": toy.evaluate})
