"""WINN with several stages (eq 2.9): what is kept, what is handed over, what a sample goes through."""

from functools import cache

import contract
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.convnet import ConvNet
from genjax.nets.noise import gaussian
from genjax.ops import langevin
from genjax.systems import cascade
from genjax.systems.optimizers import adam
from genjax.systems.winn import path_of, winn

SHAPE = (4, 4, 1)
M, BATCH, STEPS, STARTS = 8, 16, 2, 32
NET = ConvNet(((4,), (4,)))


def _system(**changes):
  settings = {
    "passes": 1,
    "minibatch": M,
    "optimizer": adam(learning_rate=1e-2, b1=0.0, b2=0.9),
    "sampler": langevin.langevin(0.01),
    "ascent_steps": 4,
    "synthesis": M,
    "synthesis_batch": M,
    "initial": M,
    "capacity": 16 * M,
    "cascades": 3,
    "cascade_steps": STEPS,
    "starts": STARTS,
  }
  return winn(NET, gaussian(SHAPE), shape=SHAPE, **(settings | changes))


def _batches():
  rng = np.random.default_rng(0)
  return [{"image": rng.uniform(-1, 1, (BATCH, *SHAPE)).astype(np.float32)} for _ in range(3)]


@cache
def _trial():
  """Every step is a stage, so that the three steps of the contract go through all of them."""
  return contract.Trial(_system(cascade_steps=1), _batches())


@cache
def _history():
  """The states after 0, 1, ... 7 steps of a cascade of three stages of two steps, on the host."""
  trial = contract.Trial(_system(), _batches())
  states = [jax.device_get(jax.tree.map(jnp.copy, trial.start()))]
  for i in range(7):
    state = jax.tree.map(jnp.asarray, states[-1])
    states.append(jax.device_get(trial.run(state, i, i + 1)[0]))
  return states


def _equal(a, b):
  return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.mark.parametrize("promise", contract.PROMISES, ids=lambda promise: promise.__name__)
def test_a_cascade_keeps_the_contract(promise):
  promise(_trial())


@pytest.mark.slow
def test_one_device_and_eight_agree_across_the_end_of_a_stage():
  contract.one_device_and_eight_agree(_trial())


def test_a_stage_lasts_its_steps_and_the_last_one_goes_on():
  assert [int(state.cascade.ended) for state in _history()] == [0, 0, 0, 1, 1, 2, 2, 2]


def test_a_snapshot_is_the_weights_and_the_range_with_which_its_stage_ended():
  for stage, state in ((0, 2), (1, 4)):
    last = _history()[-1].cascade
    assert _equal(jax.tree.map(lambda leaf: leaf[stage], last.params), _history()[state].params)  # noqa: B023
    np.testing.assert_array_equal(last.bounds[stage], _history()[state].bounds)


def test_the_network_is_trained_on_without_new_weights():
  """A stage's first step moves its weights by no more than Adam can in its updates from those of the stage before."""
  before, after = _history()[2].params, _history()[3].params
  assert not _equal(before, after)
  for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
    assert np.abs(new - old).max() < 10 * 1e-2 * (BATCH // M)


def test_the_images_handed_over_fill_the_starts_and_join_the_pool():
  states = _history()
  assert states[2].cascade.starts.count.sum() == 0
  assert states[3].cascade.starts.count.sum() == STARTS
  assert states[5].cascade.starts.count.sum() == 2 * STARTS  # the second stage's took the place of the first's
  grown = [int(state.pool.count.sum()) for state in states]
  np.testing.assert_array_equal(np.diff(grown), [M, M, M + STARTS, M, M + STARTS, M, M])
  handed = {image.tobytes() for image in states[3].cascade.starts.images.reshape(STARTS, -1)}
  assert handed <= {image.tobytes() for image in states[3].pool.images.reshape(-1, 16)}


def test_chains_of_a_later_stage_start_from_the_images_handed_over():
  """Without moves a synthesised image is where its chain started."""
  trial = contract.Trial(_system(ascent_steps=0), _batches())
  state, _ = trial.run(trial.start(), 0, STEPS + 1)
  starts = np.asarray(state.cascade.starts.images).reshape(STARTS, -1)
  newest = np.asarray(state.pool.images)[:, int(state.pool.count[0]) - 1]
  assert {image.tobytes() for image in newest} <= {image.tobytes() for image in starts}


def test_a_sample_goes_through_the_ended_stages_and_then_the_present_one():
  for state, active in zip(_history()[:6], [(0, 0), (0, 0), (0, 0), (1, 0), (1, 0), (1, 1)], strict=True):
    path = path_of(state)
    assert [bool(flag) for flag in path.active] == [*map(bool, active), True]
    assert _equal(jax.tree.map(lambda leaf: leaf[-1], path.params), state.params)


def test_stages_are_climbed_in_order_and_those_not_reached_are_passed_by():
  def climb(key, params, images, bounds):
    return langevin.Chains(images * 10 + params, None, None, None)

  def through(active):
    path = cascade.Path(jnp.asarray([1.0, 2.0, 3.0]), jnp.zeros((3, 2)), jnp.asarray(active))
    return float(cascade.through(jax.random.split(jax.random.key(0), 1), path, jnp.zeros((1,)), climb)[0])

  assert through([True, True, True]) == 123
  assert through([True, False, True]) == 13
  assert through([False, False, True]) == 3


def test_a_cascade_without_steps_or_with_odd_starts_is_refused():
  with pytest.raises(ValueError, match="cascade_steps 0; use at least 1"):
    _system(cascade_steps=None)
  with pytest.raises(ValueError, match="starts 12 is not a multiple of the minibatch 8; use 8"):
    _system(starts=12)


def test_without_a_cascade_the_state_has_no_room_for_one():
  single = jax.eval_shape(_system(cascades=1).init, jax.random.key(0), _batches()[0])
  assert single.cascade is None
