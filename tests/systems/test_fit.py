"""The engine by numpy on a line through points: its updates, its average, its parts of a batch, its views."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.systems.fit import State, fit, variables_of
from genjax.systems.optimizers import sgd

X = np.array([1.0, 2.0, -1.0, 0.5], np.float32)
BATCH = {"x": X, "y": 3 * X + np.array([0.1, -0.2, 0.3, 0.0], np.float32)}
START = 0.5


def init(key, batch):
  return {"params": {"slope": jnp.float32(START)}, "seen": {"count": jnp.int32(0), "sum": jnp.float32(0)}}


def loss(key, variables, batch):
  """Mean squared error of y = slope x; the other collection counts passes and adds up the means of x."""
  seen = {"count": variables["seen"]["count"] + 1, "sum": variables["seen"]["sum"] + batch["x"].mean()}
  errors = variables["params"]["slope"] * batch["x"] - batch["y"]
  return (errors**2).mean(), ({"seen": seen}, {"worst": jnp.abs(errors).max(), "key": jax.random.uniform(key)})


def gradient(slope, x=BATCH["x"], y=BATCH["y"]):
  return (2 * x * (slope * x - y)).mean()


def stepped(system, count, key=0):
  state = jax.jit(system.init)(jax.random.key(0), BATCH)
  for i in range(count):
    state, metrics = jax.jit(system.step)(jax.random.fold_in(jax.random.key(key), i), state, BATCH)
  return state, metrics


def test_a_step_descends_the_gradient_and_carries_the_other_collections():
  state, metrics = stepped(fit(init, loss, sgd(learning_rate=0.1)), 2)
  first = START - 0.1 * gradient(START)
  np.testing.assert_allclose(state.params["slope"], first - 0.1 * gradient(first), rtol=1e-6)
  np.testing.assert_allclose(metrics["loss"], ((first * X - BATCH["y"]) ** 2).mean(), rtol=1e-5)
  np.testing.assert_allclose(metrics["gradient"], abs(gradient(first)), rtol=1e-5)
  np.testing.assert_allclose(metrics["worst"], np.abs(first * X - BATCH["y"]).max(), rtol=1e-5)
  assert metrics["key"] == jax.random.uniform(jax.random.fold_in(jax.random.key(0), 1))  # the loss has the step's key
  assert (state.step, state.collections["seen"]["count"]) == (2, 2)
  assert state.ema is None


def test_the_average_decays_per_update_and_a_counter_in_it_is_the_newest():
  state, _ = stepped(fit(init, loss, sgd(learning_rate=0.1), ema=0.8), 2)
  first = START - 0.1 * gradient(START)
  second = first - 0.1 * gradient(first)
  averaged = 0.8 * (0.8 * START + 0.2 * first) + 0.2 * second
  np.testing.assert_allclose(variables_of(state)["params"]["slope"], averaged, rtol=1e-6)
  np.testing.assert_allclose(variables_of(state)["seen"]["sum"], 0.8 * 0.2 * X.mean() + 0.2 * 2 * X.mean(), rtol=1e-6)
  assert variables_of(state)["seen"]["count"] == 2


def test_parts_of_a_batch_have_keys_of_their_own_and_pass_the_collections_on():
  state, metrics = stepped(fit(init, loss, sgd(learning_rate=0.1), accumulate=2), 1)
  parts = [(X[0::2], BATCH["y"][0::2]), (X[1::2], BATCH["y"][1::2])]
  grads = np.mean([gradient(START, *part) for part in parts])
  np.testing.assert_allclose(state.params["slope"], START - 0.1 * grads, rtol=1e-6)
  worst = np.mean([np.abs(START * x - y).max() for x, y in parts])
  np.testing.assert_allclose(metrics["worst"], worst, rtol=1e-6)
  keys = jax.random.split(jax.random.fold_in(jax.random.key(0), 0), 2)
  np.testing.assert_allclose(metrics["key"], np.mean([jax.random.uniform(key) for key in keys]), rtol=1e-6)
  np.testing.assert_allclose(state.collections["seen"]["sum"], sum(x.mean() for x, _ in parts), rtol=1e-6)


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_a_view_of_a_state_reads_the_variables_in_use(ema):
  def sample(key, variables, n):
    """Says what it gives."""
    return variables["params"]["slope"] * jax.random.normal(key, (n,))

  predict = lambda variables, x: variables["params"]["slope"] * x
  system = fit(init, loss, sgd(learning_rate=0.1), ema=ema, views={"predict": predict, "sample": sample})
  state, _ = stepped(system, 1)
  slope = float(variables_of(state)["params"]["slope"])
  np.testing.assert_allclose(jax.jit(system.views["predict"])(state, X), slope * X, rtol=1e-6)
  drawn = jax.jit(system.views["sample"], static_argnums=2)(jax.random.key(1), state, 3)
  np.testing.assert_allclose(drawn, slope * jax.random.normal(jax.random.key(1), (3,)), rtol=1e-6)
  assert system.views["sample"].__doc__ == "Says what it gives."


def test_no_two_leaves_of_the_first_state_share_memory():
  system = fit(init, loss, sgd(learning_rate=0.1, momentum=0.9), ema=0.9)
  state = jax.jit(system.init)(jax.random.key(0), BATCH)
  state, _ = jax.jit(system.step, donate_argnums=1)(jax.random.key(0), state, BATCH)
  assert isinstance(state, State)


def test_what_does_not_go_together_is_refused():
  with pytest.raises(ValueError, match=r"ema 1\.0"):
    fit(init, loss, sgd(), ema=1.0)
  with pytest.raises(ValueError, match="accumulate 0"):
    fit(init, loss, sgd(), accumulate=0)
  system = fit(init, loss, sgd(), accumulate=3)
  with pytest.raises(ValueError, match="batch 4 is not a multiple of accumulate 3"):
    system.init(jax.random.key(0), BATCH)
