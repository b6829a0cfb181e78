"""A run goes on exactly where it stopped."""

import json
import os

import jax
import numpy as np
import optax
import pytest
import train_toy as toy
from toy_runs import bits, failing, steps_in, timeless, train

from genjax.train.checkpoint import Checkpoints
from genjax.train.errors import CheckpointMismatch
from genjax.train.mesh import make_mesh


@pytest.mark.parametrize("steps_per_call", [1, 5])
def test_stopping_and_resuming_is_the_same_as_never_stopping_bit_for_bit(tmp_path, steps_per_call):
  settings = {
    "steps_per_call": steps_per_call,
    "sample_every": 10,
    "evaluate_every": 10,
    "evaluators": {"mean": toy.evaluate},
  }
  whole = train(tmp_path / "whole", 30, **settings)
  for at in (11, 24):
    with pytest.raises(RuntimeError, match="power cut"):
      train(tmp_path / "cut", 30, batch=failing(at), **settings)
  rest = train(tmp_path / "cut", 30, **settings)
  assert bits(rest.state) == bits(whole.state)
  assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
  for name in os.listdir(tmp_path / "whole" / "samples"):
    assert (tmp_path / "cut" / "samples" / name).read_bytes() == (tmp_path / "whole" / "samples" / name).read_bytes()


def test_a_finished_run_trains_nothing_more_and_makes_what_is_missing(tmp_path, capsys):
  traces = []
  settings = {"sample_every": 10, "evaluators": {"mean": toy.evaluate}, "system": toy.system(traces=traces)}
  first = train(tmp_path, 10, **settings)
  (tmp_path / "samples" / "step_00000010.png").unlink()
  lines = (tmp_path / "metrics.jsonl").read_text()
  again = train(tmp_path, 10, **settings, quiet=False)
  assert len(traces) == 1
  assert bits(again.state) == bits(first.state)
  assert (tmp_path / "samples" / "step_00000010.png").exists()
  assert (tmp_path / "metrics.jsonl").read_text() == lines
  assert "restored the checkpoint of step 10; nothing is left to train" in capsys.readouterr().out


def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(tmp_path):
  whole = train(tmp_path / "whole", 30)
  with pytest.raises(RuntimeError, match="power cut"):
    train(tmp_path / "cut", 30, batch=failing(24))
  (tmp_path / "cut" / "checkpoints" / "20" / "state" / "manifest.ocdbt").write_bytes(b"?")
  assert bits(train(tmp_path / "cut", 30).state) == bits(whole.state)
  assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
  assert steps_in(tmp_path / "cut" / "checkpoints") == [10, 20, 30]
  assert steps_in(tmp_path / "cut" / "checkpoints_bad") == [20]


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
  train(tmp_path, 10)
  with pytest.raises(CheckpointMismatch, match="optimiser"):
    train(tmp_path, 20, system=toy.system(optimiser=optax.adam(1e-3)))
  assert steps_in(tmp_path / "checkpoints") == [10]


def test_a_checkpoint_written_by_eight_devices_goes_on_with_one(tmp_path):
  train(tmp_path, 10)
  result = train(tmp_path, 20, mesh=make_mesh(jax.devices()[:1]))
  whole = train(tmp_path / "whole", 20)
  for one, eight in zip(jax.tree.leaves(result.state.params), jax.tree.leaves(whole.state.params), strict=True):
    np.testing.assert_allclose(one, eight, rtol=1e-5, atol=2e-6)


def test_the_checkpoint_is_never_ahead_of_the_log(tmp_path, monkeypatch):
  seen = []
  save = Checkpoints.save

  def spy(self, step, state, known=None):
    seen.append((step, [json.loads(x)["step"] for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]))
    save(self, step, state, known)

  monkeypatch.setattr(Checkpoints, "save", spy)
  train(tmp_path, 20)
  assert seen == [(10, [5, 10]), (20, [5, 10, 15, 20])]
