"""The arithmetic of diffusion: Algorithm 2 in numpy, schedules, and the bound on what is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from genjax.ops import diffusion
from genjax.ops.diffusion import alpha_bar

LEVELS = np.arange(256) / 127.5 - 1


def test_all_steps_with_eta_one_are_algorithm_2():
  """x_{t-1} = (x_t - beta_t / sqrt(1 - alpha_bar_t) noise) / sqrt(alpha_t) + sigma_t z, sigma_t^2 = beta tilde."""
  steps, shape = 10, (3, 2, 2, 1)
  predict = lambda images, time: (jnp.sin(3 * images + time), None)
  left = alpha_bar(steps, "cosine")
  ours = diffusion.denoised(jax.random.key(0), predict, shape, left, count=steps, clip=False)
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
  predict = lambda images, time: (jax.debug.callback(lambda t: seen.append(int(t)), time), (5 * images, None))[1]
  images = diffusion.denoised(jax.random.key(0), predict, (2, 1, 1, 1), alpha_bar(10, "linear"), count=count)
  jax.effects_barrier()
  assert sorted(seen, reverse=True)[0] == 9
  assert len(set(seen)) == count
  assert jnp.abs(images).max() <= 1


def test_an_unknown_schedule_is_refused():
  with pytest.raises(ValueError, match="'square'; use 'linear' or 'cosine'"):
    alpha_bar(10, "square")


@pytest.mark.parametrize("prediction", ["noise", "image", "velocity"])
def test_the_noise_is_found_again_from_what_a_net_is_trained_to_say(prediction):
  images, noise = jax.random.normal(jax.random.key(0), (2, 3, 2, 2, 1))
  signal, spread = jnp.float32(0.6), jnp.float32(0.8)
  said = diffusion.target_of(prediction, images, noise, signal, spread)
  seen = signal * images + spread * noise
  np.testing.assert_allclose(diffusion.noise_of(prediction, said, seen, signal, spread), noise, atol=1e-5)


@pytest.mark.parametrize(("mean", "deviation"), [(0.1, 0.3), (-0.97, 0.01), (1.5, 0.05), (0.0, 0.002)])
def test_the_masses_of_the_grey_levels_are_those_of_the_normal_distribution_and_sum_to_one(mean, deviation):
  ours = diffusion.level_log_prob(jnp.float32(LEVELS), jnp.float32(mean), jnp.float32(np.log(deviation)))
  edges = np.concatenate([[-np.inf], (LEVELS[1:] + LEVELS[:-1]) / 2, [np.inf]])
  masses = np.diff(norm.cdf(edges, mean, deviation))
  np.testing.assert_allclose(np.exp(ours, dtype=np.float64).sum(), 1, atol=1e-4)
  np.testing.assert_allclose(np.exp(ours), masses, atol=2e-4)
  assert np.isfinite(ours).all()
  slope = jax.grad(lambda m: diffusion.level_log_prob(jnp.float32(LEVELS), m, jnp.float32(-3)).mean())(
    jnp.float32(mean)
  )
  assert np.isfinite(slope)


@pytest.mark.parametrize("variance", ["beta_tilde", "beta", "learned"])
def test_the_bound_of_a_net_that_is_off_by_a_constant_is_known(variance):
  """The means of q and p differ by sqrt(before) beta / (1 - a) off at each time, and nothing else is random."""
  steps, off, value = 30, 0.05, LEVELS[140]
  left = alpha_bar(steps, "cosine")
  before = np.append(1.0, left[:-1])
  beta = 1 - left / before
  tilde = beta * (1 - before) / (1 - left)
  log_tilde = np.log(np.append(tilde[1], tilde[1:]))
  share = 0.3
  log_model = {
    "beta_tilde": log_tilde,
    "beta": np.append(log_tilde[0], np.log(beta[1:])),
    "learned": (1 + share) / 2 * np.log(beta) + (1 - share) / 2 * log_tilde,
  }[variance]
  moved = np.sqrt(before) * beta / (1 - left) * off
  terms = 0.5 * (log_model - log_tilde - 1 + np.exp(log_tilde - log_model) + moved**2 / np.exp(log_model))
  width = np.exp(log_model[0] / 2)
  at = norm.cdf([value + 1 / 255, value - 1 / 255], value + off, width)
  prior = 0.5 * ((1 - left[-1]) + left[-1] * value**2 - 1 - np.log1p(-left[-1]))
  wanted = -4 * (prior + terms[1:].sum() - np.log(at[0] - at[1]))

  def predict(images, time):
    now = jnp.asarray(left, jnp.float32)[time]
    noise = (images - jnp.sqrt(now) * (value + off)) / jnp.sqrt(1 - now)
    return noise, jnp.full_like(images, share) if variance == "learned" else None

  images = jnp.full((2, 2, 2, 1), value, jnp.float32)
  bound = jax.jit(lambda key: diffusion.bound(key, predict, images, left, variance=variance))(jax.random.key(0))
  np.testing.assert_allclose(bound, [wanted, wanted], rtol=2e-3)
