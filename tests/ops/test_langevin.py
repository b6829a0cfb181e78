"""Langevin and Adam on images: the law of the samples, optax move by move, and who depends on what."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from scores import gaussian, starts, summed, wavy

from genjax.ops.langevin import Rule, adam, anneal, ascend, langevin

WIDE = {"low": -1e6, "high": 1e6}


# Langevin: the law of the samples


@pytest.mark.parametrize("epsilon", [3.0, 1.0, 0.3, 0.1, 0.02])
def test_on_a_gaussian_the_variance_is_that_of_an_autoregression(epsilon):
  n = 100_000
  steps = int(np.ceil(8 / epsilon)) + 20  # what is left of the start, (1 - epsilon / 2)^(2 steps), is below 4e-4
  chains = jax.jit(
    lambda key: ascend(key, gaussian(), jnp.zeros((n, 1, 1, 1)), rule=langevin(epsilon), steps=steps, **WIDE)
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
      lambda key, size=epsilon: ascend(key, gaussian(), jnp.zeros((n, 1, 1, 1)), rule=langevin(size), steps=120, **WIDE)
    )
    far.append(abs(float(run(jax.random.key(2)).images.var()) - 1))
  assert far[0] > 0.9
  assert far[0] > far[1] > far[2]
  assert far[2] < 0.045  # 1 / (1 - 0.1 / 4) - 1 = 0.026, and four standard errors


def test_a_gaussian_with_a_mean_and_a_width_keeps_them():
  n, mean, std, epsilon = 100_000, 0.7, 0.4, 0.02
  run = jax.jit(
    lambda key: ascend(key, gaussian(mean, std), jnp.zeros((n, 1, 1, 1)), rule=langevin(epsilon), steps=150, **WIDE)
  )
  samples = np.asarray(run(jax.random.key(3)).images, np.float64).ravel()
  variance = std**2 / (1 - epsilon / (4 * std**2))
  assert abs(samples.mean() - mean) < 4 * std / np.sqrt(n)
  assert abs(samples.var() - variance) < 4 * variance * np.sqrt(2 / n)


def test_an_annealed_chain_has_the_variance_of_its_own_steps():
  n, first, last, steps = 100_000, 1.5, 0.3, 8
  rule = langevin(anneal(first, last, steps))
  run = jax.jit(lambda key: ascend(key, gaussian(), jnp.zeros((n, 1, 1, 1)), rule=rule, steps=steps, **WIDE))
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
  x = starts()
  state = oracle.init(x)
  run = jax.jit(ascend, static_argnames=("score", "rule", "steps"))
  rule = adam(learning_rate=0.01, b1=b1, b2=b2)
  for steps in range(1, 6):
    updates, state = oracle.update(-jax.grad(lambda x: wavy(x).sum())(x), state)
    x = jnp.clip(optax.apply_updates(x, updates), -1, 1)
    if steps in (1, 2, 5):
      chains = run(jax.random.key(0), wavy, starts(), rule=rule, steps=steps)
      np.testing.assert_allclose(chains.images, x, atol=2e-6)
  np.testing.assert_allclose(chains.scores, wavy(x), atol=1e-4)


def test_images_never_leave_their_range():
  for rule in (adam(learning_rate=0.5), langevin(2.0)):
    images = ascend(jax.random.key(0), summed, starts(), rule=rule, steps=5, low=-0.25, high=0.75).images
    assert float(images.max()) == 0.75
    assert float(images.min()) >= -0.25


# Who depends on what


@pytest.mark.parametrize("rule", [adam(learning_rate=0.05), langevin(0.01)])
def test_an_image_does_not_depend_on_the_others(rule):
  run = jax.jit(ascend, static_argnames=("score", "rule", "steps"))
  threshold = wavy(starts()) + 2.0
  others = starts().at[1:].multiply(-0.5)
  here = run(jax.random.key(0), wavy, starts(), rule=rule, steps=15, threshold=threshold)
  there = run(jax.random.key(0), wavy, others, rule=rule, steps=15, threshold=threshold)
  np.testing.assert_array_equal(here.images[0], there.images[0])
  assert here.moves[0] == there.moves[0]
  assert not np.array_equal(here.images[1], there.images[1])


@pytest.mark.parametrize("stop", ["example", "batch"])
@pytest.mark.parametrize("rule", [adam(learning_rate=0.05), langevin(0.01)])
def test_one_device_and_eight_agree(rule, stop):
  start = starts(16)
  threshold = wavy(start) + jnp.arange(16.0) / 4
  mesh = Mesh(np.array(jax.devices()), ("data",))
  run = jax.jit(ascend, static_argnames=("score", "rule", "steps", "stop"))
  one = run(jax.random.key(1), wavy, start, rule=rule, steps=12, threshold=threshold, stop=stop)
  spread = jax.device_put((start, threshold), NamedSharding(mesh, PartitionSpec("data")))
  key = jax.device_put(jax.random.key(1), NamedSharding(mesh, PartitionSpec()))
  eight = run(key, wavy, spread[0], rule=rule, steps=12, threshold=spread[1], stop=stop)
  assert len(eight.images.sharding.device_set) == 8
  np.testing.assert_array_equal(one.moves, eight.moves)
  np.testing.assert_array_equal(one.stopped, eight.stopped)
  np.testing.assert_allclose(one.images, eight.images, atol=1e-6)


def test_one_image_is_enough():
  chains = ascend(
    jax.random.key(0),
    summed,
    jnp.zeros((1, 2, 2, 3)),
    rule=adam(learning_rate=0.125),
    steps=5,
    threshold=2.9,
    stop="batch",
  )
  assert chains.images.shape == (1, 2, 2, 3)
  assert chains.moves.tolist() == [2]


def test_the_same_key_gives_the_same_chain_and_another_key_another():
  run = lambda seed: ascend(jax.random.key(seed), summed, starts(), rule=langevin(0.1), steps=3).images
  np.testing.assert_array_equal(run(1), run(1))
  assert not np.array_equal(run(1), run(2))


def test_the_noise_of_every_move_is_new():
  flat = lambda images: 0.0 * summed(images)
  one, two = (
    ascend(jax.random.key(0), flat, jnp.zeros((5000, 1, 1, 1)), rule=langevin(1.0), steps=s, **WIDE).images
    for s in (1, 2)
  )
  assert abs(np.corrcoef(np.ravel(one), np.ravel(two - one))[0, 1]) < 4 / np.sqrt(5000)
  np.testing.assert_allclose((two - one).var(), 1, atol=4 * np.sqrt(2 / 5000))


def test_a_bfloat16_score_moves_float32_images():
  half = lambda images: wavy(images.astype(jnp.bfloat16))
  chains = ascend(
    jax.random.key(0), half, starts(), rule=adam(learning_rate=0.05), steps=10, threshold=wavy(starts()) + 1
  )
  full = ascend(
    jax.random.key(0), wavy, starts(), rule=adam(learning_rate=0.05), steps=10, threshold=wavy(starts()) + 1
  )
  assert chains.images.dtype == jnp.float32
  np.testing.assert_allclose(chains.images, full.images, atol=0.06)


def test_a_rule_of_ones_own_is_two_functions():
  plain = Rule(lambda images: (), lambda key, gradient, moment, index: (0.1 * gradient, moment))
  chains = ascend(jax.random.key(0), gaussian(), jnp.ones((1, 1, 1, 1)), rule=plain, steps=3)
  np.testing.assert_allclose(chains.images.item(), 0.9**3, rtol=1e-6)


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
