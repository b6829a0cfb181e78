import re
from functools import cache

import contract
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.dcgan import DCGANCritic, DCGANGenerator
from genjax.nets.mlp import MLPCritic, MLPGenerator
from genjax.objectives import zoo
from genjax.objectives.logits import wasserstein_critic
from genjax.objectives.penalties import gradient_penalty
from genjax.objectives.terms import Objective, Term, on_logits, stateless, total
from genjax.systems.gan import gan
from genjax.systems.optimizers import adam, rmsprop, sgd
from genjax.train import plan
from genjax.train.mesh import make_mesh

SHAPE = (4, 4, 1)
M, LATENT, CLASSES = 8, 3, 3
WGAN = Objective(
  total((1.0, on_logits(wasserstein_critic)), (10.0, gradient_penalty())), on_logits(lambda real, fake: -fake.mean())
)
LOGISTIC = Objective(
  on_logits(lambda real, fake: nn.softplus(-real).mean() + nn.softplus(fake).mean()),
  on_logits(lambda real, fake: nn.softplus(-fake).mean()),
)
LINEAR = Objective(on_logits(lambda real, fake: fake.mean()), on_logits(lambda real, fake: -fake.mean()))
MLPS = {"generator": MLPGenerator(SHAPE, (8,)), "critic": MLPCritic((8,))}
STILL = sgd(learning_rate=1e-30)


def _system(**changes):
  settings = {"shape": SHAPE, "objective": WGAN, "latent": LATENT, "critic_steps": 2}
  settings["optimizer"] = adam(learning_rate=1e-3, b1=0.0, b2=0.9)
  return gan(**(MLPS | settings | changes))


def _batches(size, count=3, shape=SHAPE):
  rng = np.random.default_rng(0)
  images = rng.uniform(-1, 1, (count, size, *shape)).astype(np.float32)
  return [{"image": image, "label": rng.integers(0, CLASSES, size).astype(np.int32)} for image in images]


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
  return contract.Trial(_system(**VARIANTS[name]), _batches(M * VARIANTS[name].get("critic_steps", 2)))


QUICK = ("DCGAN with labels",)  # rows.py has an unconditional GAN


