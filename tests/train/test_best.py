"""The state of the best evaluation is kept beside the newest ones, whatever is pruned, and however the run went."""

import jax
import numpy as np
import pytest
import train_toy as toy

from genjax.train import loop
from genjax.train.checkpoint import BEST, Checkpoints
from genjax.train.errors import BadSetting
from genjax.train.log import Log
from genjax.train.mesh import make_mesh

VALUES = {5: 0.5, 10: 0.4, 15: 0.2, 20: 0.3, 25: 0.2, 30: float("nan")}
SETTINGS = {"log_every": 5, "checkpoint_every": 10, "evaluate_every": 5, "keep": 1, "best": "error", "quiet": True}
BETTER = {"error": "lower", "accuracy": "higher", "other": "neither"}


def train(workdir, steps=30, *, values=VALUES, batch=toy.batch, **more):
  numbers = lambda value: {"error": value, "accuracy": 1 - value, "other": 1.0}
  evaluators = {"errors": lambda key, state: numbers(values[int(state.step)])}
  settings = SETTINGS | {"evaluators": evaluators, "better": BETTER, "mesh": make_mesh(jax.devices()[:1])} | more
  return loop.train(toy.system(), toy.data(batch), workdir=workdir, key=jax.random.key(0), steps=steps, **settings)


def kept(workdir):
  """Steps in best/, and the newest state there."""
  like = jax.eval_shape(toy.system().init, jax.random.key(0), {"image": np.zeros((16, 4, 4, 1), np.float32)})
  one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  checkpoints = Checkpoints(workdir / BEST, keep=2)
  state, _ = checkpoints.restore(jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=one), like))
  steps = checkpoints.steps()
  checkpoints.close()
  return steps, jax.tree.map(np.asarray, (state.params, state.pool, int(state.step)))


def failing(at):
  def batch(step):
    if step == at:
      raise RuntimeError("power cut")
    return toy.batch(step)

  return batch


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("whole")
  train(workdir)
  return workdir


def test_the_earliest_of_the_lowest_is_kept_though_no_other_checkpoint_is_of_its_step(whole):
  steps, (params, pool, step) = kept(whole)
  assert steps == [15]
  assert step == 15
  assert sorted(int(path.name) for path in (whole / "checkpoints").iterdir()) == [30]
  short = loop.train(
    toy.system(),
    toy.data(),
    workdir=whole / "short",
    key=jax.random.key(0),
    steps=15,
    log_every=5,
    checkpoint_every=5,
    mesh=make_mesh(jax.devices()[:1]),
    quiet=True,
  ).state
  jax.tree.map(np.testing.assert_array_equal, (params, pool), (short.params, np.asarray(short.pool)))


@pytest.mark.parametrize("cuts", [(17,), pytest.param((12, 16, 23, 29), marks=pytest.mark.slow)])
def test_a_run_that_was_killed_keeps_the_same_best(tmp_path, whole, cuts):
  for at in cuts:
    with pytest.raises(RuntimeError, match="power cut"):
      train(tmp_path, batch=failing(at))
  train(tmp_path)
  (steps, state), (wanted_steps, wanted) = kept(tmp_path), kept(whole)
  assert steps == wanted_steps
  jax.tree.map(np.testing.assert_array_equal, state, wanted)


def test_a_later_best_of_a_killed_attempt_gives_way_to_what_the_log_says(tmp_path):
  """As on other devices, where a value may come out otherwise the second time."""
  with pytest.raises(RuntimeError, match="power cut"):
    train(tmp_path, batch=failing(18))
  assert kept(tmp_path)[0] == [15]
  train(tmp_path, values=VALUES | {15: 0.9, 20: 0.6, 25: 0.39})  # goes on from step 10
  assert kept(tmp_path)[0] == [25]


def test_a_finished_run_keeps_its_best(whole):
  train(whole)
  assert kept(whole)[0] == [15]


def test_the_highest_is_kept_where_higher_is_better(tmp_path):
  train(tmp_path, values=VALUES | {20: 0.05}, best="accuracy")
  assert kept(tmp_path)[0] == [20]


def test_a_run_that_goes_on_by_another_number_keeps_the_best_of_the_states_that_can_still_be_had(tmp_path):
  train(tmp_path, 25)
  assert kept(tmp_path)[0] == [15]
  # The highest so far was at step 5, whose state is gone; that of 30 is above that of 15, which is still there.
  train(tmp_path, 30, values={30: 0.4}, better={"error": "higher"})
  assert kept(tmp_path)[0] == [30]


def test_a_finished_run_that_is_asked_for_its_best_only_now_has_its_last_state(tmp_path):
  train(tmp_path, 10, best="")
  assert not (tmp_path / BEST).exists()
  train(tmp_path, 10)
  assert kept(tmp_path)[0] == [10]


def test_the_log_knows_the_earliest_of_the_best(tmp_path):
  log = Log(tmp_path, quiet=True)
  best = lambda log, better="lower", among=(1, 2, 3, 4): log.best("eval/error", better, among)
  assert best(log) is None
  for step, value in ((1, 3.0), (2, float("nan")), (3, 1.0), (4, 1.0)):
    log.scalars(step, {"loss": -1.0})
    log.scalars(step, {"eval/error": value})
  assert best(log) == 3
  assert best(log, "higher") == 1
  assert best(log, "higher", (2, 3, 4)) == 3
  assert best(log, "lower", (2,)) is None
  log.close()
  again = Log(tmp_path, step=2, quiet=True)
  assert best(again) == 1
  again.close()


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"evaluators": None, "evaluate_every": 0}, r"best='error', but there is nothing to evaluate; use ''"),
    ({"best": "eror"}, r"best='eror' is not measured; use one of error, accuracy, or ''"),
    ({"best": "other"}, r"best='other' is measured, but neither lower nor higher is better; use one of error, acc"),
    ({"better": None}, r"best='error' is not measured; use ''"),
  ],
)
def test_what_cannot_be_the_best_is_refused_before_anything_is_compiled(tmp_path, settings, message):
  with pytest.raises(BadSetting, match=message):
    train(tmp_path / "run", **settings)
  assert not (tmp_path / "run").exists()


def test_a_best_that_no_evaluator_gives_is_named(tmp_path):
  with pytest.raises(ValueError, match=r"no evaluator gives 'mean', .*; they give error, accuracy, other"):
    train(tmp_path, 5, best="mean", better={"mean": "lower"}, checkpoint_every=5)


def test_without_it_there_is_no_such_folder(tmp_path):
  train(tmp_path, 5, best="", checkpoint_every=5)
  assert not (tmp_path / BEST).exists()
