"""The supervised WINN, its baseline and ICN: the contract of every system, what its header says, and that it learns."""

from functools import cache, partial

import contract
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.convnet import ConvNet
from genjax.nets.dcgan import DCGANCritic
from genjax.nets.heads import Drop
from genjax.nets.noise import decoder
from genjax.objectives.terms import Objective, Term
from genjax.objectives.zoo import inn_objective
from genjax.ops import langevin, pool
from genjax.systems.optimizers import adam
from genjax.systems.winn_classifier import _baseline_loss, _drawn, _loss, _minibatch, winn_classifier

SHAPE, CLASSES = (8, 8, 1), 3
MINIBATCH, BATCH, SYNTHESIS, INITIAL, CAPACITY = 8, 32, 16, 8, 40
NOISE = decoder(SHAPE, width=8)


class Net(nn.Module):
  """The released arrangement: f is a linear layer on the class logits."""

  dropout: float = 0.0

  @nn.compact
  def __call__(self, images, *, train=False):
    _, aux = ConvNet(((8,), (8,)))(images)
    features = Drop(self.dropout)(aux["features"], train)
    logits = nn.Dense(CLASSES)(features)
    return nn.Dense(1)(logits)[:, 0], {"features": features, "class_logits": logits}


def _system(net=Net(), **changes):  # noqa: B008 - a flax module is frozen
  settings = {
    "minibatch": MINIBATCH,
    "sampler": langevin.adam(learning_rate=0.05, b1=0.9, b2=0.9),
    "ascent_steps": 6,
    "synthesis": SYNTHESIS,
    "synthesis_batch": SYNTHESIS,
    "initial": INITIAL,
    "capacity": CAPACITY,
  }
  return winn_classifier(net, NOISE, shape=SHAPE, classes=CLASSES, **(settings | changes))


def _batches(count=3, size=BATCH):
  rng = np.random.default_rng(0)
  return [
    {
      "image": rng.uniform(-1, 1, (size, *SHAPE)).astype(np.float32),
      "label": rng.integers(0, CLASSES, size).astype(np.int32),
    }
    for _ in range(count)
  ]


BASELINE = {"alpha": 0.0, "synthesis": 0}
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
  return contract.Trial(_system(**VARIANTS[name]), _batches())


@cache
def _first(name):
  """A first step: the state before it, on the host, the state after it, its metrics."""
  trial = _trial(name)
  before = jax.device_get(trial.start())
  after, history = trial.run(trial.start(), 0, 1)
  return before, jax.device_get(after), history[0]


@partial(jax.jit, static_argnums=0)
def _read(net, params, images):
  f, aux = net.apply(params, images)
  return f, aux["class_logits"]


def _crossed(logits, label):
  """Cross-entropy of each image, by hand."""
  logits = np.asarray(logits, np.float64)
  return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(label)), label]