@pytest.mark.parametrize("promise", contract.PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("name", [v if v in QUICK else pytest.param(v, marks=pytest.mark.slow) for v in VARIANTS])
def test_gan_keeps_the_contract(name, promise):
  promise(_trial(name))


# Algorithm 1 of WGAN-GP


class _Point(nn.Module):
  """Always the same image, whatever the latent."""

  @nn.compact
  def __call__(self, latent):
    point = self.param("point", nn.initializers.normal(0.5), (2,))
    return jnp.broadcast_to(point.reshape(1, 1, 1, 2), (latent.shape[0], 1, 1, 2))


class _Plane(nn.Module):
  """A linear critic: its slope is |w| at every point, so the penalty does not depend on where it is measured."""

  @nn.compact
  def __call__(self, images):
    w = self.param("w", nn.initializers.normal(0.5), (2,))
    return images.reshape(-1, 2) @ w, {}


def _by_hand(w, point, batches, critic_steps, learning_rate, weight, b1, b2):
  """Algorithm 1 in numpy, float64, for the two nets above."""

  def adam(value, gradient, moments):
    mean, square, count = moments
    mean, square, count = b1 * mean + (1 - b1) * gradient, b2 * square + (1 - b2) * gradient**2, count + 1
    step = learning_rate * (mean / (1 - b1**count)) / (np.sqrt(square / (1 - b2**count)) + 1e-8)
    return value - step, (mean, square, count)

  of_w, of_point = (0.0, 0.0, 0), (0.0, 0.0, 0)
  for images in batches:
    for part in range(critic_steps):
      real = images.reshape(-1, critic_steps, 2)[:, part].mean(0)
      slope = np.linalg.norm(w)
      w, of_w = adam(w, point - real + weight * 2 * (slope - 1) * w / slope, of_w)
    point, of_point = adam(point, -w, of_point)
  return w, point


@pytest.mark.parametrize("critic_steps", [1, 5])
def test_a_step_is_algorithm_1_of_wgan_gp(critic_steps):
  rng = np.random.default_rng(0)
  batches = rng.uniform(-1, 1, (3, 8 * critic_steps, 1, 1, 2)).astype(np.float32)
  settings = {"latent": 2, "critic_steps": critic_steps, "optimizer": adam(learning_rate=0.01, b1=0.0, b2=0.9)}
  system = gan(_Point(), _Plane(), shape=(1, 1, 2), objective=WGAN, **settings)
  state, step = jax.jit(system.init)(jax.random.key(0), {"image": batches[0]}), jax.jit(system.step)
  start = [np.asarray(leaf, np.float64) for leaf in (state.params["critic"]["w"], state.params["generator"]["point"])]
  for i, images in enumerate(batches):
    state, _ = step(jax.random.key(i), state, {"image": images})
  w, point = _by_hand(*start, np.asarray(batches, np.float64), critic_steps, 0.01, 10.0, 0.0, 0.9)
  np.testing.assert_allclose(state.params["critic"]["w"], w, rtol=1e-5)
  np.testing.assert_allclose(state.params["generator"]["point"], point, rtol=1e-5)


def test_the_defaults_are_those_of_algorithm_1():
  """Five critic updates a step, and Adam's first step is the learning rate: b1, b2 as in the test above."""
  system = gan(**MLPS, shape=SHAPE, objective=WGAN)
  batch = _batches(5 * M, 1)[0]
  before = jax.jit(system.init)(jax.random.key(0), batch)
  after, _ = jax.jit(system.step)(jax.random.key(1), before, batch)
  moved = jnp.abs(after.params["generator"]["Dense_1"]["bias"] - before.params["generator"]["Dense_1"]["bias"])
  np.testing.assert_allclose(moved, 1e-4, rtol=1e-2)
  assert after.optimizer["critic"][0].count == 5
  assert after.optimizer["generator"][0].count == 1


class _Diary:
  """A Term that writes down, in its state, the mean of every image and of every latent that it is shown."""

  def __init__(self, updates):
    self.term = Term(lambda: (jnp.zeros((), jnp.int32), jnp.zeros((updates, 3, M))), self._apply)

  def _apply(self, key, state, round):
    index, pages = state
    page = jnp.stack([round.real.mean((1, 2, 3)), round.fake.mean((1, 2, 3)), round.latent.mean(1)])
    return round.fake_out.mean() - round.real_out.mean(), (index + 1, pages.at[index].set(page))


def test_every_update_has_latents_of_its_own_and_a_step_shows_the_critic_each_image_once():
  system = _system(objective=Objective(_Diary(6).term, _Diary(2).term), critic_steps=3)
  batches = _batches(3 * M, 2)
  state, step = jax.jit(system.init)(jax.random.key(0), batches[0]), jax.jit(system.step)
  for i, batch in enumerate(batches):
    state, _ = step(jax.random.key(i), state, batch)
  pages, last = (np.asarray(term[1]) for term in state.memory.values())
  for i, batch in enumerate(batches):
    shown = np.sort(pages[3 * i : 3 * i + 3, 0].ravel())
    np.testing.assert_allclose(shown, np.sort(batch["image"].mean((1, 2, 3))), atol=1e-6)
  latents = np.concatenate([pages[:, 2], last[:, 2]]).ravel()
  assert len(np.unique(latents)) == latents.size
  np.testing.assert_allclose(last[:, 0], pages[[2, 5], 0], atol=1e-6)  # terms that compare see the last part


# Learning rates, averages, labels


def test_two_time_scales_are_two_optimisers():
  system = _system(optimizer=sgd(learning_rate=0.1), generator_optimizer=sgd(learning_rate=0.0001))
  before, after = _one_step(system, _batches(2 * M, 1)[0])
  _, even = _one_step(_system(optimizer=sgd(learning_rate=0.1)), _batches(2 * M, 1)[0])
  jax.tree.map(np.testing.assert_array_equal, after.params["critic"], even.params["critic"])
  slow, fast = (_flat(state.params["generator"]) - _flat(before.params["generator"]) for state in (after, even))
  np.testing.assert_allclose(slow, fast / 1000, atol=1e-7)


def test_a_schedule_counts_steps_whatever_the_number_of_updates():
  system = _system(optimizer=adam(learning_rate=1e-3, schedule="linear", decay_steps=1))
  batch = _batches(2 * M, 1)[0]
  _, first = _one_step(system, batch)
  second, _ = jax.jit(system.step)(jax.random.key(2), first, batch)
  jax.tree.map(np.testing.assert_array_equal, second.params, first.params)


def test_clipped_weights_stay_within_their_bound():
  trained = _trial("clipped WGAN").trained
  assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(trained.params["critic"])) <= 0.01
  assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(trained.params["generator"])) > 0.1


