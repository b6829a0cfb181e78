"""Chains in queues against a plain loop over the moves of each, and a count of gradients against a schedule by hand."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from genjax.ops import langevin, refill

N, STEPS, KEY = 24, 12, 5
RULES = {"adam": langevin.adam(learning_rate=0.05), "langevin": langevin.annealed(0.02, last=0.005, steps=STEPS)}


def _wavy(images, shift):
  """A score with curvature everywhere, another one for each pixel and each shift."""
  weight = jnp.linspace(0.5, 2.0, images[0].size).reshape(1, *images.shape[1:])
  return (jnp.sin(3 * weight * images + shift[:, None, None, None]) + weight * images).sum((1, 2, 3))


def _noisy(key, images, shift):
  return _wavy(images, shift) * jax.random.uniform(key, minval=0.5)


def _chains():
  """Images, shifts, and thresholds: reached at once, after some moves, or never."""
  start = jax.random.uniform(jax.random.key(9), (N, 2, 2, 1), minval=-1.0, maxval=1.0)
  shift = jnp.linspace(0.0, 2.0, N)
  above = jnp.tile(jnp.array([0.3, 1.2, 50.0, -0.1, 0.6, 2.0]), N // 6)
  return start, shift, _wavy(start, shift) + above


@cache
def _run(slots, queues=1, rule="adam", noisy=False, steps=STEPS):
  """The chains, the gradients computed, and what was compiled."""
  call = jax.jit(
    lambda images, shift, threshold: refill.ascend(
      jax.random.key(KEY),
      _wavy,
      images,
      rule=RULES[rule],
      steps=steps,
      threshold=threshold,
      conditions=shift,
      slots=slots,
      queues=queues,
      noisy=_noisy if noisy else None,
    )
  )
  return (*jax.device_get(call(*_chains())), call)


@cache
def _alone(rule="adam", noisy=False):
  """Each chain by itself, move by move: where it ended, its moves, and whether it reached its threshold."""
  ends = []
  score = lambda key, x, shift: (_noisy(key, x, shift) if noisy else _wavy(x, shift))[0]
  slope = jax.jit(jax.value_and_grad(score, argnums=1))
  move = jax.jit(RULES[rule].move)
  for n, (image, shift, goal) in enumerate(zip(*_chains(), strict=True)):
    image, shift, moment, moves, stopped = image[None], shift[None], RULES[rule].init(image[None]), 0, False
    while moves < STEPS and not stopped:
      key = jax.random.fold_in(jax.random.fold_in(jax.random.key(KEY), n), moves)
      value, gradient = slope(jax.random.fold_in(key, langevin.NOISE_KEY), image, shift)
      stopped = bool(value >= goal)
      if not stopped:
        step, moment = move(key, gradient[0], jax.tree.map(lambda leaf: leaf[0], moment), jnp.int32(moves))
        moment = jax.tree.map(lambda leaf: leaf[None], moment)
        image, moves = jnp.clip(image + step[None], -1, 1), moves + 1
    ends.append((image[0], moves, stopped or bool(_wavy(image, shift)[0] >= goal)))
  return [np.stack(part) for part in zip(*ends, strict=True)]


@pytest.mark.parametrize(
  ("slots", "queues", "rule", "noisy"),
  [(7, 1, "adam", False), (2, 4, "langevin", False), (3, 2, "adam", True)],
)
def test_every_chain_is_that_of_a_plain_loop_over_its_own_moves(slots, queues, rule, noisy):
  chains, _, call = _run(slots, queues, rule, noisy)
  images, moves, stopped = _alone(rule, noisy)
  assert len(set(moves.tolist())) > 4
  np.testing.assert_array_equal(chains.moves, moves)
  np.testing.assert_array_equal(chains.stopped, stopped)
  np.testing.assert_allclose(chains.images, images, atol=2e-6)
  np.testing.assert_allclose(chains.scores, _wavy(chains.images, _chains()[1]), atol=1e-5)
  assert call._cache_size() == 1


def test_it_is_what_chains_that_move_together_come_to():
  start, shift, threshold = _chains()
  score = lambda images: _wavy(images, shift)
  together = langevin.ascend(jax.random.key(0), score, start, rule=RULES["adam"], steps=STEPS, threshold=threshold)
  chains = _run(7)[0]
  np.testing.assert_array_equal(chains.moves, together.moves)
  np.testing.assert_allclose(chains.images, together.images, atol=2e-6)


@pytest.mark.parametrize(("slots", "queues"), [(7, 1), (2, 4), (6, 4)])
def test_a_slot_that_ends_its_chain_goes_on_with_the_next_of_its_queue(slots, queues):
  """Gradients computed, by a schedule: a chain of k moves holds its slot for k + 1 gradients, or all its moves."""
  chains, gradients, _ = _run(slots, queues)
  longest = 0
  for lengths in np.minimum(chains.moves + 1, STEPS).reshape(queues, -1):
    busy = np.zeros(slots, int)
    for length in lengths:
      busy[busy.argmin()] += length
    longest = max(longest, busy.max())
  assert gradients == longest * slots * queues
  if queues == 1:
    lockstep = sum(langevin.gradients(part, STEPS) for part in np.array_split(chains.moves, 4))
    assert gradients < 0.8 * lockstep


def test_on_a_cpu_at_most_eight_slots_of_a_queue_are_at_work():
  chains, gradients, call = _run(20)
  assert gradients % refill.ON_CPU == 0
  assert "f32[20,2,2,1]" not in call.lower(*_chains()).compile().as_text()
  np.testing.assert_array_equal(chains.moves, _run(7)[0].moves)


def test_one_device_and_eight_agree_and_exchange_nothing_but_whether_all_have_ended():
  one, _, call = _run(1, 8, "langevin")
  mesh = Mesh(np.array(jax.devices()), ("data",))
  spread = jax.device_put(_chains(), NamedSharding(mesh, PartitionSpec("data")))
  eight, _ = call(*spread)
  assert len(eight.images.sharding.device_set) == 8
  np.testing.assert_array_equal(one.moves, eight.moves)
  np.testing.assert_allclose(one.images, eight.images, atol=1e-6)
  text = call.lower(*spread).compile().as_text()
  exchanges = [line for line in text.splitlines() if "all-" in line or "collective-" in line]
  assert exchanges
  assert all("pred[]" in line or "s32[]" in line for line in exchanges if " = " in line and "(" in line), exchanges


def test_no_steps_leave_the_images_alone_and_compute_no_gradient():
  chains, gradients, _ = _run(7, steps=0)
  start, shift, threshold = _chains()
  np.testing.assert_array_equal(chains.images, start)
  np.testing.assert_array_equal(chains.stopped, _wavy(start, shift) >= threshold)
  assert gradients == 0
  assert not chains.moves.any()


def test_of_a_pair_the_first_is_climbed_and_the_second_stops_and_nan_stays_with_its_own_chain():
  plain = langevin.Rule(lambda images: (), lambda key, gradient, moment, index: (0.1 * gradient, moment))
  pair = lambda x, scale: (-scale * x.sum((1, 2, 3)), scale * (1 - x.sum((1, 2, 3))))
  scale = jnp.array([1.0, jnp.nan, 1.0, 1.0])
  chains, _ = refill.ascend(
    jax.random.key(0), pair, jnp.ones((4, 1, 1, 1)), rule=plain, steps=6, threshold=jnp.full(4, 0.35),
    conditions=scale, slots=2,
  )  # fmt: skip
  assert chains.moves.tolist() == [4, 6, 4, 4]
  assert chains.stopped.tolist() == [True, False, True, True]
  np.testing.assert_allclose(chains.images.ravel(), [0.6, np.nan, 0.6, 0.6], rtol=1e-6)


def test_queues_that_do_not_share_the_chains_are_refused():
  with pytest.raises(ValueError, match="24 chains in 5 queues of 2 slots; use a divisor of 24"):
    _run(2, 5)
