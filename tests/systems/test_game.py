"""The engine of games, with players that are single numbers: every update is worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.systems.averages import Average
from genjax.systems.game import Aux, game, variables_of
from genjax.systems.optimizers import sgd

PLAYERS = ("a", "b", "c")
START = {"a": 0.5, "b": -0.2, "c": 0.1}
SGD = sgd(learning_rate=0.1)


def _loss(player):
  """(own - others - mean of the data)^2 / 2; the memory counts updates."""

  def loss(key, variables, memory, part):
    w = {name: each["params"]["w"] for name, each in variables.items()}
    others = sum(value for name, value in w.items() if name != player)
    gap = w[player] - others - part["x"].mean()
    metrics = {f"{player}_x": part["x"].mean(), f"{player}_key": jax.random.uniform(key)}
    if "noise" in part:
      metrics[f"{player}_noise"] = part["noise"].mean()
    return gap**2 / 2, Aux({"seen": {"count": variables[player]["seen"]["count"] + 1}}, memory + 1, metrics)

  return loss


def _init(key, batch):
  variables = {
    player: {"params": {"w": jnp.float32(START[player])}, "seen": {"count": jnp.int32(0)}} for player in PLAYERS
  }
  return variables, dict.fromkeys(PLAYERS, jnp.int32(0))


def _game(order, **changes):
  optimizers = dict.fromkeys(PLAYERS, SGD)
  settings = {"init": _init, "losses": {player: _loss(player) for player in PLAYERS}, "optimizers": optimizers}
  return game(**(settings | {"order": order} | changes))


BATCH = {"x": np.arange(12, dtype=np.float32) / 10, "y": np.zeros((12, 2), np.float32)}


def _stepped(system):
  return jax.jit(system.step)(jax.random.key(1), system.init(jax.random.key(0), BATCH), BATCH)


def test_a_step_goes_through_the_order_and_every_update_has_its_part():
  optimizers = dict.fromkeys(PLAYERS, SGD) | {"c": sgd(learning_rate=0.1, schedule="linear", decay_steps=2)}
  state, metrics = _stepped(
    _game(
      (("c", 3), (("a", "b"), 1)),
      optimizers=optimizers,
      project={"b": lambda params: {"w": jnp.clip(params["w"], -0.1, 0.1)}},
      ema={"c": Average(0.5)},
    )
  )
  x = BATCH["x"].reshape(-1, 3).mean(0)  # of each part: every third example, so that devices exchange nothing
  a, b, c, average = (*START.values(), START["c"])
  for update in range(3):
    c -= 0.1 * (1 - update / 6) * (c - a - b - x[update])  # the learning rate falls to 0 in 2 steps of 3 updates
    average = (average + c) / 2
  gap_a, gap_b = a - b - c - x[2], b - a - c - x[2]  # of one point, and of the last part
  a, b = a - 0.1 * gap_a, np.clip(b - 0.1 * gap_b, -0.1, 0.1)
  np.testing.assert_allclose([state.params[player]["w"] for player in PLAYERS], [a, b, c], rtol=1e-5)
  np.testing.assert_allclose(state.ema["c"]["params"]["w"], average, rtol=1e-5)
  assert {player: int(state.memory[player]) for player in PLAYERS} == {"a": 1, "b": 1, "c": 3}
  assert {player: int(state.collections[player]["seen"]["count"]) for player in PLAYERS} == {"a": 1, "b": 1, "c": 3}
  assert state.ema["c"]["seen"]["count"] == 3  # a counter is not averaged
  assert state.step == 1
  np.testing.assert_allclose([metrics["a_x"], metrics["c_x"]], [x[2], x.mean()], rtol=1e-6)
  np.testing.assert_allclose([metrics["a_gradient"], metrics["b_gradient"]], np.abs([gap_a, gap_b]), rtol=1e-5)


def test_players_together_share_what_is_drawn_and_have_keys_of_their_own():
  def draw(key, parts):
    k, m = parts["x"].shape
    return {**parts, "noise": jax.random.normal(key, (k, m))}

  _, metrics = _stepped(_game("simultaneous", draw=draw))
  assert metrics["a_noise"] == metrics["b_noise"] == metrics["c_noise"]
  assert len({float(metrics[f"{player}_key"]) for player in PLAYERS}) == 3
  state, metrics = _stepped(_game((("a", 1), ("b", 1), ("c", 1)), draw=draw))
  assert len({float(metrics[f"{player}_noise"]) for player in PLAYERS}) == 3


def test_consensus_of_three_players_adds_the_gradient_of_half_the_squared_length():
  state, _ = _stepped(_game("simultaneous", consensus=0.7))
  jacobian = 2 * np.eye(3) - 1  # each gradient is own - others - x
  w = np.array(list(START.values()))
  v = jacobian @ w - BATCH["x"].mean()
  wanted = w - 0.1 * (v + 0.7 * jacobian.T @ v)
  np.testing.assert_allclose([state.params[player]["w"] for player in PLAYERS], wanted, rtol=1e-5)


def test_a_player_that_looks_ahead_differentiates_through_its_opponents_steps():
  state, _ = _stepped(_game((("c", 1), ("a", 1), ("b", 1)), unroll={"a": ("c", 2)}))
  x, (a, b, c) = BATCH["x"].mean(), START.values()
  c -= 0.1 * (c - a - b - x)
  later, slope = c, 0.0  # of the opponent's point, by a
  for _ in range(2):
    later, slope = later - 0.1 * (later - a - b - x), slope - 0.1 * (slope - 1)
  gap = a - b - later - x
  np.testing.assert_allclose(state.params["a"]["w"], a - 0.1 * gap * (1 - slope), rtol=1e-5)
  np.testing.assert_allclose(state.params["c"]["w"], c, rtol=1e-5)  # the look ahead moves nobody


def test_a_view_is_of_the_variables_in_use():
  views = {
    "sample": lambda key, variables, n: jnp.full(n, variables["c"]["params"]["w"]),
    "score": lambda variables, x: x * variables["a"]["params"]["w"],
  }
  system = _game((("c", 1), (("a", "b"), 1)), ema={"c": Average(0.5)}, views=views)
  state, _ = _stepped(system)
  sample = system.views["sample"]
  np.testing.assert_array_equal(sample(jax.random.key(0), state, 2), [state.ema["c"]["params"]["w"]] * 2)
  assert system.views["score"](state, 2.0) == 2 * state.params["a"]["w"]
  assert set(variables_of(state)) == set(PLAYERS)
  assert _stepped(_game("simultaneous"))[0].ema is None


def test_parts_of_an_update_have_keys_of_their_own_and_pass_collections_and_memory_on():
  """The gradient is linear in the data, so that its mean over parts is that of the whole."""
  order = (("a", 2), (("b", "c"), 1))
  draw = lambda key, parts: {**parts, "noise": jax.random.normal(key, parts["x"].shape)}
  (whole, metrics), (state, means) = (_stepped(_game(order, accumulate=count, draw=draw)) for count in (1, 3))
  for player in PLAYERS:
    np.testing.assert_allclose(state.params[player]["w"], whole.params[player]["w"], rtol=1e-6)
    for name in (f"{player}_x", f"{player}_gradient", f"{player}_noise"):
      np.testing.assert_allclose(means[name], metrics[name], rtol=1e-5)
    assert means[f"{player}_key"] != metrics[f"{player}_key"]
    counts = (state.memory[player], state.collections[player]["seen"]["count"])
    assert counts == (3 * whole.memory[player],) * 2


@pytest.mark.parametrize(
  ("changes", "says"),
  [
    ({"order": (("a", 1), ("d", 1))}, "'d' is no player of this game; there are a, b, c"),
    ({"order": (("a", 1), ("b", 1))}, "player 'c' never moves"),
    ({"optimizers": {"a": SGD, "b": SGD}}, "player 'c' never moves"),
    ({"order": ((("a", "b"), 0), ("c", 1))}, "updates of a and b 0; use at least 1"),
    ({"order": (("a", 1), (("b", "c"), 1)), "consensus": 1.0}, "set order='simultaneous' and unroll=0"),
    ({"unroll": {"a": ("d", 2)}}, "'d' is no player"),
    ({"consensus": 1.0, "accumulate": 2}, "the mean over parts is another gradient; accumulate=1"),
    ({"unroll": {"a": ("b", 2)}, "accumulate": 2}, "the mean over parts is another gradient; accumulate=1"),
    ({"accumulate": 0}, "accumulate 0; use at least 1"),
    ({"ema": {"a": Average(1.0)}}, r"ema 1.0 is not in \[0, 1\)"),
    ({"ema": {"a": Average(0.9, half_life=10.0)}}, "set one of them"),
  ],
)
def test_what_cannot_work_is_refused(changes, says):
  with pytest.raises(ValueError, match=says):
    _game(**({"order": "simultaneous"} | changes))


def test_a_batch_that_does_not_divide_is_refused():
  system = _game((("c", 5), (("a", "b"), 1)))
  with pytest.raises(ValueError, match="batch 12 of 'x' is not a multiple of 5"):
    jax.eval_shape(system.init, jax.random.key(0), BATCH)
  system = _game("simultaneous", accumulate=5)
  with pytest.raises(ValueError, match="batch of an update 12 is not a multiple of accumulate 5"):
    jax.eval_shape(system.init, jax.random.key(0), BATCH)
