import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from genjax.ops.langevin import Rule, adam, anneal, ascend, gradients, langevin

WIDE = {"low": -1e6, "high": 1e6}


def _sum(images):
  return images.sum((1, 2, 3))


def _gaussian(mean=0.0, std=1.0):
  return lambda images: -(((images - mean) / std) ** 2).sum((1, 2, 3)) / 2


def _wavy(images):
  """A score with curvature everywhere, another one for each pixel."""
  weight = jnp.linspace(0.5, 2.0, images[0].size).reshape(1, *images.shape[1:])
  return (jnp.sin(3 * weight * images) + weight * images).sum((1, 2, 3))


def _start(n=6, side=2):
  return jax.random.uniform(jax.random.key(9), (n, side, side, 1), minval=-1.0, maxval=1.0)


# Langevin: the law of the samples


@pytest.mark.parametrize("epsilon", [3.0, 1.0, 0.3, 0.1, 0.02])
def test_on_a_gaussian_the_variance_is_that_of_an_autoregression(epsilon):
  n = 100_000
  steps = int(np.ceil(8 / epsilon)) + 20  # what is left of the start, (1 - epsilon / 2)^(2 steps), is below 4e-4
  chains = jax.jit(
    lambda key: ascend(key, _gaussian(), jnp.zeros((n, 1, 1, 1)), rule=langevin(epsilon), steps=steps, **WIDE)
  )(jax.random.key(1))
  variance = (1 - (1 - epsilon / 2) ** (2 * steps)) / (1 - epsilon / 4)
  error = np.sqrt(2 / n) * variance
  samples = np.asarray(chains.images, np.float64).ravel()
  assert abs(samples.var() - variance) < 4 * error
  assert abs(samples.mean()) < 4 * np.sqrt(variance / n)


def test_the_variance_goes_to_that_of_the_gaussian_as_epsilon_goes_down():
  n, far = 100_000, []
  for epsilon in (2.0, 0.5, 0.1):
    run = jax.jit(
      lambda key, size=epsilon: ascend(
        key, _gaussian(), jnp.zeros((n, 1, 1, 1)), rule=langevin(size), steps=120, **WIDE
      )
    )
    far.append(abs(float(run(jax.random.key(2)).images.var()) - 1))
  assert far[0] > 0.9
  assert far[0] > far[1] > far[2]
  assert far[2] < 0.045  # 1 / (1 - 0.1 / 4) - 1 = 0.026, and four standard errors


def test_a_gaussian_with_a_mean_and_a_width_keeps_them():
  n, mean, std, epsilon = 100_000, 0.7, 0.4, 0.02
  run = jax.jit(
    lambda key: ascend(key, _gaussian(mean, std), jnp.zeros((n, 1, 1, 1)), rule=langevin(epsilon), steps=150, **WIDE)
  )
  samples = np.asarray(run(jax.random.key(3)).images, np.float64).ravel()
  variance = std**2 / (1 - epsilon / (4 * std**2))
  assert abs(samples.mean() - mean) < 4 * std / np.sqrt(n)
  assert abs(samples.var() - variance) < 4 * variance * np.sqrt(2 / n)


def test_an_annealed_chain_has_the_variance_of_its_own_steps():
  n, first, last, steps = 100_000, 1.5, 0.3, 8
  rule = langevin(anneal(first, last, steps))
  run = jax.jit(lambda key: ascend(key, _gaussian(), jnp.zeros((n, 1, 1, 1)), rule=rule, steps=steps, **WIDE))
  variance = 0.0
  for size in np.geomspace(first, last, steps):
    variance = (1 - size / 2) ** 2 * variance + size
  assert abs(float(run(jax.random.key(4)).images.var()) - variance) < 4 * variance * np.sqrt(2 / n)


def test_annealing_is_geometric_and_stays_at_its_end():
  sizes = jax.vmap(anneal(1.0, 0.01, 5))(jnp.arange(7))
  np.testing.assert_allclose(sizes, [1, 10**-0.5, 0.1, 10**-1.5, 0.01, 0.01, 0.01], rtol=1e-5)
  np.testing.assert_allclose(anneal(0.3, 0.1, 1)(jnp.int32(0)), 0.3, rtol=1e-6)


