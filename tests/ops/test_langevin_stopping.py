"""When a chain stops: thresholds of its own or of the batch, and no gradient after the last."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scores import starts, summed, wavy

from genjax.ops.langevin import Rule, adam, ascend, gradients, langevin


def test_moves_are_counted_and_each_chain_stops_at_its_own_threshold():
  # one pixel, slope 1: Adam's every move is its learning rate, 0.125 up to rounding
  threshold = jnp.array([-1.0, 0.0, 0.1, 0.12, 0.3, 0.9, 2.0])
  chains = ascend(
    jax.random.key(0),
    summed,
    jnp.zeros((7, 1, 1, 1)),
    rule=adam(learning_rate=0.125, eps=0.0),
    steps=20,
    threshold=threshold,
  )
  assert chains.moves.tolist() == [0, 0, 1, 1, 3, 8, 20]  # the range ends at 1: the last never gets to 2
  assert chains.stopped.tolist() == [True] * 6 + [False]
  np.testing.assert_allclose(chains.scores, [0, 0, 0.125, 0.125, 0.375, 1, 1], atol=1e-5)


@pytest.mark.parametrize("rule", [adam(learning_rate=0.05), langevin(0.01)])
def test_a_stopped_chain_stays_put_bit_for_bit(rule):
  run = jax.jit(ascend, static_argnames=("score", "rule", "steps"))
  threshold = wavy(starts()) + jnp.array([0, 0.1, 0.4, 1.0, 2.0, 50.0])
  long = run(jax.random.key(5), wavy, starts(), rule=rule, steps=40, threshold=threshold)
  assert len(set(long.moves.tolist())) >= 4
  for i, moves in enumerate(long.moves.tolist()):
    if moves < 40:
      soon = run(jax.random.key(5), wavy, starts(), rule=rule, steps=moves + 2, threshold=threshold)
      np.testing.assert_array_equal(soon.images[i], long.images[i])
      assert long.stopped[i]
      assert long.scores[i] >= threshold[i]
    exactly = run(jax.random.key(5), wavy, starts(), rule=rule, steps=moves, threshold=threshold)
    np.testing.assert_allclose(exactly.images[i], long.images[i], atol=1e-6)  # a scan of one step compiles otherwise


@pytest.mark.parametrize("threshold", [0.3, jnp.array([0.1, 0.2, 0.6])])
def test_in_batch_mode_all_stop_once_the_mean_reaches_the_mean_threshold(threshold):
  start = jnp.array([-0.5, 0.0, 0.5]).reshape(3, 1, 1, 1)
  chains = ascend(
    jax.random.key(0), summed, start, rule=adam(learning_rate=0.125), steps=20, threshold=threshold, stop="batch"
  )
  assert chains.moves.tolist() == [3, 3, 3]
  assert chains.stopped.all()
  np.testing.assert_allclose(chains.scores, [-0.125, 0.375, 0.875], atol=1e-5)


def test_a_chain_that_reaches_its_threshold_with_its_last_move_has_stopped():
  for stop in ("example", "batch"):
    chains = ascend(
      jax.random.key(0),
      summed,
      jnp.zeros((2, 1, 1, 1)),
      rule=adam(learning_rate=0.1),
      steps=3,
      threshold=0.29,
      stop=stop,
    )
    assert chains.moves.tolist() == [3, 3]
    assert chains.stopped.all()


def test_without_a_threshold_no_chain_stops():
  chains = ascend(jax.random.key(0), summed, starts(), rule=adam(learning_rate=0.1), steps=4)
  assert chains.moves.tolist() == [4] * 6
  assert not chains.stopped.any()


def test_no_steps_leave_the_images_alone():
  chains = ascend(
    jax.random.key(0), summed, starts(), rule=adam(), steps=0, threshold=summed(starts()) + jnp.arange(6) - 2.5
  )
  np.testing.assert_array_equal(chains.images, starts())
  assert chains.moves.tolist() == [0] * 6
  assert chains.stopped.tolist() == [True] * 3 + [False] * 3


def _counted(score):
  """The score, and a list that grows by one each time that its gradient is really computed."""
  calls = []

  @jax.custom_vjp
  def counted(images):
    return score(images)

  def backward(images, cotangent):
    jax.debug.callback(lambda: calls.append(1))
    return jax.vjp(score, images)[1](cotangent)

  counted.defvjp(lambda images: (score(images), images), backward)
  return counted, calls


@pytest.mark.parametrize("stop", ["example", "batch"])
def test_after_all_have_stopped_no_gradient_is_computed(stop):
  score, calls = _counted(summed)
  run = jax.jit(
    lambda t: ascend(
      jax.random.key(0),
      score,
      jnp.zeros((4, 1, 1, 1)),
      rule=adam(learning_rate=0.125),
      steps=1000,
      threshold=t,
      stop=stop,
    )
  )
  chains = run(0.3)
  jax.effects_barrier()
  assert chains.moves.tolist() == [3] * 4
  assert len(calls) == 4  # three moves, and the look that finds all of them there


def test_the_slowest_chain_keeps_the_others_company_and_no_more():
  score, calls = _counted(summed)
  ascend(
    jax.random.key(0),
    score,
    jnp.zeros((3, 1, 1, 1)),
    rule=adam(learning_rate=0.125),
    steps=1000,
    threshold=jnp.array([0.1, 0.8, 0.3]),
  )
  jax.effects_barrier()
  assert len(calls) == 8


def test_a_score_that_turns_nan_stays_visible_and_leaves_the_others_alone():
  def broken(images):
    return jnp.where(jnp.arange(images.shape[0]) == 1, jnp.nan, 1.0) * summed(images)

  chains = ascend(
    jax.random.key(0), broken, jnp.zeros((3, 1, 1, 1)), rule=adam(learning_rate=0.125), steps=6, threshold=0.3
  )
  assert chains.moves.tolist() == [3, 6, 3]
  assert chains.stopped.tolist() == [True, False, True]
  assert np.isnan(chains.scores[1])
  assert np.isnan(chains.images[1]).all()
  np.testing.assert_allclose(chains.scores[jnp.array([0, 2])], 0.375, atol=1e-5)


def test_a_new_threshold_does_not_compile_again():
  run = jax.jit(
    lambda t: (
      ascend(
        jax.random.key(0), summed, jnp.zeros((2, 1, 1, 1)), rule=adam(learning_rate=0.125), steps=9, threshold=t
      ).moves
    )
  )
  assert run(jnp.float32(0.3)).tolist() == [3, 3]
  assert run(jnp.float32(0.6)).tolist() == [5, 5]
  assert run._cache_size() == 1


def test_an_unknown_way_to_stop_is_refused():
  with pytest.raises(ValueError, match="stop is 'never'; use 'example'"):
    ascend(jax.random.key(0), summed, starts(), rule=adam(), steps=1, stop="never")


def test_of_a_pair_the_first_is_climbed_and_the_second_stops():
  """Down a slope of 1 by plain moves of 0.1, until the second score, the distance travelled, has reached 0.35."""
  plain = Rule(lambda images: (), lambda key, gradient, moment, index: (0.1 * gradient, moment))
  pair = lambda images: (-summed(images), 1 - summed(images))
  chains = ascend(jax.random.key(0), pair, jnp.ones((3, 1, 1, 1)), rule=plain, steps=10, threshold=0.35)
  np.testing.assert_allclose(chains.images.ravel(), 0.6, rtol=1e-6)
  np.testing.assert_allclose(chains.scores, 0.4, rtol=1e-6)
  assert chains.moves.tolist() == [4, 4, 4]
  assert chains.stopped.all()


def test_gradients_are_those_of_a_count_by_hand():
  """Chains of 2 and 5 moves: the call computes 6 gradients of each; with at most 5 moves it never computes a sixth."""
  up = Rule(lambda images: (), lambda key, gradient, moment, index: (0.1 * jnp.sign(gradient), moment))
  chains = ascend(
    jax.random.key(0), summed, jnp.zeros((2, 1, 1, 1)), rule=up, steps=10, threshold=jnp.array([0.15, 0.45])
  )
  np.testing.assert_array_equal(chains.moves, [2, 5])
  assert gradients(chains.moves, 10) == 12
  assert gradients(chains.moves, 5) == 10