def test_the_average_moves_by_its_share_and_samples():
  trial = _trial("plain gradients")
  before, after = _one_step(trial.system, trial.batches[0])
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
  system = _system(**nets, objective=Objective(both, both), optimizer=STILL)
  batch = _batches(2 * M, 1)[0]
  state = jax.jit(system.init)(jax.random.key(0), batch)
  _, metrics = jax.jit(system.step)(jax.random.key(1), state, batch)
  np.testing.assert_allclose(metrics["f_real"], batch["label"].mean(), rtol=1e-6)
  assert np.isfinite(metrics["generator_loss"])
  images = jax.jit(system.views["sample"], static_argnums=2)(jax.random.key(2), state, 7)
  np.testing.assert_allclose(images.mean((1, 2, 3)), [0, 0.25, 0.5, 0, 0.25, 0.5, 0], atol=0.05)
  assert system.views["classes"](state) == CLASSES  # image i is of class i modulo this


def test_samples_do_not_depend_on_how_many_are_made_together():
  draw = lambda size: jax.jit(_system(sample_batch=size).views["sample"], static_argnums=2)(
    jax.random.key(3), state, 12
  )
  state = jax.jit(_system().init)(jax.random.key(0), _batches(2 * M, 1)[0])
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


class _Drawing(nn.Module):
  """Images whose first pixels are drawn from its streams of dropout and of noise; it counts its training passes."""

  @nn.compact
  def __call__(self, latent, *, train=False):
    passes = self.variable("batch_stats", "passes", jnp.zeros, ())
    scale, images = self.param("scale", nn.initializers.ones, ()), jnp.zeros((len(latent), *SHAPE))
    if train:
      passes.value += 1
    for place, stream in enumerate(("dropout", "noise")):
      if self.has_rng(stream):
        images = images.at[:, 0, place].set(jax.random.uniform(self.make_rng(stream), (len(latent), 1)))
    return scale * images


class _Averaging(nn.Module):
  """Its logit is the image's mean; it counts its training passes, and adds up the means of what it saw in them."""

  @nn.compact
  def __call__(self, images, *, train=False):
    seen = self.variable("batch_stats", "seen", jnp.zeros, (2,))
    if train:
      seen.value += jnp.stack([1.0, images.mean()])
    return self.param("w", nn.initializers.ones, ()) * images.mean((1, 2, 3)), {}


@cache
def _watched():
  """A system, its state after a step, the images of that, and the fakes of both critic updates and the generator's."""

  def apply(key, state, round):
    index, fakes = state
    return round.fake_out.mean(), (index + 1, fakes.at[index].set(round.fake))

  keep = lambda updates: Term(lambda: (jnp.zeros((), jnp.int32), jnp.zeros((updates, M, *SHAPE))), apply)
  objective = Objective(keep(2), keep(1))
  nets = {"generator": _Drawing(), "critic": _Averaging()}
  system = _system(**nets, objective=objective, critic_steps=2, optimizer=STILL, sample_batch=4)
  batch = _batches(2 * M, 1)[0]
  _, after = _one_step(system, batch)
  fakes = np.concatenate([after.memory[player][1] for player in ("critic", "generator")])
  return system, after, batch["image"], fakes


