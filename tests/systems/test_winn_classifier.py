"""The supervised WINN, its baseline and ICN: the contract of every system, the synthesis step, and that it learns."""

from functools import cache

import contract
import jax
import numpy as np
import pytest
from small_winn_classifier import (
  BASELINE,
  CLASSES,
  INITIAL,
  MINIBATCH,
  NOISE,
  SHAPE,
  SYNTHESIS,
  Net,
  batches_of,
  classifier_of,
  cross_entropy,
  read,
)

from genjax.objectives.zoo import inn_objective
from genjax.ops import langevin
from genjax.systems.optimizers import adam
from tests.systems.learning import WELL

VARIANTS = {
  "thesis": {},
  "released code": {"stop": "batch", "pool_dtype": "uint8", "policy": "ring", "synthesis_batch": MINIBATCH},
  "ICN, averaged, decayed, two passes, dropout": {
    "net": Net(dropout=0.3),
    "objective": inn_objective(),
    "ema": 0.9,
    "optimizer": adam(learning_rate=1e-3, b1=0.0, b2=0.9, schedule="cosine", decay_steps=10),
    "passes": 2,
    # Linear in the gradient, see contract.one_device_and_eight_agree.
    "sampler": langevin.langevin(0.01),
  },
  "baseline": BASELINE,
}


@cache
def _trial(name):
  return contract.Trial(classifier_of(**VARIANTS[name]), batches_of())


@cache
def _first(name):
  """A first step: the state before it, on the host, the state after it, its metrics."""
  trial = _trial(name)
  before = jax.device_get(trial.start())
  after, history = trial.run(trial.start(), 0, 1)
  return before, jax.device_get(after), history[0]


