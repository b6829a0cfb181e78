"""The system `gan`: the contract, learning rates, averages, labels, devices, and that it learns."""

import re
from functools import cache

import contract
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_gan import CLASSES, LATENT, SHAPE, STILL, WGAN, M, batches_of, flat, gan_of, one_step

from genjax.nets.dcgan import DCGANCritic, DCGANGenerator
from genjax.nets.mlp import MLPCritic, MLPGenerator
from genjax.objectives.terms import Objective, on_logits, stateless, total
from genjax.systems.gan import gan
from genjax.systems.optimizers import adam, rmsprop, sgd
from genjax.train import plan
from genjax.train.mesh import make_mesh

LOGISTIC = Objective(
  on_logits(lambda real, fake: nn.softplus(-real).mean() + nn.softplus(fake).mean()),
  on_logits(lambda real, fake: nn.softplus(-fake).mean()),
)
LINEAR = Objective(on_logits(lambda real, fake: fake.mean()), on_logits(lambda real, fake: -fake.mean()))

VARIANTS = {
  "WGAN-GP": {"ema": 0.9, "critic_steps": 2},
  "DCGAN with labels": {
    "generator": DCGANGenerator(SHAPE, (8, 4), classes=CLASSES),
    "critic": DCGANCritic((4, 8), classes=CLASSES),
    "classes": CLASSES,
    "conditional": True,
    "objective": LOGISTIC,
    "critic_steps": 1,
    "prior": "uniform",
    "optimizer": adam(learning_rate=1e-3, b1=0.5),
    "ema": 0.9,
    "sample_batch": 4,
  },
  "clipped WGAN": {
    "optimizer": rmsprop(learning_rate=1e-3, schedule="linear", decay_steps=10),
    "generator_optimizer": rmsprop(learning_rate=1e-4, schedule="linear", decay_steps=10),
    "clip": 0.01,
    "critic_steps": 3,
  },
  "unrolled": {"objective": LOGISTIC, "unroll": 2, "critic_steps": 1},
  "consensus": {"order": "simultaneous", "consensus": 0.5, "critic_steps": 1, "optimizer": rmsprop(learning_rate=1e-3)},
  "plain gradients": {"optimizer": sgd(learning_rate=0.01), "ema": 0.5},
}


@cache
def _trial(name):
  return contract.Trial(gan_of(**VARIANTS[name]), batches_of(M * VARIANTS[name].get("critic_steps", 2)))


QUICK = ("DCGAN with labels",)  # rows.py has an unconditional GAN


@pytest.mark.parametrize("promise", contract.PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("name", [v if v in QUICK else pytest.param(v, marks=pytest.mark.slow) for v in VARIANTS])
def test_gan_keeps_the_contract(name, promise):
  promise(_trial(name))


# Learning rates, averages, labels


def test_two_time_scales_are_two_optimisers():
  system = gan_of(optimizer=sgd(learning_rate=0.1), generator_optimizer=sgd(learning_rate=0.0001))
  before, after = one_step(system, batches_of(2 * M, 1)[0])
  _, even = one_step(gan_of(optimizer=sgd(learning_rate=0.1)), batches_of(2 * M, 1)[0])
  jax.tree.map(np.testing.assert_array_equal, after.params["critic"], even.params["critic"])
  slow, fast = (flat(state.params["generator"]) - flat(before.params["generator"]) for state in (after, even))
  np.testing.assert_allclose(slow, fast / 1000, atol=1e-7)


def test_a_schedule_counts_steps_whatever_the_number_of_updates():
  system = gan_of(optimizer=adam(learning_rate=1e-3, schedule="linear", decay_steps=1))
  batch = batches_of(2 * M, 1)[0]
  _, first = one_step(system, batch)
  second, _ = jax.jit(system.step)(jax.random.key(2), first, batch)
  jax.tree.map(np.testing.assert_array_equal, second.params, first.params)


def test_clipped_weights_stay_within_their_bound():
  trained = _trial("clipped WGAN").trained
  assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(trained.params["critic"])) <= 0.01
  assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(trained.params["generator"])) > 0.1


def test_the_average_moves_by_its_share_and_samples():
  trial = _trial("plain gradients")
  before, after = one_step(trial.system, trial.batches[0])
  half = jax.tree.map(lambda a, b: (a + b) / 2, before.params["generator"], after.params["generator"])
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.ema["generator"]["params"], half)
  draw = lambda state: np.asarray(trial.sample(jax.random.key(3), state, 6))
  wild = jax.tree.map(lambda leaf: -leaf, after)
  np.testing.assert_array_equal(draw(after._replace(params=wild.params)), draw(after))
  assert not np.array_equal(draw(after._replace(ema=wild.ema)), draw(after))


