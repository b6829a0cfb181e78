import math
from functools import cache

import contract
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.nets.convnet import ConvNet
from genjax.nets.dcgan import DCGANCritic
from genjax.nets.noise import decoder, gaussian
from genjax.objectives.terms import Objective, Term
from genjax.objectives.zoo import winn_objective
from genjax.ops import langevin
from genjax.ops.augment import to_uint8
from genjax.systems.optimizers import adam
from genjax.systems.passes import Learner, learn
from genjax.systems.winn import _loss, winn

SHAPE = (8, 8, 1)
MINIBATCH, BATCH, SYNTHESIS, INITIAL, CAPACITY = 8, 32, 16, 16, 48
NET = ConvNet(((8, 8), (16,)))
NOISE = decoder(SHAPE, width=8)
KEY = jax.random.key(0)


def _adam(**settings):
  return adam(learning_rate=1e-3, b1=0.0, b2=0.9, **settings)


def _system(**changes):
  settings = {
    "passes": 2,
    "minibatch": MINIBATCH,
    "optimizer": _adam(),
    "sampler": langevin.adam(learning_rate=0.05),
    "ascent_steps": 12,
    "synthesis": SYNTHESIS,
    "synthesis_batch": SYNTHESIS,
    "initial": INITIAL,
    "capacity": CAPACITY,
  }
  return winn(NET, NOISE, shape=SHAPE, **(settings | changes))


def _batches(count=3, size=BATCH):
  rng = np.random.default_rng(0)
  return [{"image": rng.uniform(-1, 1, (size, *SHAPE)).astype(np.float32)} for _ in range(count)]


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
    "optimizer": _adam(schedule="cosine", decay_steps=1),
    "sampler": langevin.langevin(0.01),
    "synthesis_batch": None,
  },
}


@cache
def _trial(name):
  return contract.Trial(_system(**VARIANTS[name]), _batches())


@cache
def _first(name):
  """A first step: the state before it, on the host, the state after it, its metrics."""
  trial = _trial(name)
  before = jax.device_get(trial.start())
  after, history = trial.run(trial.start(), 0, 1)
  return before, jax.device_get(after), history[0]


def _f(params, images):
  """f of each image by itself."""
  return np.concatenate([NET.apply(params, image[None])[0] for image in images])


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


def test_metrics_are_means_over_the_updates_that_are_made_however_many_a_ramp_leaves():
  """Update i goes down a slope of i: the weight by the sum of i, the metric by its mean."""
  one = lambda index: {"index": index}

  def loss(key, params, terms, batch):
    return params * batch["index"], (terms, {"index": 1.0 * batch["index"], "key": jax.random.uniform(key)})

  rule = optax.sgd(1.0)
  start, names = Learner(jnp.zeros(()), None, rule.init(jnp.zeros(())), ()), ("index", "key")
  run = jax.jit(lambda count: learn(KEY, start, one, loss, rule, count=count, ema=0.0, metrics=names))
  for count in (2, 5):
    after, metrics = run(count)
    assert after.params == -count * (count - 1) / 2
    np.testing.assert_allclose([metrics["index"], metrics["gradient"]], (count - 1) / 2, rtol=1e-6)
    keys = jax.vmap(lambda index: jax.random.fold_in(KEY, index))(jnp.arange(count))  # an update has one of its own
    np.testing.assert_allclose(metrics["key"], jax.vmap(jax.random.uniform)(keys).mean(), rtol=1e-6)


class _Dropping(nn.Module):
  """The sum of the pixels that are left of half of them."""

  @nn.compact
  def __call__(self, images, *, train=False):
    left = nn.Dropout(0.5, deterministic=not train)(images.reshape(len(images), -1))
    return self.param("w", nn.initializers.ones, ()) * left.sum(1), {}