@pytest.mark.parametrize("promise", contract.PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize(
  "name", ["baseline", *(pytest.param(name, marks=pytest.mark.slow) for name in list(VARIANTS)[1:3])]
)
def test_winn_classifier_keeps_the_contract(name, promise):
  if name == "baseline" and promise is contract.another_key_gives_another_state:
    return  # nothing in it is drawn: its net has no dropout
  promise(_trial(name))


# The classification step


@cache
def _seen():
  """What the objective sees in one update of a single minibatch: means of real and fake, the labels, f of both."""
  pages = lambda: {name: jnp.zeros((MINIBATCH,)) for name in ("real", "fake", "labels", "real_out", "fake_out")}

  def apply(key, state, round):
    mean = lambda images: images.mean((1, 2, 3))
    seen = {"real": mean(round.real), "fake": mean(round.fake), "labels": round.labels.astype(jnp.float32)}
    return round.fake_out.mean() - 2 * round.real_out.mean(), seen | {
      "real_out": jax.lax.stop_gradient(round.real_out),
      "fake_out": jax.lax.stop_gradient(round.fake_out),
    }

  system = _system(objective=Objective(Term(pages, apply)), ascent_steps=1, alpha=0.1)
  batch = _batches(1, MINIBATCH)[0]
  before = jax.jit(system.init)(jax.random.key(0), batch)
  after, metrics = jax.jit(system.step)(jax.random.key(1), before, batch)
  return batch, before, after, metrics


def test_every_real_image_meets_a_pseudo_negative_of_its_own_class_and_position():
  """With one image of each class at each position the draw is known."""
  batch, before, after, _ = _seen()
  held = np.asarray(before.pool.images)[:, 0].reshape(MINIBATCH, CLASSES, -1).mean(2)
  np.testing.assert_allclose(after.terms["fake"], held[np.arange(MINIBATCH), batch["label"]], atol=1e-6)
  np.testing.assert_allclose(after.terms["real"], batch["image"].mean((1, 2, 3)), atol=1e-6)
  np.testing.assert_array_equal(after.terms["labels"], batch["label"])


def test_each_minibatch_has_its_own_pseudo_negatives_and_meets_them_again_in_the_next_pass():
  filled = pool.append(
    jax.random.key(0), pool.empty(CLASSES, 40, (1, 1, 1)), jnp.arange(40.0 * CLASSES).reshape(-1, 1, 1, 1)
  )
  draw = _drawn(jax.random.key(1), filled, (1, 1, 1))
  label = jnp.zeros((1,), jnp.int32)
  drawn = [float(draw(place, label)[0, 0, 0, 0]) for place in (0, 1, 2, 3, 0, 1, 2, 3)]
  assert drawn[:4] == drawn[4:]
  assert len(set(drawn)) > 2

  # update i of a step is about minibatch i mod 2, and asks for the pseudo-negatives of that place
  reals = {"image": jnp.zeros((2, 2, *SHAPE)), "label": jnp.array([[0, 1], [2, 0]])}
  asked = lambda place, label: jnp.full((2, *SHAPE), place + 0.1 * label[0])
  mean = Objective(Term(lambda: (), lambda key, state, round: (round.fake.mean(), state)))
  net = Net()
  params = net.init(jax.random.key(0), jnp.zeros((1, *SHAPE)))
  loss = partial(_loss, net, mean, 1.0, jax.random.key(0), params, ())
  values = [loss(_minibatch(reals, asked, jnp.int32(index))) for index in range(4)]
  means = [float(value - metrics["cross_entropy"]) for value, (_, metrics) in values]
  np.testing.assert_allclose(means, [0.0, 1.2, 0.0, 1.2], atol=1e-5)


class _Dropping(nn.Module):
  """Half of the pixels: their sum, and logits of three classes."""

  @nn.compact
  def __call__(self, images, *, train=False):
    left = nn.Dropout(0.5, deterministic=not train)(images.reshape(len(images), -1))
    return self.param("w", nn.initializers.ones, ()) * left.sum(1), {
      "class_logits": left.reshape(len(images), 3, -1).sum(2)
    }


def test_every_update_drops_by_a_draw_of_its_own():
  """Also where two passes come to the same minibatch."""
  net, key = _Dropping(), jax.random.key(0)
  images = jnp.ones((4, 8, 6, 1))
  batch = {"image": images, "label": jnp.array([0, 1, 2, 0]), "fake": images}
  seen = Objective(Term(lambda: (), lambda key, state, round: (round.real_out[0], state)))
  params = net.init(key, images)
  for loss in (partial(_baseline_loss, net), partial(_loss, net, seen, 1.0)):
    run = jax.jit(lambda index, loss=loss: loss(jax.random.fold_in(key, index), params, (), batch)[0])
    assert len({float(run(index)) for index in range(6)}) > 3


def test_the_loss_is_cross_entropy_plus_alpha_times_the_objective():
  batch, before, after, metrics = _seen()
  f, logits = _read(Net(), before.params, batch["image"])
  crossed = _crossed(logits, batch["label"]).mean()
  np.testing.assert_allclose(metrics["cross_entropy"], crossed, rtol=1e-5)
  np.testing.assert_allclose(metrics["error"], np.mean(np.argmax(logits, 1) != batch["label"]))
  np.testing.assert_allclose(after.terms["real_out"], f, rtol=1e-4, atol=1e-5)
  wanted = crossed + 0.1 * (np.mean(after.terms["fake_out"]) - 2 * np.mean(f))
  np.testing.assert_allclose(metrics["loss"], wanted, rtol=1e-5)
  np.testing.assert_allclose(
    metrics["wasserstein"], np.mean(f) - np.mean(after.terms["fake_out"]), rtol=1e-4, atol=1e-6
  )


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
def test_with_a_vanishing_alpha_winn_trains_like_the_baseline():
  """Same weights, same minibatches in the same order: what the two have in common is equal, not only alike."""
  batch = _batches()[0]
  ends = []
  for changes in ({"alpha": 1e-30, "ascent_steps": 1}, BASELINE):
    system = _system(**changes)
    state, _ = jax.jit(system.step)(jax.random.key(3), jax.jit(system.init)(jax.random.key(0), batch), batch)
    ends.append(state.params)
  jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4), *ends)