def test_statistics_move_in_their_own_nets_updates_and_a_critics_by_reals_as_much_as_by_fakes():
  _, after, images, fakes = _watched()
  assert after.collections["generator"]["batch_stats"]["passes"] == 1
  wanted = [2, images.mean() + fakes[:2].mean()]  # two updates, of each the mean over reals and fakes
  np.testing.assert_allclose(after.collections["critic"]["batch_stats"]["seen"], wanted, rtol=1e-4)


def test_every_update_draws_dropout_and_noise_of_their_own():
  drawn = _watched()[3][:, :, 0, :2]
  assert len(np.unique(drawn.round(5))) > drawn.size - 3  # 48 numbers, hardly ever two alike


def test_samples_that_are_not_made_together_have_noise_of_their_own():
  system, after, *_ = _watched()
  images = jax.jit(system.views["sample"], static_argnums=2)(jax.random.key(3), after, 12)
  assert len(np.unique(images[:, 0, 1].round(5))) == 12


# Devices


def test_each_device_works_on_its_share_only():
  width = 13  # of the generator's hidden layer: [B, 13] tells how many images a device makes
  system = _system(generator=MLPGenerator(SHAPE, (width,)), critic_steps=2)
  shapes = {"image": jax.ShapeDtypeStruct((2 * 32, *SHAPE), jnp.float32)}
  planned = plan.compile_step(system, shapes, make_mesh())
  pixels = {"16", str(LATENT)}  # the weights on both sides of the layer
  assert set(re.findall(rf"f32\[(\d+),{width}\]", planned.text)) <= {"4", *pixels}
  assert {exchange.name for exchange in planned.collectives} == {"all-reduce"}
  sampled = plan.compile_sample(system, shapes, make_mesh(), 64)
  assert set(re.findall(rf"f32\[(\d+),{width}\]", sampled.text)) <= {"8", *pixels}


def _critic_passes(objective):
  """First layers of the critic in a compiled step: products of [m, pixels] by [pixels, width]."""
  width = 11
  system = _system(critic=MLPCritic((width,)), objective=objective, critic_steps=1, order="simultaneous")
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


# Augmentation, warm-up, half-life


class _Seen:
  """A Term whose loss is the critic's gap, and whose state is all images of its Round, bare and as the net saw them."""

  def __init__(self):
    self.term = Term(lambda: [jnp.zeros((M, *SHAPE))] * 6, self._apply)

  def _apply(self, key, state, round):
    again = [round.critic(images)[1]["seen"] for images in (round.real, round.fake)]
    seen = [round.real_aux["seen"], round.fake_aux["seen"]]
    return round.fake_out.mean() - round.real_out.mean(), [round.real, round.fake, *seen, *again]


class _Looking(nn.Module):
  @nn.compact
  def __call__(self, images):
    return MLPCritic((4,))(images)[0], {"seen": images}


def _looked(augment, **changes):
  objective = Objective(_Seen().term, _Seen().term)
  system = _system(critic=_Looking(), objective=objective, critic_steps=1, augment=augment, **changes)
  batch = _batches(M, 1)[0]
  _, after = _one_step(system, batch)
  return batch["image"], jax.device_get(after.memory)


def _shifts(seen, image):
  """The shifts by up to a pixel that make `seen` of `image`; of a grey image, all."""
  padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
  places = [(dy, dx) for dy in range(3) for dx in range(3)]
  return [(dy, dx) for dy, dx in places if np.allclose(padded[dy : dy + 4, dx : dx + 4], seen, atol=1e-6)]


