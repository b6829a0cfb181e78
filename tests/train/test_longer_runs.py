"""A run may go on longer, at other steps than planned, with other metrics; or start from other weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import train_toy as toy
from toy_runs import bits, failing, steps_in, timeless, train

from genjax.train.errors import BadSetting
from genjax.train.files import read_metrics
from genjax.train.mesh import make_mesh

DENSE = {"sample_every": 5, "evaluate_every": 5, "evaluators": {"mean": toy.evaluate}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A run of 30 steps that nobody stopped: its workdir and its state."""
  workdir = tmp_path_factory.mktemp("whole")
  return workdir, train(workdir, 30, **DENSE).state


def test_a_finished_run_goes_on_to_more_steps_as_if_it_had_never_ended(tmp_path, whole):
  """The old end, 17, is due for nothing in the longer run; what was made there stays."""
  workdir, state = whole
  train(tmp_path, 17, **DENSE)
  assert steps_in(tmp_path / "checkpoints") == [10, 17]
  longer = train(tmp_path, 30, **DENSE)
  assert bits(longer.state) == bits(state)
  assert steps_in(tmp_path / "checkpoints") == [17, 20, 30]
  rows = timeless(tmp_path)
  assert [row["step"] for row in rows if "loss" in row] == [5, 10, 15, 17, 20, 25, 30]
  assert [row["step"] for row in rows if "eval/mean" in row] == [5, 10, 15, 17, 20, 25, 30]
  assert [row for row in rows if row["step"] != 17] == timeless(workdir)
  names = {path.name for path in (tmp_path / "samples").iterdir()}
  assert names == {path.name for path in (workdir / "samples").iterdir()} | {"step_00000017.png"}


def test_a_run_that_was_killed_goes_on_with_other_intervals_and_metrics_to_the_same_state(tmp_path, whole):
  with pytest.raises(RuntimeError, match="power cut"):
    train(tmp_path, 30, batch=failing(24), keep=3, **DENSE)
  new = {"mean": toy.evaluate, "more": lambda key, state: {"steps": float(state.step)}}
  settings = {"log_every": 4, "checkpoint_every": 6, "sample_every": 15, "evaluate_every": 10, "keep": 1}
  rest = train(tmp_path, 30, **settings, evaluators=new)
  assert bits(rest.state) == bits(whole[1])
  rows = read_metrics(tmp_path / "metrics.jsonl")
  assert [row["step"] for row in rows if "loss" in row] == [5, 10, 15, 20, 24, 28, 30]
  assert [row["step"] for row in rows if "eval/mean" in row] == [5, 10, 15, 20, 30]
  assert [row["step"] for row in rows if "eval/steps" in row] == [30]
  assert steps_in(tmp_path / "checkpoints") == [30]


def test_a_run_may_go_on_with_other_steps_a_call_from_wherever_it_is(tmp_path, whole):
  train(tmp_path, 10, **DENSE)
  train(tmp_path, 20, steps_per_call=4, log_every=4, checkpoint_every=4)  # first the rest of the call of steps 9 to 12
  assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl") if "loss" in row] == [5, 10, 12, 16, 20]
  result = train(tmp_path, 30, steps_per_call=5, **DENSE)
  for fused, single in zip(jax.tree.leaves(result.state.params), jax.tree.leaves(whole[1].params), strict=True):
    np.testing.assert_allclose(fused, single, rtol=1e-5, atol=2e-6)


def test_a_workdir_at_a_step_beyond_the_end_is_refused(tmp_path):
  train(tmp_path, 20)
  with pytest.raises(BadSetting, match=r"the workdir is at step 20, beyond config.train.steps=10; use 20 or more"):
    train(tmp_path, 10)
  assert steps_in(tmp_path / "checkpoints") == [10, 20]


def test_a_finished_run_that_gets_its_first_metrics_is_evaluated(tmp_path):
  train(tmp_path, 10)
  train(tmp_path, 10, evaluators={"mean": toy.evaluate})
  assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl") if "eval/mean" in row] == [10]


def test_the_start_of_a_run_says_on_what_it_trains_and_how_long_it_will_take(tmp_path, capsys):
  train(tmp_path, 20, quiet=False, describe="noise: images of 4x4x1", sample_every=10, steps_per_call=5)
  lines = capsys.readouterr().out.splitlines()
  assert lines[:3] == [
    "8 cpu devices; noise: images of 4x4x1, 16 a step; 208 parameters",
    "drawing 64 samples before the first step ...",
    "compiling the training step ...",
  ]
  assert lines[3].startswith("compiled in ")
  assert lines[4].endswith("of training to step 20")
  assert lines[-1].startswith("step 20/20")


def test_a_quiet_run_says_nothing(tmp_path, capsys):
  train(tmp_path, 5, describe="noise")
  assert capsys.readouterr().out == ""


def test_samples_that_show_as_text_are_text_files_and_are_made_once(tmp_path):
  shown = []

  def show(images):
    shown.append(images.shape)
    return "a line\nand another"

  data = toy.data(show=show)
  train(tmp_path, 10, data=data, sample_every=5, samples=3)
  assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == [f"step_{s:08d}.txt" for s in (0, 5, 10)]
  assert (tmp_path / "samples" / "step_00000010.txt").read_text() == "a line\nand another\n"
  assert shown == [(3, 4, 4, 1)] * 3
  train(tmp_path, 10, data=data, sample_every=5, samples=3)
  assert len(shown) == 3


def test_a_new_run_starts_with_the_weights_that_initial_puts_in_place_and_one_that_goes_on_does_not(tmp_path):
  other = train(tmp_path / "other", 5, mesh=make_mesh(jax.devices()[:1])).state  # on one device, and it must live on
  seen = []

  def initial(fresh):
    seen.append(int(fresh.step))
    return fresh._replace(params=other.params, pool=jnp.ones_like(fresh.pool))

  first = {}
  probe = {"probe": lambda key, state: first.setdefault("bias", np.asarray(state.params["out"]["bias"])) is None or {}}
  system = toy.system()
  still = system._replace(step=lambda key, state, batch: (state._replace(step=state.step + 1), {}))
  train(tmp_path / "new", 5, system=still, initial=initial, evaluators=probe, evaluate_every=5)
  np.testing.assert_array_equal(first["bias"], other.params["out"]["bias"])
  train(tmp_path / "new", 10, initial=initial)
  assert seen == [0]


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda s: s._replace(step=s.step + 5), "a state of step 5; a run starts at 0, so take the weights alone"),
    (lambda s: s._replace(pool=s.pool[:4]), r"initial gave pool: float32\[4, 16\]; .* has float32\[8, 16\]"),
    (lambda s: s._replace(params={}), r"initial gave params/in/kernel: None; the fresh state has float32\[16, 6\]"),
  ],
)
def test_an_initial_state_of_another_form_is_named(tmp_path, change, message):
  with pytest.raises(ValueError, match=message):
    train(tmp_path, 5, initial=change)
