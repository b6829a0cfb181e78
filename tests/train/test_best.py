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


def train(workdir, steps=30, *, values=VALUES, batch=toy.batch, **more):
  evaluators = {"errors": lambda key, state, sample: {"error": values[int(state.step)], "other": 1.0}}
  settings = SETTINGS | {"evaluators": evaluators, "mesh": make_mesh(jax.devices()[:1])} | more
  return loop.run(toy.system(), batch, workdir=workdir, key=jax.random.key(0), steps=steps, **settings)


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
  short = loop.run(
    toy.system(),
    toy.batch,
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


def test_the_log_knows_the_earliest_of_the_lowest(tmp_path):
  log = Log(tmp_path, quiet=True)
  assert log.lowest("eval/error") is None
  for step, value in ((1, 3.0), (2, float("nan")), (3, 1.0), (4, 1.0)):
    log.scalars(step, {"loss": -1.0})
    log.scalars(step, {"eval/error": value})
  assert log.lowest("eval/error") == 3
  log.close()
  again = Log(tmp_path, step=2, quiet=True)
  assert again.lowest("eval/error") == 1
  again.close()


def test_what_cannot_be_the_best_is_refused(tmp_path):
  with pytest.raises(BadSetting, match=r"config.train.best='error', but there is nothing to evaluate"):
    train(tmp_path, evaluators=None, evaluate_every=0)
  with pytest.raises(BadSetting, match=r"config.train.best='eror' is not evaluated; use one of error, other, or ''"):
    train(tmp_path, best="eror")


def test_without_it_there_is_no_such_folder(tmp_path):
  train(tmp_path, 5, best="", checkpoint_every=5)
  assert not (tmp_path / BEST).exists()