@pytest.mark.parametrize("order", ["alternating", "simultaneous"])
def test_all_terms_of_an_update_see_every_image_through_one_draw_of_the_augmentation(order):
  images, memory = _looked("translation=1", order=order)
  draws = []
  for real, fake, real_seen, fake_seen, real_again, fake_again in memory.values():
    np.testing.assert_array_equal(real, images)  # Terms of images see them as they are
    np.testing.assert_array_equal(real_again, real_seen)
    np.testing.assert_array_equal(fake_again, fake_seen)
    draw = [_shifts(*pair)[0] for pair in zip(real_seen, real, strict=True)]
    assert all(shift in _shifts(*pair) for shift, *pair in zip(draw, fake_seen, fake, strict=True))
    assert len(set(draw)) > 2
    draws.append(draw)
  assert (draws[0] == draws[1]) == (order == "simultaneous")


def test_without_an_augmentation_the_net_sees_images_as_they_are():
  images, memory = _looked("")
  np.testing.assert_array_equal(memory["critic"][2], images)


def test_gradients_reach_the_generator_through_the_augmentation():
  gap = on_logits(lambda real, fake: fake.mean() - real.mean())
  settings = {"objective": Objective(gap, gap), "critic_steps": 1, "optimizer": sgd(learning_rate=1e-3)}
  plain, shifted = (
    _one_step(_system(**settings, augment=augment), _batches(M, 1)[0]) for augment in ("", "translation=1,cutout=1")
  )
  moves = [_flat(after.params["generator"]) - _flat(before.params["generator"]) for before, after in (plain, shifted)]
  assert np.abs(moves[1]).max() > 0
  assert not np.allclose(*moves)


@pytest.mark.slow
def test_an_augmented_step_is_the_same_on_one_device_and_on_eight():
  objective = zoo.vitgan(gamma=0.1)
  settings = {"critic_steps": 1, "optimizer": sgd(learning_rate=1e-3), "objective": objective, "augment": "thesis"}
  contract.one_device_and_eight_agree(contract.Trial(_system(**settings), _batches(M)))


def test_the_learning_rate_rises_over_the_warm_up_and_then_falls():
  optimizer = sgd(learning_rate=0.1, schedule="linear", warmup_steps=2, decay_steps=4)
  system = _system(optimizer=optimizer, critic_steps=1, objective=LINEAR)
  batch, sizes = _batches(M, 1)[0], []
  state, step = jax.jit(system.init)(jax.random.key(0), batch), jax.jit(system.step)
  for i in range(4):
    bias = lambda state: next(float(leaf[0]) for leaf in jax.tree.leaves(state.params["critic"]) if leaf.size == 1)
    before = bias(state)
    state, _ = step(jax.random.key(i), state, batch)
    sizes.append(before - bias(state))
  np.testing.assert_allclose(sizes, [0.05, 0.075, 0.05, 0.025], rtol=1e-4)  # the bias' gradient is 1


def test_an_average_of_a_half_life_starts_as_a_copy():
  system = _system(ema_half_life=2.0 * M, ema_start=1, critic_steps=1)
  batch = _batches(M, 1)[0]
  state, step = jax.jit(system.init)(jax.random.key(0), batch), jax.jit(system.step)
  first, _ = step(jax.random.key(1), state, batch)
  jax.tree.map(np.testing.assert_array_equal, first.ema["generator"]["params"], first.params["generator"])
  second, _ = step(jax.random.key(2), first, batch)
  keep = 0.5**0.5
  wanted = keep * _flat(first.ema["generator"]["params"]) + (1 - keep) * _flat(second.params["generator"])
  np.testing.assert_allclose(_flat(second.ema["generator"]["params"]), wanted, atol=1e-6)


# Errors