@pytest.mark.parametrize(("first", "last", "steps"), [(0.0, 1.0, 3), (1.0, -1.0, 3), (1.0, 0.1, 0)])
def test_annealing_refuses_sizes_that_are_not_positive(first, last, steps):
  with pytest.raises(ValueError, match="sizes must be positive"):
    anneal(first, last, steps)


# Adam: against optax


@pytest.mark.parametrize(("b1", "b2"), [(0.9, 0.99), (0.9, 0.999), (0.0, 0.9)])
def test_adam_ascent_is_optax_adam_move_by_move(b1, b2):
  oracle = optax.adam(0.01, b1=b1, b2=b2)
  x = _start()
  state = oracle.init(x)
  run = jax.jit(ascend, static_argnames=("score", "rule", "steps"))
  rule = adam(learning_rate=0.01, b1=b1, b2=b2)
  for steps in range(1, 6):
    updates, state = oracle.update(-jax.grad(lambda x: _wavy(x).sum())(x), state)
    x = jnp.clip(optax.apply_updates(x, updates), -1, 1)
    if steps in (1, 2, 5):
      chains = run(jax.random.key(0), _wavy, _start(), rule=rule, steps=steps)
      np.testing.assert_allclose(chains.images, x, atol=2e-6)
  np.testing.assert_allclose(chains.scores, _wavy(x), atol=1e-4)


def test_images_never_leave_their_range():
  for rule in (adam(learning_rate=0.5), langevin(2.0)):
    images = ascend(jax.random.key(0), _sum, _start(), rule=rule, steps=5, low=-0.25, high=0.75).images
    assert float(images.max()) == 0.75
    assert float(images.min()) >= -0.25


# Stopping