def test_every_update_drops_by_a_draw_of_its_own():
  """Also where two passes come to the same minibatch."""
  net, images = _Dropping(), jnp.ones((4, *SHAPE))
  seen = Objective(Term(lambda: (), lambda key, state, round: (round.real_out[0], state)))
  params, batch = net.init(KEY, images), {"real": images, "fake": images}
  run = jax.jit(lambda index: _loss(net, seen, jax.random.fold_in(KEY, index), params, (), batch)[0])
  assert (
    len({float(run(index)) for index in range(6)}) > 3
  )  # sums of 64 that are 0 or 2: two of them are alike at times


class _Diary:
  """A Term that writes down, in its state, the mean pixel of every minibatch that it sees."""

  def __init__(self, updates):
    self.term = Term(lambda: (jnp.zeros((), jnp.int32), jnp.zeros((updates, 2, MINIBATCH))), self._apply)

  def _apply(self, key, state, round):
    index, pages = state
    page = jnp.stack([round.real.mean((1, 2, 3)), round.fake.mean((1, 2, 3))])
    return round.fake_out.mean() - round.real_out.mean(), (index + 1, pages.at[index].set(page))


@cache
def _diary():
  """What two passes over a batch of four minibatches show the objective, [pass, minibatch, real or fake, m]."""
  system = _system(objective=Objective(_Diary(8).term), passes=2)
  before = jax.jit(system.init)(jax.random.key(0), _batches()[0])
  after, _ = jax.jit(system.step)(jax.random.key(1), before, _batches()[0])
  return np.asarray(after.terms[1]).reshape(2, 4, 2, MINIBATCH), np.asarray(before.pool.images)


def test_every_pass_goes_over_the_same_positives_and_the_same_negatives():
  pages, _ = _diary()
  np.testing.assert_array_equal(pages[0], pages[1])


def test_a_pass_shows_every_positive_once():
  pages, _ = _diary()
  np.testing.assert_allclose(
    np.sort(pages[0, :, 0].ravel()), np.sort(_batches()[0]["image"].mean((1, 2, 3))), atol=1e-6
  )


def test_negatives_are_recalled_a_minibatch_at_a_time():
  system, batch = _system(), {"image": jnp.zeros((40, *SHAPE))}
  state = jax.eval_shape(system.init, jax.random.key(0), batch)
  text = str(jax.make_jaxpr(system.step)(jax.random.key(0), state, batch))
  assert f"f32[8,{math.prod(SHAPE)}]" in text
  assert f"f32[8,5,{math.prod(SHAPE)}]" not in text


