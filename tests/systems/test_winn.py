"""WINN: the contract of its variants, the synthesis step, what samples, and that it learns."""

import math
from functools import cache

import contract
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_winn import CAPACITY, INITIAL, MINIBATCH, NOISE, SHAPE, SYNTHESIS, Mean, adam_of, batches_of, f_of, winn_of

from genjax.nets.noise import gaussian
from genjax.ops import langevin
from genjax.ops.augment import to_uint8
from genjax.systems.winn import winn
from tests.systems.learning import WELL

VARIANTS = {
  "thesis": {},
  "released code": {
    "stop": "batch",
    "pool_dtype": "uint8",
    "policy": "ring",
    "ramp": 2,
    "sampler": langevin.adam(learning_rate=0.05, b2=0.999),
  },
  "averaged, decayed, by Langevin": {
    "ema": 0.9,
    "optimizer": adam_of(schedule="cosine", decay_steps=1),
    "sampler": langevin.langevin(0.01),
    "synthesis_batch": None,
  },
}


@cache
def _trial(name):
  return contract.Trial(winn_of(**VARIANTS[name]), batches_of())


@cache
def _first(name):
  """A first step: the state before it, on the host, the state after it, its metrics."""
  trial = _trial(name)
  before = jax.device_get(trial.start())
  after, history = trial.run(trial.start(), 0, 1)
  return before, jax.device_get(after), history[0]


@pytest.mark.parametrize("promise", contract.PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "thesis"])  # which test_contract.py has
def test_winn_keeps_the_contract(name, promise):
  promise(_trial(name))


# The classification step


@pytest.mark.parametrize(("name", "passes"), [("thesis", [8, 16, 24]), ("released code", [4, 12, 20])])
def test_a_step_makes_passes_times_minibatches_updates(name, passes):
  """With a ramp of 2 the first step uses 2 of its 4 minibatches."""
  trial = _trial(name)
  state, counts = trial.start(), []
  for i in range(3):
    state, _ = trial.run(state, i, i + 1)
    counts.append(int(state.optimizer[0].count))
  assert counts == passes


# The synthesis step