@pytest.mark.parametrize(
  ("changes", "says"),
  [
    ({"objective": Objective(WGAN.critic)}, "no part for a generator; use one of a GAN"),
    ({"latent": 0}, "latent 0; use at least 1"),
    ({"critic_steps": 0}, "critic_steps 0; use at least 1"),
    ({"unroll": -1}, "unroll -1; use 0 for none"),
    ({"ema": 1.0}, r"ema 1.0 is not in \[0, 1\)"),
    ({"ema": 0.9, "ema_half_life": 10.0}, "set one of them"),
    ({"ema_half_life": 0.0}, "set one of them"),
    ({"ema_start": -1}, "ema_start -1; use 0 for none"),
    ({"augment": "cutout"}, "'cutout' is no change; use thesis"),
    ({"clip": 0.0}, "clip 0.0; use a positive bound"),
    ({"conditional": True}, "conditional=True, but the data have no labels"),
    ({"prior": "gauss"}, "prior 'gauss'; use 'normal' or 'uniform'"),
    ({"order": "both"}, "order 'both'; use 'alternating' or 'simultaneous'"),
    ({"order": "simultaneous"}, "set critic_steps to 1, not 2"),
    ({"consensus": 0.1}, "set order='simultaneous' and unroll=0"),
  ],
)
def test_what_cannot_work_is_refused_before_anything_is_compiled(changes, says):
  with pytest.raises(ValueError, match=says):
    _system(**changes)


def test_a_batch_or_a_net_that_does_not_fit_is_refused():
  start = lambda batch, **changes: jax.eval_shape(_system(**changes).init, jax.random.key(0), batch)
  with pytest.raises(ValueError, match="batch 17 is not a multiple of critic_steps 2"):
    start(_batches(17, 1)[0])
  with pytest.raises(ValueError, match=r"images are \(2, 2, 1\), the system was built for \(4, 4, 1\)"):
    start(_batches(16, 1, (2, 2, 1))[0])
  with pytest.raises(ValueError, match=r"the generator returns an array \[1, 2, 2, 1\].* images are \[1, 4, 4, 1\]"):
    start(_batches(16, 1)[0], generator=MLPGenerator((2, 2, 1), (8,)))
  with pytest.raises(ValueError, match="conditional=True, but a batch has no 'label'"):
    start({"image": jnp.zeros((16, *SHAPE))}, classes=3, conditional=True)
  with pytest.raises(ValueError, match=r"classes"):
    start(_batches(16, 1)[0], classes=3, conditional=True)  # nets of which neither knows of classes


class _Bare(nn.Module):
  """A critic that returns what it should not."""

  form: str

  @nn.compact
  def __call__(self, images):
    logits = nn.Dense(1)(images.reshape(len(images), -1))
    return {"logits": logits[:, 0], "column": (logits, {}), "features": (logits[:, 0], logits)}[self.form]


@pytest.mark.parametrize(
  ("form", "came"),
  [
    ("logits", r"an array \[1\] for one image"),
    ("column", r"\(an array \[1, 1\], a dict\)"),
    ("features", r"\(an array \[1\], an array \[1, 1\]\)"),
  ],
)
def test_a_critic_that_breaks_the_contract_is_answered_with_it(form, came):
  system = _system(critic=_Bare(form))
  with pytest.raises(ValueError, match=f"the critic returns {came}.*; a critic returns \\(logits \\[B\\], aux\\)"):
    jax.eval_shape(system.init, jax.random.key(0), _batches(16, 1)[0])


def test_classes_alone_make_no_gan_conditional():
  nets = {"generator": MLPGenerator(SHAPE, (8,), classes=CLASSES), "critic": MLPCritic((8,), classes=CLASSES)}
  plain, known = (_one_step(_system(**each), _batches(16, 1)[0]) for each in ({}, nets | {"classes": CLASSES}))
  jax.tree.map(np.testing.assert_array_equal, plain, known)
  assert set(_system(**nets, classes=CLASSES).views) == {"sample", "latents", "score"}
  assert set(_system(**nets, classes=CLASSES, conditional=True).views) == {"sample", "latents", "classes"}


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


def _one_step(system, batch):
  before = jax.jit(system.init)(jax.random.key(0), batch)
  after, _ = jax.jit(system.step)(jax.random.key(1), before, batch)
  return before, after


def _flat(tree):
  return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