def test_negatives_come_from_the_filled_part_of_the_pool():
  pages, held = _diary()
  means = held[:, : INITIAL // MINIBATCH].mean(2).ravel()
  fakes = pages[0, :, 1].ravel()
  assert np.abs(fakes[:, None] - means[None]).min(1).max() < 1e-6
  assert len(np.unique(np.abs(fakes[:, None] - means[None]).argmin(1))) > 8


def test_the_loss_is_that_of_equation_2_6():
  """With one image a slot the draw is known; with reals equal to fakes so is every point between them."""
  system = _system(passes=1, initial=MINIBATCH, ascent_steps=1)
  init, step = jax.jit(system.init), jax.jit(system.step)
  batch = _batches(1, MINIBATCH)[0]
  state = init(jax.random.key(0), batch)
  fakes = state.pool.images[:, 0].reshape(-1, *SHAPE)
  slopes = np.linalg.norm(
    [np.ravel(jax.grad(lambda x: NET.apply(state.params, x[None])[0][0])(x)) for x in fakes], axis=1
  )
  penalty = 10 * ((slopes - 1) ** 2).mean()
  _, alike = step(jax.random.key(1), state, {"image": fakes})
  np.testing.assert_allclose(alike["wasserstein"], 0, atol=1e-6)
  np.testing.assert_allclose(alike["loss"], penalty, rtol=1e-4)
  _, apart = step(jax.random.key(1), state, batch)
  between = _f(state.params, batch["image"]).mean() - _f(state.params, fakes).mean()
  np.testing.assert_allclose(apart["wasserstein"], between, rtol=1e-3, atol=1e-6)
  assert apart["loss"] > -apart["wasserstein"]  # the penalty is not negative


# The synthesis step


def test_the_bounds_are_the_least_and_greatest_f_of_the_positives():
  _, after, metrics = _first("thesis")
  scores = _f(after.params, _batches()[0]["image"])
  np.testing.assert_allclose(after.bounds, [scores.min(), scores.max()], rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(after.bounds, [metrics["f_least"], metrics["f_greatest"]])


def test_in_batch_mode_the_bounds_are_those_of_the_minibatches_means():
  _, after, _ = _first("released code")
  scores = _f(after.params, _batches()[0]["image"])
  means = scores.reshape(MINIBATCH, -1).mean(0)  # position j of every minibatch comes from the j-th run of the batch
  np.testing.assert_allclose(after.bounds, [means.min(), means.max()], rtol=1e-4, atol=1e-5)


def test_with_an_average_the_bounds_are_its_own():
  _, after, _ = _first("averaged, decayed, by Langevin")
  scores = _f(after.ema, _batches()[0]["image"])
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
  scores = _f(after.params, _newcomers(after))
  assert scores.min() >= after.bounds[0] - 1e-5
  np.testing.assert_allclose(scores.mean(), metrics["f_synthesis"], rtol=1e-4)
  assert scores.max() < after.bounds[1] + 3 * np.ptp(after.bounds)  # one move past a threshold, no more


class _Mean(nn.Module):
  """f is the mean pixel: Adam climbs it in moves of its learning rate, so f of a sample shows its threshold."""

  @nn.compact
  def __call__(self, images):
    scale = self.param("scale", nn.initializers.ones, (1,))
    return scale * images.mean((1, 2, 3)), {}


@pytest.mark.parametrize("stop", ["example", "batch"])
def test_thresholds_are_uniform_between_the_bounds_one_for_an_image_or_one_for_a_batch(stop):
  system = winn(
    _Mean(),
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


def test_the_average_moves_by_its_share_at_every_update():
  """The weight is 1 and falls by 1 an update, so the average of decay 0.75 is known."""
  loss = lambda key, params, terms, batch: (params, (terms, {}))
  rule = optax.sgd(1.0)
  start = Learner(jnp.ones(()), jnp.ones(()), rule.init(jnp.ones(())), ())
  after, _ = learn(KEY, start, lambda index: {}, loss, rule, count=2, ema=0.75, metrics=())
  assert after.params == -1
  assert after.ema == 0.75 * (0.75 * 1 + 0.25 * 0) + 0.25 * -1


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
  assert _f(trial.trained.params, images).min() >= trial.trained.bounds[0] - 1e-5


def test_views_use_the_average_where_there_is_one():
  for name, used in (("thesis", "params"), ("averaged, decayed, by Langevin", "ema")):
    trial, image = _trial(name), _batches()[1]["image"]
    views, f = trial.system.views, _f(getattr(trial.trained, used), image)
    np.testing.assert_allclose(views["score"](trial.trained, image), f, rtol=1e-4, atol=1e-5)
    (stage,) = views["stages"](trial.trained)
    np.testing.assert_allclose(stage.score(image), f, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(stage.bounds, trial.trained.bounds)


def test_kernels_make_the_moves_that_they_count():
  """f is the mean of 64 pixels, and Adam moves all of them by its learning rate."""
  settings = {"sampler": langevin.adam(learning_rate=0.02), "ascent_steps": 3}
  system = winn(
    _Mean(), gaussian(SHAPE, std=0.1), shape=SHAPE, minibatch=8, synthesis=16, synthesis_batch=16, **settings
  )
  kernels = system.kernels(jax.random.key(0), _batches()[0])
  assert {name: each.work for name, each in kernels.items()} == {"sampler": 3 * 16, "bare gradient": 16}
  bare, sampler = (jax.jit(kernels[name].fn)(*kernels[name].args) for name in ("bare gradient", "sampler"))
  np.testing.assert_allclose(bare, 1 / 64, rtol=1e-6)
  np.testing.assert_allclose(sampler - kernels["sampler"].args[2], 0.06, rtol=1e-4)


# Errors


@pytest.mark.parametrize(
  ("changes", "says"),
  [
    ({"synthesis": 20}, "synthesis 20 is not a multiple of the minibatch 8; use 16"),
    ({"initial": 4}, "initial 4 is not a multiple of the minibatch 8; use 8"),
    ({"capacity": 50}, "capacity 50 is not a multiple of the minibatch 8; use 48"),
    ({"initial": 56}, "initial 56 is more than the pool's capacity 48"),
    ({"synthesis_batch": 12}, "synthesis_batch 12 must divide synthesis 16 and be a multiple of minibatch 8"),
    ({"synthesis_batch": 4}, "synthesis_batch 4 must divide"),
    ({"ema": 1.0}, r"ema 1.0 is not in \[0, 1\)"),
    ({"passes": 0}, "passes 0; use at least 1"),
    ({"minibatch": 0}, "minibatch 0; use at least 1"),
    ({"ramp": 0}, "ramp 0; use at least 1"),
    ({"stop": "image"}, "stop 'image'; use 'example' or 'batch'"),
    ({"policy": "newest"}, "policy 'newest'; use 'reservoir' or 'ring'"),
    ({"pool_dtype": "float16"}, "pool_dtype 'float16'; use 'float32' or 'uint8'"),
  ],
)
def test_what_cannot_work_is_refused_before_anything_is_compiled(changes, says):
  with pytest.raises(ValueError, match=says):
    _system(**changes)


def test_a_batch_that_does_not_fit_is_refused():
  system = _system()
  with pytest.raises(ValueError, match="batch 20 is not a multiple of the minibatch 8"):
    jax.eval_shape(system.init, jax.random.key(0), _batches(1, 20)[0])
  with pytest.raises(ValueError, match=r"images are \(4, 4, 1\), the system was built for \(8, 8, 1\)"):
    jax.eval_shape(system.init, jax.random.key(0), {"image": jnp.zeros((32, 4, 4, 1))})


class _Bare(nn.Module):
  """No critic: it returns logits without an aux."""

  @nn.compact
  def __call__(self, images):
    return _Mean()(images)[0]


@pytest.mark.parametrize(
  ("net", "says"),
  [
    (_Bare(), r"_Bare returns \(1,\) for 1 image; a critic returns \(logits \[B\], aux\)"),
    (DCGANCritic((4,), norm="spectral"), "DCGANCritic keeps spectral; use a net without batch or spectral normalis"),
    (DCGANCritic((4, 4), norm="batch"), "DCGANCritic keeps batch_stats"),
  ],
)
def test_a_net_that_is_no_critic_of_single_images_is_refused(net, says):
  system = winn(net, NOISE, shape=SHAPE, minibatch=8, synthesis=8, synthesis_batch=8, initial=8, capacity=8)
  with pytest.raises(ValueError, match=says):
    jax.eval_shape(system.init, jax.random.key(0), _batches()[0])


def test_the_defaults_are_the_papers():
  """k = 3, minibatches of 50, and a pool and synthesis that they divide: it builds, with the default objective."""
  system = winn(NET, gaussian(SHAPE), shape=SHAPE)
  state = jax.eval_shape(system.init, jax.random.key(0), {"image": jnp.zeros((50, *SHAPE))})
  assert state.pool.images.shape == (50, 200, math.prod(SHAPE))
  assert len(state.terms) == len(winn_objective().critic.init()) == 2


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

  system = _system(passes=3, minibatch=16, ascent_steps=40, synthesis=32, synthesis_batch=32, initial=64, capacity=1024)
  step = jax.jit(system.step, donate_argnums=1)
  state = jax.jit(system.init)(jax.random.key(0), batch())
  for i in range(60):
    state, _ = step(jax.random.fold_in(jax.random.key(1), i), state, batch())
  far, _ = distance(NOISE(jax.random.key(2), 64))
  near, members = distance(jax.jit(system.views["sample"], static_argnums=2)(jax.random.key(3), state, 64))
  assert far > 0.8
  assert near < 0.35  # the data themselves: 0.1
  assert members.min() >= 6  # of 64: neither pattern is lost
