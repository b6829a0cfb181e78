"""The loop compiles once, ends where it should, and writes what it should."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import train_toy as toy
from PIL import Image
from toy_runs import KEY, steps_in, train

from genjax.core import named_key
from genjax.train import compiled
from genjax.train.errors import Diverged
from genjax.train.files import read_metrics
from genjax.train.mesh import make_mesh


def test_a_run_trains_and_leaves_what_it_should(tmp_path):
  result = train(tmp_path, 20, sample_every=10, evaluate_every=10, samples=5, evaluators={"mean": toy.evaluate})
  assert result.step == int(result.state.step) == 20
  rows = read_metrics(tmp_path / "metrics.jsonl")
  assert [row["step"] for row in rows if "loss" in row] == [5, 10, 15, 20]
  assert [row["step"] for row in rows if "eval/mean" in row] == [10, 20]
  assert rows[-2]["loss"] < rows[0]["loss"]
  assert all(row["clock"]["steps_per_second"] > 0 for row in rows if "loss" in row)
  assert [row["step"] for row in rows if "compile_s" in row.get("clock", {})] == [5]
  assert sorted(os.listdir(tmp_path / "samples")) == [f"step_{s:08d}.png" for s in (0, 10, 20)]
  with Image.open(tmp_path / "samples" / "step_00000020.png") as picture:
    assert picture.size == (4, 5 * 4)
  assert steps_in(tmp_path / "checkpoints") == [10, 20]
  assert (tmp_path / "curves.png").exists()


def test_the_step_is_the_one_that_was_defined(tmp_path):
  system, state = toy.system(), None
  state = jax.jit(system.init)(named_key(KEY, "init"), {"image": jnp.asarray(toy.batch(0)["image"])})
  step = jax.jit(system.step)
  for i in range(10):
    state, metrics = step(jax.random.fold_in(KEY, i), state, {"image": jnp.asarray(toy.batch(i)["image"])})
  result = train(tmp_path, 10, mesh=make_mesh(jax.devices()[:1]))
  for trained, wanted in zip(jax.tree.leaves(result.state.params), jax.tree.leaves(state.params), strict=True):
    np.testing.assert_allclose(trained, wanted, rtol=1e-5, atol=1e-6)
  assert read_metrics(tmp_path / "metrics.jsonl")[-1]["loss"] == pytest.approx(float(metrics["loss"]), rel=1e-5)


@pytest.mark.parametrize("steps_per_call", [1, 5])
def test_the_step_is_traced_once_for_a_whole_run(tmp_path, steps_per_call):
  traces = []
  train(tmp_path, 20, system=toy.system(traces=traces), steps_per_call=steps_per_call)
  assert len(traces) == 1


def test_the_state_is_donated():
  system = toy.system()
  shapes = jax.eval_shape(system.init, KEY, {"image": jnp.zeros((16, 4, 4, 1))})
  call = jax.jit(compiled.make_calls(system, 2), donate_argnums=1)
  memory = call.lower(KEY, shapes, {"image": jax.ShapeDtypeStruct((2, 16, 4, 4, 1), jnp.float32)}).compile()
  donated = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves((shapes.params, shapes.pool)))
  assert memory.memory_analysis().alias_size_in_bytes >= donated
  state = jax.jit(system.init)(KEY, {"image": jnp.zeros((16, 4, 4, 1))})
  call(KEY, state, {"image": jnp.zeros((2, 16, 4, 4, 1))})
  assert state.pool.is_deleted()
  assert state.params["in"]["kernel"].is_deleted()


def test_a_line_holds_the_means_over_its_last_call(tmp_path):
  train(tmp_path / "one", 10, log_every=1)
  train(tmp_path / "five", 10, steps_per_call=5)
  single = [row["loss"] for row in read_metrics(tmp_path / "one" / "metrics.jsonl")]
  fused = [row["loss"] for row in read_metrics(tmp_path / "five" / "metrics.jsonl")]
  np.testing.assert_allclose(fused, [np.mean(single[:5]), np.mean(single[5:])], rtol=1e-5)


def test_one_device_and_eight_agree(tmp_path):
  runs = [train(tmp_path / str(n), 20, mesh=make_mesh(jax.devices()[:n]), steps_per_call=5) for n in (1, 8)]
  assert len(runs[1].state.pool.sharding.device_set) == 8
  assert runs[1].state.pool.addressable_shards[0].data.shape[0] == 1
  for one, eight in zip(*(jax.tree.leaves(run.state.params) for run in runs), strict=True):
    np.testing.assert_allclose(one, eight, rtol=1e-5, atol=2e-6)
  np.testing.assert_allclose(runs[0].state.pool, runs[1].state.pool, rtol=1e-6)


@pytest.mark.parametrize("steps_per_call", [1, 5])
@pytest.mark.parametrize("at", [13, 15])
def test_a_loss_that_is_nan_stops_the_run_with_step_and_leaf(tmp_path, at, steps_per_call):
  with pytest.raises(Diverged, match=f"diverged at step {at}: loss is nan; .*params/out/bias") as caught:
    train(tmp_path, 30, system=toy.system(poison_step=at), steps_per_call=steps_per_call)
  assert (caught.value.step, caught.value.metric, caught.value.leaf) == (at, "loss", "params/out/bias")
  assert steps_in(tmp_path / "checkpoints") == [10]
  assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [5, 10]


def test_a_state_that_is_not_finite_is_never_saved(tmp_path):
  system = toy.system(poison_step=20, poison="pool")
  silent = system._replace(step=lambda *a: (lambda s, m: (s, {"loss": m["loss"]}))(*system.step(*a)))
  with pytest.raises(Diverged, match=r"diverged at step 20: the state is not finite; .*: pool;"):
    train(tmp_path, 30, system=silent)
  assert steps_in(tmp_path / "checkpoints") == [10]


def test_a_key_with_a_name_is_never_that_of_a_step():
  named = {tuple(jax.random.key_data(named_key(KEY, name)).tolist()) for name in ("init", "sample", "evaluate/a")}
  steps = {
    tuple(row) for row in jax.random.key_data(jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(1000))).tolist()
  }
  assert len(named) == 3
  assert not named & steps


def test_the_preparation_of_the_data_is_part_of_init_and_step_with_a_key_of_its_own(tmp_path):
  def prepare(key, raw):
    return {"image": raw["image"] + 0.1 * jax.random.normal(key, raw["image"].shape)}

  result = train(tmp_path, 3, data=toy.data(prepare=prepare), mesh=make_mesh(jax.devices()[:1]))
  system, augment = toy.system(), lambda key: jax.random.fold_in(key, 0x617567)
  key = named_key(KEY, "init")
  state = jax.jit(lambda key, raw: system.init(key, prepare(augment(key), raw)))(key, toy.batch(0))
  step = jax.jit(lambda key, state, raw: system.step(key, state, prepare(augment(key), raw)))
  for i in range(3):
    state, _ = step(jax.random.fold_in(KEY, i), state, toy.batch(i))
  for trained, wanted in zip(jax.tree.leaves(result.state.params), jax.tree.leaves(state.params), strict=True):
    np.testing.assert_allclose(trained, wanted, rtol=1e-5, atol=1e-6)


def test_an_evaluator_gets_the_key_of_its_name_and_step(tmp_path):
  keys = {}

  def evaluate(key, state):
    keys[int(state.step)] = jax.random.key_data(key).tolist()
    return {}

  train(tmp_path, 10, evaluators={"samples": evaluate}, evaluate_every=5)
  named = named_key(KEY, "evaluate/samples")
  assert keys == {step: jax.random.key_data(jax.random.fold_in(named, step)).tolist() for step in (5, 10)}