@pytest.mark.slow
def test_dropout_is_used_in_training_only():
  name = "ICN, averaged, decayed, two passes, dropout"
  first, second = (_trial(name).step(jax.random.key(key), _trial(name).start(), _batches()[0])[1] for key in (1, 2))
  assert first["cross_entropy"] != second["cross_entropy"]
  images, views = _batches()[1]["image"], _trial(name).system.views
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
  system = _system(ascent_steps=300, tolerance=0.02, sampler=langevin.adam(learning_rate=0.01, b1=0.9, b2=0.9))
  before = jax.jit(system.init)(jax.random.key(0), _batches()[0])
  after, metrics = jax.jit(system.step)(jax.random.key(1), before, _batches()[0])
  return system, after, metrics


@pytest.mark.slow
def test_chains_end_within_the_range_of_f_and_lean_to_their_class():
  _, after, metrics = _long()
  f, _ = _read(Net(), after.params, _batches()[0]["image"])
  np.testing.assert_allclose(after.bounds, [f.min(), f.max()], rtol=1e-4, atol=1e-5)
  fresh = np.asarray(after.pool.images)[:, INITIAL // MINIBATCH : INITIAL // MINIBATCH + SYNTHESIS // MINIBATCH]
  fresh = fresh.reshape(MINIBATCH, CLASSES, -1, *SHAPE).swapaxes(0, 1).reshape(CLASSES, -1, *SHAPE)
  label = np.repeat(np.arange(CLASSES), fresh.shape[1])
  f, logits = _read(Net(), after.params, fresh.reshape(-1, *SHAPE))
  assert metrics["stopped"] > 0.5
  assert metrics["off"] < 0.05
  assert f.min() > after.bounds[0] - 0.1
  assert f.max() < after.bounds[1] + 0.1
  starts, _ = _read(Net(), after.params, NOISE(jax.random.key(0), len(label)))
  others = _read(Net(), after.params, NOISE(jax.random.key(0), len(label)))[1]
  assert _crossed(logits, label).mean() < _crossed(others, label).mean()
  assert len(starts) == len(label)


@pytest.mark.slow
def test_image_i_of_a_sample_has_class_i_modulo_their_number():
  system, after, _ = _long()
  for n in (24, 21):
    images = jax.jit(system.views["sample"], static_argnums=2)(jax.random.key(5), after, n)
    _, logits = _read(Net(), after.params, images)
    own = _crossed(logits, np.arange(n) % CLASSES).mean()
    assert all(own < _crossed(logits, (np.arange(n) + shift) % CLASSES).mean() for shift in (1, 2))


@pytest.mark.slow
def test_in_batch_mode_the_bounds_are_those_of_the_minibatches_means():
  _, after, _ = _first("released code")
  f, _ = _read(Net(), after.params, _batches()[0]["image"])
  means = np.asarray(f).reshape(MINIBATCH, -1).mean(0)
  np.testing.assert_allclose(after.bounds, [means.min(), means.max()], rtol=1e-4, atol=1e-5)
  assert after.pool.images.dtype == np.uint8


@pytest.mark.slow
def test_in_batch_mode_it_is_the_mean_that_arrives():
  system = _system(stop="batch", ascent_steps=300, tolerance=0.02, class_weight=0.0, synthesis_batch=SYNTHESIS)
  after, metrics = jax.jit(system.step)(
    jax.random.key(1), jax.jit(system.init)(jax.random.key(0), _batches()[0]), _batches()[0]
  )
  assert metrics["stopped"] == 1
  assert metrics["off"] <= 0.02
  assert metrics["moves"] < 300


# Errors


@pytest.mark.parametrize(
  ("changes", "says"),
  [
    ({"alpha": 0.0}, "alpha 0.0 with synthesis 16; use 0 for both"),
    ({"synthesis": 0}, "alpha 0.01 with synthesis 0; use 0 for both"),
    ({"synthesis": 20}, "synthesis 20 of a class is not a multiple of the minibatch 8; use 16"),
    ({"initial": 4}, "initial 4 of a class is not a multiple of the minibatch 8; use 8"),
    ({"capacity": 50}, "capacity 50 of a class is not a multiple of the minibatch 8; use 48"),
    ({"initial": 48}, "initial 48 is more than the pool's capacity 40"),
    ({"synthesis_batch": 12}, r"synthesis_batch 12 must divide classes \* synthesis, 48"),
    ({"synthesis_batch": 32}, "synthesis_batch 32 must divide"),
    ({"ema": 1.0}, r"ema 1.0 is not in \[0, 1\)"),
    ({"passes": 0}, "passes 0; use at least 1"),
    ({"stop": "image"}, "stop 'image'; use 'example' or 'batch'"),
    ({"policy": "newest"}, "policy 'newest'; use 'reservoir' or 'ring'"),
    ({"pool_dtype": "float16"}, "pool_dtype 'float16'; use 'float32' or 'uint8'"),
  ],
)
def test_what_cannot_work_is_refused_before_anything_is_compiled(changes, says):
  with pytest.raises(ValueError, match=says):
    _system(**changes)


def test_a_batch_that_does_not_fit_is_refused():
  system, start = _system(), partial(jax.eval_shape, _system().init, jax.random.key(0))
  with pytest.raises(ValueError, match="batch 20 is not a multiple of the minibatch 8"):
    start(_batches(1, 20)[0])
  with pytest.raises(ValueError, match="the batch has no labels"):
    start({"image": jnp.zeros((32, *SHAPE))})
  with pytest.raises(ValueError, match=r"images are \(4, 4, 1\), the system was built for \(8, 8, 1\)"):
    jax.eval_shape(system.init, jax.random.key(0), {"image": jnp.zeros((32, 4, 4, 1)), "label": jnp.zeros(32, int)})


def test_a_net_gets_the_datas_classes_and_one_with_others_or_without_any_is_refused():
  make = lambda net: winn_classifier(net, NOISE, shape=SHAPE, classes=CLASSES)
  start = lambda net: jax.eval_shape(make(net).init, jax.random.key(0), _batches(1, 100)[0])
  params = start(ConvNet(((4,), (4,)))).params["params"]
  assert params["classes"]["kernel"].shape[1] == CLASSES
  with pytest.raises(ValueError, match="the net has head_classes 4, the data have 3 classes; leave head_classes out"):
    make(ConvNet(((4,), (4,)), head_classes=4))
  with pytest.raises(ValueError, match=r"DCGANCritic gives no aux\['class_logits'\] \[B, 3\]; use a net with a field"):
    start(DCGANCritic((4,), norm="layer"))


def test_the_defaults_are_those_of_the_released_code():
  system = winn_classifier(Net(), NOISE, shape=SHAPE, classes=CLASSES)
  state = jax.eval_shape(system.init, jax.random.key(0), _batches(1, 100)[0])
  assert state.pool.images.shape == (100 * CLASSES, 201, 64)  # 100 of a class at first, and 100 in each of 200 steps


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

  system = _system(
    minibatch=16,
    passes=3,
    optimizer=adam(learning_rate=2e-3, b1=0.0, b2=0.9),
    ascent_steps=60,
    synthesis=16,
    synthesis_batch=48,
    initial=16,
    capacity=1024,
  )
  step = jax.jit(system.step, donate_argnums=1)
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