@pytest.mark.parametrize("promise", contract.PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize(
  "name", ["baseline", *(pytest.param(name, marks=pytest.mark.slow) for name in list(VARIANTS)[1:3])]
)
def test_winn_classifier_keeps_the_contract(name, promise):
  if name == "baseline" and promise is contract.another_key_gives_another_state:
    return  # nothing in it is drawn: its net has no dropout
  promise(_trial(name))


# The classification step


@pytest.mark.parametrize(
  ("name", "updates"),
  [("thesis", 4), pytest.param("ICN, averaged, decayed, two passes, dropout", 8, marks=pytest.mark.slow)],
)
def test_a_step_makes_passes_times_minibatches_updates(name, updates):
  assert _first(name)[1].optimizer[0].count == updates


def test_the_baseline_starts_at_the_same_weights_and_has_neither_pool_nor_samples():
  baseline, winn = _first("baseline"), _first("thesis")
  jax.tree.map(np.testing.assert_array_equal, baseline[0].params, winn[0].params)
  assert baseline[1].pool is None
  assert baseline[1].bounds is None
  assert set(_trial("baseline").system.views) == {"score", "classify"}
  assert not {"wasserstein", "moves"} & set(baseline[2])


@pytest.mark.slow
def test_dropout_is_used_in_training_only():
  name = "ICN, averaged, decayed, two passes, dropout"
  first, second = (_trial(name).step(jax.random.key(key), _trial(name).start(), batches_of()[0])[1] for key in (1, 2))
  assert first["cross_entropy"] != second["cross_entropy"]
  images, views = batches_of()[1]["image"], _trial(name).system.views
  plain = Net().apply(_trial(name).trained.ema, images)[1]["class_logits"]
  np.testing.assert_allclose(views["classify"](_trial(name).trained, images), plain, rtol=1e-5, atol=1e-6)


# The synthesis step


def test_each_step_gives_every_class_its_share_of_new_images():
  before, after, metrics = _first("thesis")
  assert metrics["moves"] / 6 - 1e-6 <= metrics["gradients_used"] <= 1
  slots, each = MINIBATCH * CLASSES, SYNTHESIS // MINIBATCH
  np.testing.assert_array_equal(before.pool.count, np.full(slots, INITIAL // MINIBATCH))
  np.testing.assert_array_equal(after.pool.count, np.full(slots, INITIAL // MINIBATCH + each))
  filled = INITIAL // MINIBATCH
  np.testing.assert_array_equal(after.pool.images[:, :filled], before.pool.images[:, :filled])
  assert np.abs(after.pool.images[:, filled : filled + each]).max(2).min() > 0
  assert not after.pool.images[:, filled + each :].any()


@cache
def _long():
  """Chains long enough to arrive, from a state of one step."""
  system = classifier_of(ascent_steps=300, tolerance=0.02, sampler=langevin.adam(learning_rate=0.01, b1=0.9, b2=0.9))
  before = jax.jit(system.init)(jax.random.key(0), batches_of()[0])
  after, metrics = jax.jit(system.step)(jax.random.key(1), before, batches_of()[0])
  return system, after, metrics


@pytest.mark.slow
def test_chains_end_within_the_range_of_f_and_lean_to_their_class():
  _, after, metrics = _long()
  f, _ = read(Net(), after.params, batches_of()[0]["image"])
  np.testing.assert_allclose(after.bounds, [f.min(), f.max()], rtol=1e-4, atol=1e-5)
  fresh = np.asarray(after.pool.images)[:, INITIAL // MINIBATCH : INITIAL // MINIBATCH + SYNTHESIS // MINIBATCH]
  fresh = fresh.reshape(MINIBATCH, CLASSES, -1, *SHAPE).swapaxes(0, 1).reshape(CLASSES, -1, *SHAPE)
  label = np.repeat(np.arange(CLASSES), fresh.shape[1])
  f, logits = read(Net(), after.params, fresh.reshape(-1, *SHAPE))
  assert metrics["stopped"] > 0.5
  assert metrics["off"] < 0.05
  assert f.min() > after.bounds[0] - 0.1
  assert f.max() < after.bounds[1] + 0.1
  starts, _ = read(Net(), after.params, NOISE(jax.random.key(0), len(label)))
  others = read(Net(), after.params, NOISE(jax.random.key(0), len(label)))[1]
  assert cross_entropy(logits, label).mean() < cross_entropy(others, label).mean()
  assert len(starts) == len(label)


@pytest.mark.slow
def test_image_i_of_a_sample_has_class_i_modulo_their_number():
  system, after, _ = _long()
  for n in (24, 21):
    images = jax.jit(system.views["sample"], static_argnums=2)(jax.random.key(5), after, n)
    _, logits = read(Net(), after.params, images)
    own = cross_entropy(logits, np.arange(n) % CLASSES).mean()
    assert all(own < cross_entropy(logits, (np.arange(n) + shift) % CLASSES).mean() for shift in (1, 2))


@pytest.mark.slow
def test_in_batch_mode_the_bounds_are_those_of_the_minibatches_means():
  _, after, _ = _first("released code")
  f, _ = read(Net(), after.params, batches_of()[0]["image"])
  means = np.asarray(f).reshape(MINIBATCH, -1).mean(0)
  np.testing.assert_allclose(after.bounds, [means.min(), means.max()], rtol=1e-4, atol=1e-5)
  assert after.pool.images.dtype == np.uint8


@pytest.mark.slow
def test_in_batch_mode_it_is_the_mean_that_arrives():
  system = classifier_of(stop="batch", ascent_steps=300, tolerance=0.02, class_weight=0.0, synthesis_batch=SYNTHESIS)
  after, metrics = jax.jit(system.step)(
    jax.random.key(1), jax.jit(system.init)(jax.random.key(0), batches_of()[0]), batches_of()[0]
  )
  assert metrics["stopped"] == 1
  assert metrics["off"] <= 0.02
  assert metrics["moves"] < 300


# Learning


@pytest.mark.slow
def test_it_learns_to_classify_and_to_generate_three_patterns():
  """Bright on the left, at the top, or in the middle.

  That an image looks like its class only follows from the classifier: nothing in the loss sees the class of a
  pseudo-negative but the pairs that the penalty looks between.
  """
  patterns = np.full((CLASSES, *SHAPE), -0.8, np.float32)
  patterns[0, :, :4] = patterns[1, :4] = patterns[2, 2:6, 2:6] = 0.8
  rng = np.random.default_rng(0)

  def batch():
    label = rng.integers(0, CLASSES, 64).astype(np.int32)
    images = patterns[label] + 0.1 * rng.normal(size=(64, *SHAPE))
    return {"image": np.clip(images, -1, 1).astype(np.float32), "label": label}

  system = classifier_of(
    minibatch=16,
    passes=3,
    optimizer=adam(learning_rate=2e-3, b1=0.0, b2=0.9),
    ascent_steps=60,
    synthesis=16,
    synthesis_batch=48,
    initial=16,
    capacity=1024,
  )
  step = jax.jit(system.step, donate_argnums=1, compiler_options=WELL)
  state = jax.jit(system.init)(jax.random.key(0), batch())
  for i in range(60):
    state, _ = step(jax.random.fold_in(jax.random.key(1), i), state, batch())
  held_out = batch()
  np.testing.assert_array_equal(system.views["classify"](state, held_out["image"]).argmax(1), held_out["label"])

  def distances(images):
    return np.sqrt(((np.asarray(images)[:, None] - patterns[None]) ** 2).mean((2, 3, 4)))

  each = distances(jax.jit(system.views["sample"], static_argnums=2)(jax.random.key(3), state, 48))
  assert distances(NOISE(jax.random.key(2), 48)).min(1).mean() > 0.75
  assert each.min(1).mean() < 0.6  # the data themselves: 0.1
  assert (each.argmin(1) == np.arange(48) % CLASSES).mean() > 0.6