class _Labelled(nn.Module):
  """An image of its label, and a tenth of the latent."""

  @nn.compact
  def __call__(self, latent, labels):
    scale = self.param("scale", nn.initializers.ones, ())
    return jnp.broadcast_to(scale * (labels / 4 + latent[:, 0] / 100)[:, None, None, None], (len(labels), *SHAPE))


class _Match(nn.Module):
  """Its logit is the label itself, and its aux has what it was given."""

  @nn.compact
  def __call__(self, images, labels):
    return self.param("scale", nn.initializers.ones, ()) * labels, {"labels": labels, "images": images.mean((1, 2, 3))}


def test_labels_reach_both_nets_and_a_fake_has_the_label_of_its_real():
  def value(key, round):
    wrong = jnp.abs(round.fake_aux["images"] - round.labels / 4).max() > 0.1
    return jnp.where(wrong | (round.real_aux["labels"] != round.labels).any(), jnp.nan, round.fake_out.mean())

  both = stateless(value)
  nets = {"generator": _Labelled(), "critic": _Match(), "classes": CLASSES, "conditional": True}
  system = gan_of(**nets, objective=Objective(both, both), optimizer=STILL)
  batch = batches_of(2 * M, 1)[0]
  state = jax.jit(system.init)(jax.random.key(0), batch)
  _, metrics = jax.jit(system.step)(jax.random.key(1), state, batch)
  np.testing.assert_allclose(metrics["f_real"], batch["label"].mean(), rtol=1e-6)
  assert np.isfinite(metrics["generator_loss"])
  images = jax.jit(system.views["sample"], static_argnums=2)(jax.random.key(2), state, 7)
  np.testing.assert_allclose(images.mean((1, 2, 3)), [0, 0.25, 0.5, 0, 0.25, 0.5, 0], atol=0.05)
  assert system.views["classes"](state) == CLASSES  # image i is of class i modulo this


def test_samples_do_not_depend_on_how_many_are_made_together():
  draw = lambda size: jax.jit(gan_of(sample_batch=size).views["sample"], static_argnums=2)(jax.random.key(3), state, 12)
  state = jax.jit(gan_of().init)(jax.random.key(0), batches_of(2 * M, 1)[0])
  np.testing.assert_allclose(draw(4), draw(12), atol=1e-6)


def test_the_view_of_latents_is_the_generator_that_samples():
  trial, key = _trial("DCGAN with labels"), jax.random.key(4)
  latents = trial.system.views["latents"](trial.trained)
  labels = jnp.arange(4, dtype=jnp.int32) % latents.classes
  images = latents.generate(latents.mapping(latents.draw(key, 4), labels), labels)
  np.testing.assert_allclose(images, trial.sample(key, trial.trained, 4), atol=1e-6)
  assert not latents.has_w
  assert not latents.normal


def test_bench_times_the_generator_and_where_there_is_a_score_its_slope():
  for name, pieces in (("WGAN-GP", {"generator", "bare gradient"}), ("DCGAN with labels", {"generator"})):
    trial = _trial(name)
    kernels = trial.system.kernels(jax.random.key(0), trial.batches[0])
    assert set(kernels) == pieces
    for kernel in kernels.values():
      assert jax.eval_shape(kernel.fn, *kernel.args).shape == trial.batches[0]["image"].shape
      assert kernel.work == len(trial.batches[0]["image"])


# Devices


def test_each_device_works_on_its_share_only():
  width = 13  # of the generator's hidden layer: [B, 13] tells how many images a device makes
  system = gan_of(generator=MLPGenerator(SHAPE, (width,)), critic_steps=2)
  shapes = {"image": jax.ShapeDtypeStruct((2 * 32, *SHAPE), jnp.float32)}
  planned = plan.compile_step(system, shapes, make_mesh())
  pixels = {"16", str(LATENT)}  # the weights on both sides of the layer
  assert set(re.findall(rf"f32\[(\d+),{width}\]", planned.text)) <= {"1", "4", *pixels}
  assert {exchange.name for exchange in planned.collectives} == {"all-reduce"}
  sampled = plan.compile_sample(system, shapes, make_mesh(), 64)
  assert set(re.findall(rf"f32\[(\d+),{width}\]", sampled.text)) <= {"8", *pixels}