def test_the_bounds_are_the_least_and_greatest_f_of_the_positives():
  _, after, metrics = _first("thesis")
  scores = f_of(after.params, batches_of()[0]["image"])
  np.testing.assert_allclose(after.bounds, [scores.min(), scores.max()], rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(after.bounds, [metrics["f_least"], metrics["f_greatest"]])


def test_in_batch_mode_the_bounds_are_those_of_the_minibatches_means():
  _, after, _ = _first("released code")
  scores = f_of(after.params, batches_of()[0]["image"])
  means = scores.reshape(MINIBATCH, -1).mean(0)  # position j of every minibatch comes from the j-th run of the batch
  np.testing.assert_allclose(after.bounds, [means.min(), means.max()], rtol=1e-4, atol=1e-5)


def test_with_an_average_the_bounds_are_its_own():
  _, after, _ = _first("averaged, decayed, by Langevin")
  scores = f_of(after.ema, batches_of()[0]["image"])
  np.testing.assert_allclose(after.bounds, [scores.min(), scores.max()], rtol=1e-4, atol=1e-5)


def test_the_pool_grows_by_the_synthesis_and_forgets_nothing_until_it_is_full():
  before, after, _ = _first("thesis")
  assert before.pool.count.sum() == INITIAL
  assert after.pool.count.sum() == INITIAL + SYNTHESIS
  filled = INITIAL // MINIBATCH
  np.testing.assert_array_equal(after.pool.images[:, :filled], before.pool.images[:, :filled])
  assert not after.pool.images[:, filled + SYNTHESIS // MINIBATCH :].any()
  later = _trial("thesis").trained  # three steps: 64 images came, 48 are kept
  assert later.pool.count.sum() == INITIAL + 3 * SYNTHESIS
  assert later.pool.images.shape == (MINIBATCH, CAPACITY // MINIBATCH, math.prod(SHAPE))


def _newcomers(after):
  filled = INITIAL // MINIBATCH
  return np.asarray(after.pool.images[:, filled : filled + SYNTHESIS // MINIBATCH]).reshape(-1, *SHAPE)


def test_new_members_score_at_least_the_least_of_the_positives():
  _, after, metrics = _first("thesis")
  assert metrics["stopped"] == 1
  assert 0 < metrics["moves"] < 12
  assert metrics["moves"] / 12 <= metrics["gradients_used"] < metrics["moves"] / (metrics["moves"] + 1) + 1e-6
  scores = f_of(after.params, _newcomers(after))
  assert scores.min() >= after.bounds[0] - 1e-5
  np.testing.assert_allclose(scores.mean(), metrics["f_synthesis"], rtol=1e-4)
  assert scores.max() < after.bounds[1] + 3 * np.ptp(after.bounds)  # one move past a threshold, no more


@pytest.mark.parametrize("stop", ["example", "batch"])
def test_thresholds_are_uniform_between_the_bounds_one_for_an_image_or_one_for_a_batch(stop):
  system = winn(
    Mean(),
    gaussian(SHAPE, std=0.0),
    shape=SHAPE,
    minibatch=8,
    sampler=langevin.adam(learning_rate=0.02),
    ascent_steps=50,
    stop=stop,
    synthesis=40,
    synthesis_batch=40,
    initial=8,
    capacity=8,
  )
  state = jax.jit(system.init)(jax.random.key(0), {"image": jnp.zeros((8, *SHAPE))})
  state = state._replace(bounds=jnp.array([0.1, 0.7]))
  images = jax.jit(system.views["sample"], static_argnums=2)(jax.random.key(1), state, 4000)
  reached = np.asarray(images).mean((1, 2, 3))
  values, counts = np.unique(reached.round(3), return_counts=True)
  assert reached.min() >= 0.1 - 1e-5
  assert reached.max() <= 0.72 + 1e-5  # at most one move past a threshold
  independent = 4000 if stop == "example" else 100
  assert abs(reached.mean() - 0.41) < 4 * 0.6 / np.sqrt(12 * independent)  # half a move past the thresholds' mean
  assert len(values) > 15
  assert (counts % 40 == 0).all() == (stop == "batch")


def test_a_pool_of_bytes_holds_its_images_in_bytes():
  before, after, _ = _first("released code")
  assert before.pool.images.dtype == after.pool.images.dtype == np.uint8
  assert _newcomers(after).max() > 200
  exact = _first("thesis")[0].pool.images  # of the same key
  np.testing.assert_array_equal(
    before.pool.images, to_uint8(exact) * (np.arange(CAPACITY // MINIBATCH) < 2)[None, :, None]
  )


# What samples


def test_a_cosine_counts_steps_not_updates():
  """The learning rate is 0 after the first of two steps of eight updates."""
  trial = _trial("averaged, decayed, by Langevin")
  start, first, second = (trial.run(trial.start(), 0, steps)[0].params for steps in (0, 1, 2))
  assert any(jax.tree.leaves(jax.tree.map(lambda a, b: np.abs(a - b).max() > 1e-4, start, first)))
  jax.tree.map(np.testing.assert_array_equal, first, second)


def test_with_an_average_samples_come_from_it_and_else_from_the_parameters():
  for name, used, unused in (("thesis", "params", None), ("averaged, decayed, by Langevin", "ema", "params")):
    trial = _trial(name)
    draw = lambda state, trial=trial: np.asarray(trial.sample(jax.random.key(3), state, 8))
    wild = jax.tree.map(lambda leaf: -leaf, trial.trained.params)
    before = draw(trial.trained)
    assert not np.array_equal(draw(trial.trained._replace(**{used: wild})), before)
    if unused:
      np.testing.assert_array_equal(draw(trial.trained._replace(**{unused: wild})), before)
    else:
      assert trial.trained.ema is None


def test_samples_reach_the_positives_range_of_f():
  trial = _trial("thesis")
  images = trial.sample(jax.random.key(3), trial.trained, 16)
  assert f_of(trial.trained.params, images).min() >= trial.trained.bounds[0] - 1e-5


def test_views_use_the_average_where_there_is_one():
  for name, used in (("thesis", "params"), ("averaged, decayed, by Langevin", "ema")):
    trial, image = _trial(name), batches_of()[1]["image"]
    views, f = trial.system.views, f_of(getattr(trial.trained, used), image)
    np.testing.assert_allclose(views["score"](trial.trained, image), f, rtol=1e-4, atol=1e-5)
    (stage,) = views["stages"](trial.trained)
    np.testing.assert_allclose(stage.score(image), f, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(stage.bounds, trial.trained.bounds)


def test_kernels_make_the_moves_that_they_count():
  """f is the mean of 64 pixels, and Adam moves all of them by its learning rate."""
  settings = {"sampler": langevin.adam(learning_rate=0.02), "ascent_steps": 3}
  system = winn(
    Mean(), gaussian(SHAPE, std=0.1), shape=SHAPE, minibatch=8, synthesis=16, synthesis_batch=16, **settings
  )
  kernels = system.kernels(jax.random.key(0), batches_of()[0])
  assert {name: each.work for name, each in kernels.items()} == {"sampler": 3 * 16, "bare gradient": 16}
  bare, sampler = (jax.jit(kernels[name].fn)(*kernels[name].args) for name in ("bare gradient", "sampler"))
  np.testing.assert_allclose(bare, 1 / 64, rtol=1e-6)
  np.testing.assert_allclose(sampler - kernels["sampler"].args[2], 0.06, rtol=1e-4)


# Learning


@pytest.mark.slow
def test_it_learns_two_patterns():
  """Images bright on the left, or bright at the top. Distance: root mean square to the nearer pattern."""
  patterns = np.full((2, *SHAPE), -0.8, np.float32)
  patterns[0, :, :4] = patterns[1, :4] = 0.8
  rng = np.random.default_rng(0)

  def batch():
    images = patterns[rng.integers(0, 2, 64)] + 0.1 * rng.normal(size=(64, *SHAPE))
    return {"image": np.clip(images, -1, 1).astype(np.float32)}

  def distance(images):
    each = np.sqrt(((np.asarray(images)[:, None] - patterns[None]) ** 2).mean((2, 3, 4)))
    return each.min(1).mean(), np.bincount(each.argmin(1), minlength=2)

  system = winn_of(passes=3, minibatch=16, ascent_steps=40, synthesis=32, synthesis_batch=32, initial=64, capacity=1024)
  step = jax.jit(system.step, donate_argnums=1, compiler_options=WELL)
  state = jax.jit(system.init)(jax.random.key(0), batch())
  for i in range(60):
    state, _ = step(jax.random.fold_in(jax.random.key(1), i), state, batch())
  far, _ = distance(NOISE(jax.random.key(2), 64))
  near, members = distance(jax.jit(system.views["sample"], static_argnums=2)(jax.random.key(3), state, 64))
  assert far > 0.8
  assert near < 0.35  # the data themselves: 0.1
  assert members.min() >= 6  # of 64: neither pattern is lost
