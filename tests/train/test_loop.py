"""The loop compiles once, ends where it should, and goes on exactly where it stopped."""

import json
import os
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import train_toy as toy
from PIL import Image

from genjax.core import System, named_key
from genjax.train import compiled, loop, pace
from genjax.train.checkpoint import Checkpoints
from genjax.train.errors import BadSetting, CheckpointMismatch, Diverged, Interrupted, StorageError
from genjax.train.files import read_metrics
from genjax.train.mesh import make_mesh

KEY = jax.random.key(0)
FAST = {"log_every": 5, "checkpoint_every": 10, "quiet": True}


def train(workdir, steps=20, *, system=None, batch=toy.batch, **settings):
  settings = FAST | settings
  data = settings.pop("data", None) or toy.data(batch)
  return loop.train(system or toy.system(), data, workdir=workdir, key=KEY, steps=steps, **settings)


def bits(state):
  return [
    np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x).tobytes()
    for x in jax.tree.leaves(state)
  ]


def timeless(workdir):
  """The lines of metrics.jsonl without what depends on the clock."""
  return [{k: v for k, v in row.items() if k != "clock"} for row in read_metrics(workdir / "metrics.jsonl")]


def steps_in(folder):
  return sorted(int(p.name) for p in folder.iterdir())


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


def failing(at):
  def batch(step):
    if step == at:
      raise RuntimeError("power cut")
    return toy.batch(step)

  return batch


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


def signalling(at, number):
  def batch(step):
    if step == at:
      os.kill(os.getpid(), number)
    return toy.batch(step)

  return batch


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_stops_and_the_rest_is_the_same(tmp_path, number, code, capfd):
  before = signal.getsignal(number)
  with pytest.raises(Interrupted, match="the same command goes on from there") as caught:
    train(tmp_path / "cut", 30, batch=signalling(17, number))
  assert signal.getsignal(number) is before
  assert (caught.value.signal, caught.value.exit_code) == (number, code)
  assert caught.value.step in steps_in(tmp_path / "cut" / "checkpoints")
  assert 16 <= caught.value.step <= 18
  assert "finishing this call, then saving" in capfd.readouterr().err
  rest = train(tmp_path / "cut", 30)
  assert bits(rest.state) == bits(train(tmp_path / "whole", 30).state)
  assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")


def reading(monkeypatch, at, act):
  """Calls `act` while the loop waits for the call that ends at a step."""
  read = loop.read_outcome

  def spy(step, *rest):
    if step == at:
      act()
    return read(step, *rest)

  monkeypatch.setattr(loop, "read_outcome", spy)


def test_a_signal_while_a_call_is_waited_for_starts_no_other_call(tmp_path, monkeypatch):
  reading(monkeypatch, 20, lambda: signal.raise_signal(signal.SIGTERM))
  with pytest.raises(Interrupted, match="at step 20 of 30"):
    train(tmp_path, 30, steps_per_call=5)


def test_a_long_call_is_done_in_parts_and_stops_between_them_with_the_same_bits_and_lines(tmp_path, monkeypatch):
  whole = train(tmp_path / "whole", 20, steps_per_call=5)
  monkeypatch.setattr(pace, "_PART_S", 0.0)  # so a step is a part
  monkeypatch.setattr(pace, "_AHEAD_S", 0.0)
  with monkeypatch.context() as signalled:
    reading(signalled, 12, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted, match="at step 12 of 20"):
      train(tmp_path / "cut", 20, steps_per_call=5)
  rest = train(tmp_path / "cut", 20, steps_per_call=5)
  assert bits(rest.state) == bits(whole.state)
  assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")


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


def test_a_second_ctrl_c_is_not_waited_for(tmp_path):
  with pytest.raises(KeyboardInterrupt):
    train(tmp_path, 30, batch=twice)


def twice(step):
  if step == 12:
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
  return toy.batch(step)


def test_outside_the_main_thread_it_trains_too_and_installs_no_handler(tmp_path):
  before, seen = signal.getsignal(signal.SIGTERM), []

  def work():
    seen.append(train(tmp_path, 10, batch=lambda s: seen.append(signal.getsignal(signal.SIGTERM)) or toy.batch(s)))

  thread = threading.Thread(target=work)
  thread.start()
  thread.join()
  assert seen[-1].step == 10
  assert set(seen[:-1]) == {before}


def test_a_file_in_the_way_of_the_workdir_is_one_line(tmp_path):
  (tmp_path / "run").write_text("in the way")
  with pytest.raises(StorageError, match=r"cannot make workdir .*run: .*; choose another --workdir"):
    train(tmp_path / "run")


def test_two_evaluators_cannot_give_the_same_name(tmp_path):
  with pytest.raises(ValueError, match="two evaluators give 'mean'"):
    train(tmp_path, 10, evaluators={"a": toy.evaluate, "b": toy.evaluate})


def test_a_key_with_a_name_is_never_that_of_a_step():
  named = {tuple(jax.random.key_data(named_key(KEY, name)).tolist()) for name in ("init", "sample", "evaluate/a")}
  steps = {
    tuple(row) for row in jax.random.key_data(jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(1000))).tolist()
  }
  assert len(named) == 3
  assert not named & steps


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
