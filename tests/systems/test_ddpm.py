"""DDPM: the exact net of normal data, guidance, what a net may say, and that samples come near digits."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import sqrtm

from genjax.nets.unet import embedded
from genjax.ops.diffusion import alpha_bar
from genjax.systems.ddpm import ddpm
from genjax.systems.optimizers import adam, sgd
from tests.systems.learning import digits, learned

SHAPE = (8, 8, 1)
MEAN, DEVIATION = 0.2, 0.1


class Exact(nn.Module):
  """The mean of the noise, given an image of normal data: what the best net says."""

  schedule: str = "linear"
  steps: int = 1000

  @nn.compact
  def __call__(self, images, time):
    left = jnp.asarray(alpha_bar(self.steps, self.schedule), jnp.float32)[time][:, None, None, None]
    self.param("unused", nn.initializers.zeros, ())
    return jnp.sqrt(1 - left) * (images - jnp.sqrt(left) * MEAN) / (left * DEVIATION**2 + 1 - left)


class Mean(nn.Module):
  """One number for all noise."""

  @nn.compact
  def __call__(self, images, time):
    return jnp.full_like(images, 1.0) * self.param("mean", nn.initializers.zeros, ())


class Denoiser(nn.Module):
  """Hidden layers on the flat image and the time's embedding."""

  width: int = 256

  @nn.compact
  def __call__(self, images, time):
    t = nn.Dense(self.width)(embedded(time, 64))
    x = nn.Dense(self.width)(images.reshape(len(images), -1))
    for _ in range(3):
      x = x + nn.Dense(self.width)(nn.swish(nn.LayerNorm()(x + t)))
    return nn.Dense(64)(nn.swish(x)).reshape(images.shape)


def state_of(system, shape=SHAPE):
  return jax.jit(system.init)(jax.random.key(0), {"image": jnp.zeros((2, *shape))})


