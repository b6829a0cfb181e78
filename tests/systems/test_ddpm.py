"""DDPM: the exact net of normal data, Algorithm 2 in numpy, and that samples come near digits."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import sqrtm

from genjax.nets.unet import embedded
from genjax.systems.ddpm import alpha_bar, ddpm, denoised
from genjax.systems.optimizers import adam
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


def test_all_steps_with_eta_one_are_algorithm_2():
  """x_{t-1} = (x_t - beta_t / sqrt(1 - alpha_bar_t) noise) / sqrt(alpha_t) + sigma_t z, sigma_t^2 = beta tilde."""
  steps, shape = 10, (3, 2, 2, 1)
  predict = lambda images, time: jnp.sin(3 * images + time)
  left = alpha_bar(steps, "cosine")
  ours = denoised(jax.random.key(0), predict, shape, left, steps, 1.0, clip=False)
  key_start, key_steps = jax.random.split(jax.random.key(0))
  images = np.float64(jax.random.normal(key_start, shape))
  for key, t in zip(jax.random.split(key_steps, steps), reversed(range(steps)), strict=True):
    before = left[t - 1] if t else 1.0
    alpha = left[t] / before
    beta = 1 - alpha
    images = (images - beta / np.sqrt(1 - left[t]) * np.sin(3 * images + t)) / np.sqrt(alpha)
    images += np.sqrt(beta * (1 - before) / (1 - left[t])) * np.float64(jax.random.normal(key, shape))
  np.testing.assert_allclose(ours, images, rtol=1e-3, atol=1e-3)


def test_schedules_are_the_papers():
  linear, cosine = alpha_bar(1000, "linear"), alpha_bar(1000, "cosine")
  np.testing.assert_allclose(linear[[0, 999]], [1 - 1e-4, 4.0358e-5], rtol=1e-4)
  f = lambda t: np.cos((t / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
  np.testing.assert_allclose(cosine[[0, 499]], [f(1) / f(0), f(500) / f(0)], rtol=1e-9)
  np.testing.assert_allclose(cosine[999] / cosine[998], 1 - 0.999, rtol=1e-9)  # beta is at most 0.999
  np.testing.assert_allclose(alpha_bar(100, "linear")[-1], linear[-1], rtol=0.5)


@pytest.mark.parametrize("count", [1, 3, 10])
def test_the_sampler_begins_where_all_is_noise_and_clips_what_it_foresees(count):
  seen = []
  predict = lambda images, time: (jax.debug.callback(lambda t: seen.append(int(t)), time), 5 * images)[1]
  images = denoised(jax.random.key(0), predict, (2, 1, 1, 1), alpha_bar(10, "linear"), count, 1.0, clip=True)
  jax.effects_barrier()
  assert sorted(seen, reverse=True)[0] == 9
  assert len(set(seen)) == count
  assert jnp.abs(images).max() <= 1


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
  ],
)
def test_settings_out_of_range_are_refused(settings, said):
  with pytest.raises(ValueError, match=said):
    ddpm(Exact(), shape=SHAPE, **settings)