def _critic_passes(objective):
  """First layers of the critic in a compiled step: products of [m, pixels] by [pixels, width]."""
  width = 11
  system = gan_of(critic=MLPCritic((width,)), objective=objective, critic_steps=1, order="simultaneous")
  shapes = {"image": jax.ShapeDtypeStruct((M, *SHAPE), jnp.float32)}
  state = jax.eval_shape(system.init, jax.random.key(0), shapes)
  text = jax.jit(system.step).lower(jax.random.key(0), state, shapes).compile().as_text()
  return len(re.findall(rf"f32\[{M},{width}\][^=]*? dot\(|= f32\[{M},{width}\]\S* custom-call\(", text))


def test_the_critic_goes_over_the_reals_once_in_a_step_however_many_terms_read_them():
  one = on_logits(lambda real, fake: (real**2).mean() + fake.mean())
  several = total((1.0, one), (1.0, on_logits(lambda real, fake: jnp.tanh(real).mean())), (0.5, one), (0.1, one))
  passes = _critic_passes(Objective(one, one))
  assert passes == 2  # real and fake, for both players
  assert _critic_passes(Objective(several, several)) == passes


# Warm-up, half-life


def test_the_learning_rate_rises_over_the_warm_up_and_then_falls():
  optimizer = sgd(learning_rate=0.1, schedule="linear", warmup_steps=2, decay_steps=4)
  system = gan_of(optimizer=optimizer, critic_steps=1, objective=LINEAR)
  batch, sizes = batches_of(M, 1)[0], []
  state, step = jax.jit(system.init)(jax.random.key(0), batch), jax.jit(system.step)
  for i in range(4):
    bias = lambda state: next(float(leaf[0]) for leaf in jax.tree.leaves(state.params["critic"]) if leaf.size == 1)
    before = bias(state)
    state, _ = step(jax.random.key(i), state, batch)
    sizes.append(before - bias(state))
  np.testing.assert_allclose(sizes, [0.05, 0.075, 0.05, 0.025], rtol=1e-4)  # the bias' gradient is 1


def test_an_average_of_a_half_life_starts_as_a_copy():
  system = gan_of(ema_half_life=2.0 * M, ema_start=1, critic_steps=1)
  batch = batches_of(M, 1)[0]
  state, step = jax.jit(system.init)(jax.random.key(0), batch), jax.jit(system.step)
  first, _ = step(jax.random.key(1), state, batch)
  jax.tree.map(np.testing.assert_array_equal, first.ema["generator"]["params"], first.params["generator"])
  second, _ = step(jax.random.key(2), first, batch)
  keep = 0.5**0.5
  wanted = keep * flat(first.ema["generator"]["params"]) + (1 - keep) * flat(second.params["generator"])
  np.testing.assert_allclose(flat(second.ema["generator"]["params"]), wanted, atol=1e-6)


# Learning


@pytest.mark.slow
def test_it_learns_where_two_clusters_lie():
  """Points at (-0.5, 0) and (0.5, 0.5), each with deviation 0.05: both are found, and nothing between them."""
  centres = np.array([[-0.5, 0.0], [0.5, 0.5]])
  rng = np.random.default_rng(0)

  def batch():
    points = centres[rng.integers(0, 2, 320)] + 0.05 * rng.normal(size=(320, 2))
    return {"image": points.reshape(-1, 1, 1, 2).astype(np.float32)}

  nets = {"generator": MLPGenerator((1, 1, 2), (64, 64)), "critic": MLPCritic((64, 64))}
  optimizer = adam(learning_rate=2e-3, b1=0.0, b2=0.9)
  system = gan(**nets, shape=(1, 1, 2), objective=WGAN, latent=4, optimizer=optimizer, ema=0.98)
  state, step = jax.jit(system.init)(jax.random.key(0), batch()), jax.jit(system.step, donate_argnums=1)
  for i in range(600):
    state, _ = step(jax.random.fold_in(jax.random.key(1), i), state, batch())
  points = np.asarray(jax.jit(system.views["sample"], static_argnums=2)(jax.random.key(2), state, 1000)).reshape(-1, 2)
  distance = np.linalg.norm(points[:, None] - centres, axis=2)
  shares = np.bincount(distance.argmin(1), minlength=2) / 1000
  assert shares.min() > 0.3
  assert (distance.min(1) < 0.2).mean() > 0.8