def deviation_after(count, eta, schedule):
  """The samples' deviation by the exact net: each step is linear in x and adds noise (DDIM's eq 12 and 16)."""
  left = np.append(1.0, alpha_bar(1000, schedule)[np.arange(1, count + 1) * 1000 // count - 1])
  variance = 1.0
  for before, now in zip(left[-2::-1], left[:0:-1], strict=True):
    sigma = eta * np.sqrt((1 - before) / (1 - now) * (1 - now / before))
    noise = np.sqrt(1 - now) / (now * DEVIATION**2 + 1 - now)  # what the net says of x, for each unit of x
    slope = np.sqrt(before / now) * (1 - np.sqrt(1 - now) * noise) + np.sqrt(1 - before - sigma**2) * noise
    variance = slope**2 * variance + sigma**2
  return np.sqrt(variance)


@pytest.mark.parametrize(
  ("count", "eta", "schedule"),
  [(1000, 1.0, "linear"), (1000, 1.0, "cosine"), (1000, 0.0, "linear"), (20, 0.5, "cosine")],
)
def test_the_exact_net_of_normal_data_samples_them(count, eta, schedule):
  system = ddpm(Exact(schedule), shape=SHAPE, schedule=schedule, sampler_steps=count, eta=eta)
  images = jax.jit(system.views["sample"], static_argnums=2)(jax.random.key(1), state_of(system), 100)
  assert images.shape == (100, *SHAPE)
  wanted = deviation_after(count, eta, schedule)
  np.testing.assert_allclose(images.mean(), MEAN, atol=4 * DEVIATION / images.size**0.5)
  np.testing.assert_allclose(images.std(), wanted, rtol=4 / (2 * images.size) ** 0.5)
  if count == 1000:
    np.testing.assert_allclose(wanted, DEVIATION, rtol=0.05)  # beta tilde is the least that the variance may be


def test_the_loss_of_the_exact_net_is_the_variance_that_is_left():
  system = ddpm(Exact(), shape=SHAPE)
  images = MEAN + DEVIATION * jax.random.normal(jax.random.key(5), (2000, *SHAPE))
  loss = jax.jit(system.step)(jax.random.key(1), state_of(system), {"image": images})[1]["loss"]
  left = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
  wanted = left * DEVIATION**2 / (left * DEVIATION**2 + 1 - left)
  np.testing.assert_allclose(loss, wanted.mean(), atol=4 * wanted.std() / 2000**0.5)


def test_guidance_is_the_papers_mixture_and_labels_are_left_out_in_training():
  class Labelled(nn.Module):
    """The label, as noise; the one that stands for none says 5."""

    @nn.compact
    def __call__(self, images, time, labels):
      self.param("unused", nn.initializers.zeros, ())
      return jnp.where(labels == 3, 5.0, labels.astype(jnp.float32))[:, None, None, None] * jnp.ones_like(images)

  given = {"shape": (1, 1, 1), "classes": 3, "conditional": True, "steps": 4, "clip": False, "eta": 0.0}
  batch = {"image": jnp.zeros((4000, 1, 1, 1)), "label": jnp.ones((4000,), jnp.int32)}

  def drawn(guidance):
    system = ddpm(Labelled(), **given, guidance=guidance, label_dropout=0.25)
    state = jax.jit(system.init)(jax.random.key(0), batch)
    assert system.views["classes"](state) == 3
    return system, state, jax.jit(system.views["sample"], static_argnums=2)(jax.random.key(1), state, 5)[:, 0, 0, 0]

  system, state, plain = drawn(0.0)
  left = np.sqrt(alpha_bar(4, "linear"))
  start = jax.random.normal(jax.random.split(jax.random.split(jax.random.key(1), 1)[0])[0], (5, 1, 1, 1))[:, 0, 0, 0]
  labels = np.arange(5) % 3
  for guidance, ours in ((0.0, plain), (2.0, drawn(2.0)[2])):
    x, noise = np.float64(start), (1 + guidance) * labels - guidance * 5.0
    for now, before in zip(left[::-1], [*left[-2::-1], 1.0], strict=True):
      x = before * (x - np.sqrt(1 - now**2) * noise) / now + np.sqrt(1 - before**2) * noise
    np.testing.assert_allclose(ours, np.clip(x, -1, 1), atol=1e-3)

  loss = jax.jit(system.step)(jax.random.key(1), state, batch)[1]["loss"]  # noise has mean 0 and variance 1
  wanted = 0.75 * (1 + 1) + 0.25 * (1 + 25)
  np.testing.assert_allclose(loss, wanted, atol=4 * 24 * (0.25 * 0.75 / 4000) ** 0.5 + 0.5)


@pytest.mark.parametrize("prediction", ["image", "velocity"])
def test_a_net_that_says_the_image_or_the_velocity_samples_as_well(prediction):
  class Exactly(nn.Module):
    """The best answer for data that are all MEAN."""

    @nn.compact
    def __call__(self, images, time):
      self.param("unused", nn.initializers.zeros, ())
      left = jnp.asarray(alpha_bar(50, "cosine"), jnp.float32)[time][:, None, None, None]
      noise = (images - jnp.sqrt(left) * MEAN) / jnp.sqrt(1 - left)
      velocity = jnp.sqrt(left) * noise - jnp.sqrt(1 - left) * MEAN
      return {"image": jnp.full_like(images, MEAN), "velocity": velocity}[prediction]

  system = ddpm(Exactly(), shape=(2, 2, 1), steps=50, schedule="cosine", prediction=prediction)
  state = jax.jit(system.init)(jax.random.key(0), {"image": jnp.zeros((2, 2, 2, 1))})
  images = jax.jit(system.views["sample"], static_argnums=2)(jax.random.key(1), state, 3)
  np.testing.assert_allclose(images, MEAN, atol=2e-3)
  _, metrics = jax.jit(system.step)(jax.random.key(1), state, {"image": jnp.full((8, 2, 2, 1), MEAN)})
  np.testing.assert_allclose(metrics["loss"], 0, atol=1e-4)


def test_a_learned_variance_trains_by_the_bound_and_its_gradient_leaves_the_mean_alone():
  class Two(nn.Module):
    """The noise 0 and one share for all, as parameters."""

    outputs: int | None = None

    @nn.compact
    def __call__(self, images, time):
      mean = self.param("mean", nn.initializers.zeros, ())
      share = self.param("share", nn.initializers.zeros, ())
      return jnp.concatenate([jnp.full_like(images, 1.0) * mean, jnp.full_like(images, 1.0) * share], -1)

  given = {"shape": (2, 2, 1), "steps": 20, "optimizer": sgd(learning_rate=1.0)}
  batch = {"image": jnp.zeros((64, 2, 2, 1))}
  moved = {}
  for variance in ("beta_tilde", "learned"):
    net = Two() if variance == "learned" else Mean()
    system = ddpm(net, **given, variance=variance, ema=0.0)
    state = jax.jit(system.init)(jax.random.key(0), batch)
    after, metrics = jax.jit(system.step)(jax.random.key(1), state, batch)
    moved[variance] = after.params
  np.testing.assert_allclose(moved["learned"]["mean"], moved["beta_tilde"]["mean"], rtol=1e-5)
  assert abs(moved["learned"]["share"]) > 1e-3
  np.testing.assert_allclose(
    metrics["loss"], metrics["squared_error"] + 20 / 1000 * metrics["bits_of_a_step"], rtol=1e-5
  )
  log_prob = system.views["log_prob"](after, batch["image"][:3])
  assert log_prob.shape == (3,)
  assert (log_prob < 0).all()
  with pytest.raises(ValueError, match="Exact has none"):
    ddpm(Exact(), shape=SHAPE, variance="learned")


def frechet(a, b):
  """Between normal distributions of pixels."""
  a, b = (np.float64(x).reshape(len(x), -1) for x in (a, b))
  product = sqrtm(np.cov(a.T) @ np.cov(b.T) + 1e-6 * np.eye(64)).real
  return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * product)


def nearest(images, among):
  """The mean distance to the nearest of other images."""
  a, b = (np.float64(x).reshape(len(x), -1) for x in (images, among))
  return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1).min(1)).mean()


