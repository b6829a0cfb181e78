"""The arithmetic of diffusion: how noise is added, the steps back, and the bound on the likelihood.

At time t in 0 ... T - 1 an image x_0 has become x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise, where a_t (`left`, alpha_bar
in the papers) is the share of its variance that is left. `before` is a_{t-1}, 1 at the first time.

Papers   DDPM  Ho, Jain & Abbeel 2020, arXiv:2006.11239, eq 4 to 7 and 13
         DDIM  Song, Meng & Ermon 2021, arXiv:2010.02502, eq 12 and 16
         cosine schedule, learned variances  Nichol & Dhariwal 2021, arXiv:2102.09672, eq 15 and 17
         velocity  Salimans & Ho 2022, arXiv:2202.00512, appendix D
Departs  The last step gives the image that it foresees, without noise. Log beta_tilde of the first time, which would be
         minus infinity, is that of the second, as in the code of Nichol and Dhariwal.
Shapes   images, noise [B, H, W, C]; `left` [T] float64 on the host; likelihoods and divergences [B] nats, float32.
Checked  tests/ops/test_diffusion.py, tests/systems/test_ddpm.py
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Array = jax.Array
Prediction = Literal["noise", "image", "velocity"]
Variance = Literal["beta_tilde", "beta", "learned"]
Predict = Callable[[Array, Array], tuple[Array, Array | None]]  # images, time [] -> (the noise in them, share or None)
BIN = 1 / 255  # half the distance of two grey levels in [-1, 1]


def alpha_bar(steps: int, schedule: str) -> np.ndarray:
  """The share of an image's variance left after each step, [steps] float64.

  "linear": beta rises from 1e-4 to 0.02, for a T of 1000; for another T so that as little is left in the end.
  "cosine": squared cosine, no beta above 0.999.
  """
  if schedule not in ("linear", "cosine"):
    raise ValueError(f"schedule {schedule!r}; use 'linear' or 'cosine'")
  if schedule == "linear":
    beta = np.linspace(1e-4, 0.02, steps) * (1000 / steps)
  else:
    angle = (np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2
    beta = 1 - np.cos(angle[1:]) ** 2 / np.cos(angle[:-1]) ** 2
  return np.cumprod(1 - np.minimum(beta, 0.999))


class Steps(NamedTuple):
  """What every step back needs to know, [count] float32 each.

  The mean of x_{t-1} is signal_before x_0 + keep noise, and is_last marks the step that ends at an image.
  """

  signal: Array  # sqrt(a_t)
  spread: Array  # sqrt(1 - a_t)
  signal_before: Array
  keep: Array
  fresh: Array  # deviation of the new noise, unless a net says it
  log_beta: Array
  log_tilde: Array
  is_last: Array


def steps_of(left: np.ndarray, times: np.ndarray, eta: float = 1.0, variance: Variance = "beta_tilde") -> Steps:
  """The steps that visit `times` alone, in rising order: DDIM's eq 12 and 16, which with eta 1 are DDPM's.

  Args:
    left: alpha_bar.
    times: rising, the last is T - 1.
    eta: the share of DDPM's deviation that is added, 1 unless the variance is beta tilde.
    variance: of the new noise.
  """
  now, before = left[times], np.concatenate([[1.0], left[times[:-1]]])
  beta = 1 - now / before
  tilde = (1 - before) / (1 - now) * beta
  keep = np.sqrt(np.maximum(1 - before - eta**2 * tilde, 0))  # of the predicted noise
  fresh = eta * np.sqrt(tilde) if variance == "beta_tilde" else np.where(before < 1, np.sqrt(beta), 0)
  least = tilde[1] if len(tilde) > 1 else beta[0]
  log_tilde = np.log(np.where(before < 1, tilde, least))
  rows = (np.sqrt(now), np.sqrt(1 - now), np.sqrt(before), keep, fresh, np.log(beta), log_tilde, before == 1)
  return Steps(*(jnp.asarray(row, jnp.float32) for row in rows))


# What a net says ------------------------------------------------------------------------------------------------------


def target_of(prediction: Prediction, images: Array, noise: Array, signal: Array, spread: Array) -> Array:
  """What a net is trained to say of images with noise."""
  return {"noise": noise, "image": images, "velocity": signal * noise - spread * images}[prediction]


def noise_of(prediction: Prediction, said: Array, seen: Array, signal: Array, spread: Array) -> Array:
  """The noise in the images `seen`, by what a net says of them."""
  if prediction == "noise":
    return said
  if prediction == "image":
    return (seen - signal * said) / spread
  return signal * said + spread * seen


def log_variance(share: Array, log_beta: Array, log_tilde: Array) -> Array:
  """Between log beta tilde (share -1) and log beta (share 1): eq 15 of Nichol and Dhariwal, v = (share + 1) / 2."""
  v = (share + 1) / 2
  return v * log_beta + (1 - v) * log_tilde


# Steps back -----------------------------------------------------------------------------------------------------------


def foreseen(noise: Array, seen: Array, step: Steps, clip: bool) -> Array:
  """The image that remains without the noise."""
  clean = (seen - step.spread * noise) / step.signal
  return jnp.clip(clean, -1, 1) if clip else clean


def mean_before(clean: Array, seen: Array, step: Steps) -> Array:
  """The mean of x_{t-1}, given x_0 and x_t."""
  return step.signal_before * clean + step.keep * (seen - step.signal * clean) / step.spread


def denoised(
  key: Array,
  predict: Predict,
  shape: tuple[int, ...],
  left: np.ndarray,
  *,
  count: int,
  eta: float = 1.0,
  clip: bool = True,
  variance: Variance = "beta_tilde",
) -> Array:
  """Images [n, H, W, C] from noise, by `count` steps of DDIM's eq 12.

  Args:
    key: of the noise.
    predict: (images, time []) -> the noise in them, and the share of `log_variance` where it is learned.
    shape: n, H, W, C.
    left: alpha_bar.
    count: steps, spread evenly over the T.
    eta, variance: see `steps_of`.
    clip: whether the image that a step foresees is clipped to [-1, 1].
  """
  times = times_of(len(left), count)
  steps = jax.tree.map(lambda row: row[::-1], steps_of(left, times, eta, variance))

  def back(seen: Array, each: tuple[Array, Array, Steps]) -> tuple[Array, None]:
    key, time, step = each
    noise, share = predict(seen, time)
    clean = foreseen(noise.astype(jnp.float32), seen, step, clip)
    fresh = step.fresh
    if share is not None:
      fresh = jnp.exp(log_variance(share, step.log_beta, step.log_tilde) / 2) * (1 - step.is_last)
    return mean_before(clean, seen, step) + fresh * jax.random.normal(key, shape), None

  key_start, key_steps = jax.random.split(key)
  each = (jax.random.split(key_steps, count), jnp.asarray(times[::-1], jnp.int32), steps)
  return lax.scan(back, jax.random.normal(key_start, shape), each)[0]


def times_of(steps: int, count: int) -> np.ndarray:
  """`count` times spread evenly over `steps`; the last is steps - 1."""
  return (np.arange(count) + 1) * steps // count - 1


# The bound ------------------------------------------------------------------------------------------------------------


def bound(
  key: Array, predict: Predict, images: Array, left: np.ndarray, *, clip: bool = True, variance: Variance = "beta_tilde"
) -> Array:
  """A lower bound of log p(x) in nats, of 8-bit images in [-1, 1]: minus eq 5 of DDPM, with one noise for each time.

  The last step is the discretised decoder of eq 13, so that this is the logarithm of a probability, not of a density.

  Args:
    key: of the noise.
    predict, left, clip, variance: see `denoised`; `predict` is asked about all T times.
    images: [B, H, W, C] float32, on the grid of 256 levels.
  """
  times = np.arange(len(left))
  steps = steps_of(left, times, 1.0, variance)

  def add(total: Array, each: tuple[Array, Array, Steps]) -> tuple[Array, None]:
    key, time, step = each
    seen = step.signal * images + step.spread * jax.random.normal(key, images.shape)
    noise, share = predict(seen, time)
    return total + term(images, seen, noise.astype(jnp.float32), share, step, clip=clip, variance=variance), None

  each = (jax.random.split(key, len(left)), jnp.asarray(times, jnp.int32), steps)
  total = lax.scan(add, prior(images, float(left[-1])), each)[0]
  return -total


def term(
  images: Array, seen: Array, noise: Array, share: Array | None, step: Steps, *, clip: bool, variance: Variance
) -> Array:
  """L_t of eq 5, [B] nats: a divergence of normal distributions, or at the first time minus log p(x_0 | x_1).

  Args:
    images: x_0 [B, H, W, C].
    seen: x_t.
    noise: what the net says of x_t.
    share: of `log_variance`, where it is learned.
    step: of the time t; its leaves have shape [] or [B, 1, 1, 1].
    clip, variance: see `denoised`.
  """
  mean = mean_before(foreseen(noise, seen, step, clip), seen, step)
  if share is not None:
    log_model = log_variance(share, step.log_beta, step.log_tilde)
  else:
    fixed = jnp.where(step.is_last > 0, step.log_tilde, step.log_beta)  # as in the code of Nichol and Dhariwal
    log_model = jnp.broadcast_to(fixed if variance == "beta" else step.log_tilde, images.shape)
  true = mean_before(images, seen, step)
  divergence = normal_divergence(true, step.log_tilde, mean, log_model)
  decoder = -level_log_prob(images, mean, log_model / 2)
  return _summed(jnp.where(step.is_last > 0, decoder, divergence))


def prior(images: Array, left: float) -> Array:
  """L_T of eq 5, [B] nats: the divergence of q(x_T | x_0) from normal noise."""
  zero = jnp.zeros(())
  return _summed(normal_divergence(left**0.5 * images, jnp.log1p(-left) + zero, zero, zero))


def normal_divergence(mean: Array, log_var: Array, other_mean: Array, other_log_var: Array) -> Array:
  """KL(N(mean, exp log_var) || N(other_mean, exp other_log_var)), elementwise, in nats."""
  apart = (mean - other_mean) ** 2 * jnp.exp(-other_log_var)
  return 0.5 * (other_log_var - log_var - 1 + jnp.exp(log_var - other_log_var) + apart)


def level_log_prob(images: Array, mean: Array, log_deviation: Array) -> Array:
  """log of the mass that N(mean, deviation^2) has in the bin of each of 256 grey levels (eq 13), elementwise.

  The outermost bins reach to infinity, so that the masses of all levels sum to 1.
  """
  scale = jnp.exp(-log_deviation)
  above = jnp.where(images > 1 - BIN, jnp.inf, (images - mean + BIN) * scale)
  below = jnp.where(images < -1 + BIN, -jnp.inf, (images - mean - BIN) * scale)
  flipped = (images < mean).astype(jnp.float32)  # the tail in which a difference of probabilities is not rounded away
  high = jnp.where(flipped > 0, above, -below)
  low = jnp.where(flipped > 0, below, -above)
  log_high, log_low = jax.scipy.stats.norm.logcdf(high), jax.scipy.stats.norm.logcdf(low)
  return log_high + jnp.log1p(-jnp.exp(jnp.minimum(log_low - log_high, -1e-7)))


def _summed(values: Array) -> Array:
  return values.astype(jnp.float32).reshape(len(values), -1).sum(1)