def test_moves_are_counted_and_each_chain_stops_at_its_own_threshold():
  # one pixel, slope 1: Adam's every move is its learning rate, 0.125 up to rounding
  threshold = jnp.array([-1.0, 0.0, 0.1, 0.12, 0.3, 0.9, 2.0])
  chains = ascend(
    jax.random.key(0),
    _sum,
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
  threshold = _wavy(_start()) + jnp.array([0, 0.1, 0.4, 1.0, 2.0, 50.0])
  long = run(jax.random.key(5), _wavy, _start(), rule=rule, steps=40, threshold=threshold)
  assert len(set(long.moves.tolist())) >= 4
  for i, moves in enumerate(long.moves.tolist()):
    if moves < 40:
      soon = run(jax.random.key(5), _wavy, _start(), rule=rule, steps=moves + 2, threshold=threshold)
      np.testing.assert_array_equal(soon.images[i], long.images[i])
      assert long.stopped[i]
      assert long.scores[i] >= threshold[i]
    exactly = run(jax.random.key(5), _wavy, _start(), rule=rule, steps=moves, threshold=threshold)
    np.testing.assert_allclose(exactly.images[i], long.images[i], atol=1e-6)  # a scan of one step compiles otherwise


@pytest.mark.parametrize("threshold", [0.3, jnp.array([0.1, 0.2, 0.6])])
def test_in_batch_mode_all_stop_once_the_mean_reaches_the_mean_threshold(threshold):
  start = jnp.array([-0.5, 0.0, 0.5]).reshape(3, 1, 1, 1)
  chains = ascend(
    jax.random.key(0), _sum, start, rule=adam(learning_rate=0.125), steps=20, threshold=threshold, stop="batch"
  )
  assert chains.moves.tolist() == [3, 3, 3]
  assert chains.stopped.all()
  np.testing.assert_allclose(chains.scores, [-0.125, 0.375, 0.875], atol=1e-5)


def test_a_chain_that_reaches_its_threshold_with_its_last_move_has_stopped():
  for stop in ("example", "batch"):
    chains = ascend(
      jax.random.key(0), _sum, jnp.zeros((2, 1, 1, 1)), rule=adam(learning_rate=0.1), steps=3, threshold=0.29, stop=stop
    )
    assert chains.moves.tolist() == [3, 3]
    assert chains.stopped.all()


def test_without_a_threshold_no_chain_stops():
  chains = ascend(jax.random.key(0), _sum, _start(), rule=adam(learning_rate=0.1), steps=4)
  assert chains.moves.tolist() == [4] * 6
  assert not chains.stopped.any()


def test_no_steps_leave_the_images_alone():
  chains = ascend(
    jax.random.key(0), _sum, _start(), rule=adam(), steps=0, threshold=_sum(_start()) + jnp.arange(6) - 2.5
  )
  np.testing.assert_array_equal(chains.images, _start())
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
  score, calls = _counted(_sum)
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
  score, calls = _counted(_sum)
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
    return jnp.where(jnp.arange(images.shape[0]) == 1, jnp.nan, 1.0) * _sum(images)

  chains = ascend(
    jax.random.key(0), broken, jnp.zeros((3, 1, 1, 1)), rule=adam(learning_rate=0.125), steps=6, threshold=0.3
  )
  assert chains.moves.tolist() == [3, 6, 3]
  assert chains.stopped.tolist() == [True, False, True]
  assert np.isnan(chains.scores[1])
  assert np.isnan(chains.images[1]).all()
  np.testing.assert_allclose(chains.scores[jnp.array([0, 2])], 0.375, atol=1e-5)


# Who depends on what


@pytest.mark.parametrize("rule", [adam(learning_rate=0.05), langevin(0.01)])
def test_an_image_does_not_depend_on_the_others(rule):
  run = jax.jit(ascend, static_argnames=("score", "rule", "steps"))
  threshold = _wavy(_start()) + 2.0
  others = _start().at[1:].multiply(-0.5)
  here = run(jax.random.key(0), _wavy, _start(), rule=rule, steps=15, threshold=threshold)
  there = run(jax.random.key(0), _wavy, others, rule=rule, steps=15, threshold=threshold)
  np.testing.assert_array_equal(here.images[0], there.images[0])
  assert here.moves[0] == there.moves[0]
  assert not np.array_equal(here.images[1], there.images[1])


@pytest.mark.parametrize("stop", ["example", "batch"])
@pytest.mark.parametrize("rule", [adam(learning_rate=0.05), langevin(0.01)])
def test_one_device_and_eight_agree(rule, stop):
  start = _start(16)
  threshold = _wavy(start) + jnp.arange(16.0) / 4
  mesh = Mesh(np.array(jax.devices()), ("data",))
  run = jax.jit(ascend, static_argnames=("score", "rule", "steps", "stop"))
  one = run(jax.random.key(1), _wavy, start, rule=rule, steps=12, threshold=threshold, stop=stop)
  spread = jax.device_put((start, threshold), NamedSharding(mesh, PartitionSpec("data")))
  key = jax.device_put(jax.random.key(1), NamedSharding(mesh, PartitionSpec()))
  eight = run(key, _wavy, spread[0], rule=rule, steps=12, threshold=spread[1], stop=stop)
  assert len(eight.images.sharding.device_set) == 8
  np.testing.assert_array_equal(one.moves, eight.moves)
  np.testing.assert_array_equal(one.stopped, eight.stopped)
  np.testing.assert_allclose(one.images, eight.images, atol=1e-6)


def test_one_image_is_enough():
  chains = ascend(
    jax.random.key(0),
    _sum,
    jnp.zeros((1, 2, 2, 3)),
    rule=adam(learning_rate=0.125),
    steps=5,
    threshold=2.9,
    stop="batch",
  )
  assert chains.images.shape == (1, 2, 2, 3)
  assert chains.moves.tolist() == [2]


def test_the_same_key_gives_the_same_chain_and_another_key_another():
  run = lambda seed: ascend(jax.random.key(seed), _sum, _start(), rule=langevin(0.1), steps=3).images
  np.testing.assert_array_equal(run(1), run(1))
  assert not np.array_equal(run(1), run(2))


def test_the_noise_of_every_move_is_new():
  flat = lambda images: 0.0 * _sum(images)
  one, two = (
    ascend(jax.random.key(0), flat, jnp.zeros((5000, 1, 1, 1)), rule=langevin(1.0), steps=s, **WIDE).images
    for s in (1, 2)
  )
  assert abs(np.corrcoef(np.ravel(one), np.ravel(two - one))[0, 1]) < 4 / np.sqrt(5000)
  np.testing.assert_allclose((two - one).var(), 1, atol=4 * np.sqrt(2 / 5000))


def test_a_bfloat16_score_moves_float32_images():
  half = lambda images: _wavy(images.astype(jnp.bfloat16))
  chains = ascend(
    jax.random.key(0), half, _start(), rule=adam(learning_rate=0.05), steps=10, threshold=_wavy(_start()) + 1
  )
  full = ascend(
    jax.random.key(0), _wavy, _start(), rule=adam(learning_rate=0.05), steps=10, threshold=_wavy(_start()) + 1
  )
  assert chains.images.dtype == jnp.float32
  np.testing.assert_allclose(chains.images, full.images, atol=0.06)


def test_a_new_threshold_does_not_compile_again():
  run = jax.jit(
    lambda t: (
      ascend(
        jax.random.key(0), _sum, jnp.zeros((2, 1, 1, 1)), rule=adam(learning_rate=0.125), steps=9, threshold=t
      ).moves
    )
  )
  assert run(jnp.float32(0.3)).tolist() == [3, 3]
  assert run(jnp.float32(0.6)).tolist() == [5, 5]
  assert run._cache_size() == 1


def test_a_rule_of_ones_own_is_two_functions():
  plain = Rule(lambda images: (), lambda key, gradient, moment, index: (0.1 * gradient, moment))
  chains = ascend(jax.random.key(0), _gaussian(), jnp.ones((1, 1, 1, 1)), rule=plain, steps=3)
  np.testing.assert_allclose(chains.images.item(), 0.9**3, rtol=1e-6)


def test_an_unknown_way_to_stop_is_refused():
  with pytest.raises(ValueError, match="stop is 'never'; use 'example'"):
    ascend(jax.random.key(0), _sum, _start(), rule=adam(), steps=1, stop="never")


def test_noise_inside_the_score_moves_chains_by_a_fresh_draw_at_every_move():
  """The rule moves image 0 by the gradient, which is the draw inside the score, and image 1 by a draw of its own."""
  own = lambda key, g, moment, index: (g.at[1].set(jax.random.uniform(key)), moment)
  images, rule = jnp.zeros((2, 1, 1, 1)), Rule(lambda x: (), own)
  noisy = lambda key, x: x.sum((1, 2, 3)) * jax.random.uniform(key)
  run = lambda key, steps: ascend(
    key, lambda x: x.sum((1, 2, 3)), images, rule=rule, steps=steps, noisy=noisy, high=100.0
  )
  ends = [run(jax.random.key(0), steps) for steps in (1, 2, 3, 4)]
  paths = np.array([np.ravel(end.images) for end in ends])
  moves = np.diff(paths, axis=0, prepend=0.0)
  assert (moves > 0).all()
  assert len(np.unique(moves.round(5))) == 8
  assert float(run(jax.random.key(9), 1).images[0, 0, 0, 0]) != paths[0, 0]
  np.testing.assert_allclose(ends[3].scores, paths[3], rtol=1e-6)  # those of the quiet score


def test_of_a_pair_the_first_is_climbed_and_the_second_stops():
  """Down a slope of 1 by plain moves of 0.1, until the second score, the distance travelled, has reached 0.35."""
  plain = Rule(lambda images: (), lambda key, gradient, moment, index: (0.1 * gradient, moment))
  pair = lambda images: (-_sum(images), 1 - _sum(images))
  chains = ascend(jax.random.key(0), pair, jnp.ones((3, 1, 1, 1)), rule=plain, steps=10, threshold=0.35)
  np.testing.assert_allclose(chains.images.ravel(), 0.6, rtol=1e-6)
  np.testing.assert_allclose(chains.scores, 0.4, rtol=1e-6)
  assert chains.moves.tolist() == [4, 4, 4]
  assert chains.stopped.all()


def test_gradients_are_those_of_a_count_by_hand():
  """Chains of 2 and 5 moves: the call computes 6 gradients of each; with at most 5 moves it never computes a sixth."""
  up = Rule(lambda images: (), lambda key, gradient, moment, index: (0.1 * jnp.sign(gradient), moment))
  chains = ascend(
    jax.random.key(0), _sum, jnp.zeros((2, 1, 1, 1)), rule=up, steps=10, threshold=jnp.array([0.15, 0.45])
  )
  np.testing.assert_array_equal(chains.moves, [2, 5])
  assert gradients(chains.moves, 10) == 12
  assert gradients(chains.moves, 5) == 10