def test_samples_are_nearer_to_digits_than_normal_noise_of_the_same_mean_and_covariance():
  (train, test), draw = digits(), np.random.default_rng(0)
  system = ddpm(
    Denoiser(),
    shape=SHAPE,
    steps=200,
    schedule="cosine",
    sampler_steps=50,
    ema=0.995,
    optimizer=adam(learning_rate=2e-3),
  )
  state = learned(system, {"image": train}, batch=128, steps=750)
  images = jax.jit(system.views["sample"], static_argnums=2)(jax.random.key(1), state, len(test))
  flat = train.reshape(len(train), -1)
  normal = draw.multivariate_normal(flat.mean(0), np.cov(flat.T), len(test)).clip(-1, 1)
  independent = draw.normal(flat.mean(0), flat.std(0), (len(test), 64)).clip(-1, 1)
  assert nearest(images, train) < nearest(normal, train) - 0.1  # 3.0 and 3.2; other digits 2.1
  assert frechet(images, test) < frechet(independent, test) / 2  # 2.0 and 6.9; other digits 0.4


@pytest.mark.parametrize(
  ("settings", "said"),
  [
    ({"sampler_steps": 1001}, "sampler_steps 1001; use 1 to 1000"),
    ({"eta": 2.0}, r"eta 2.0 is not in \[0, 1\]"),
    ({"schedule": "square"}, "'square'; use 'linear' or 'cosine'"),
    ({"steps": 0}, "steps 0"),
    ({"prediction": "score"}, "'score'; use 'noise', 'image' or 'velocity'"),
    ({"variance": "beta", "eta": 0.0}, "eta 0.0 with variance 'beta'"),
    ({"conditional": True}, "the data have no labels"),
    ({"guidance": 1.0}, "guidance 1.0 of a model that sees no labels"),
  ],
)
def test_settings_out_of_range_are_refused(settings, said):
  with pytest.raises(ValueError, match=said):
    ddpm(Exact(), shape=SHAPE, **settings)
