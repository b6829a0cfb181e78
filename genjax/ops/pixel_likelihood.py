"""How a net's numbers say what a pixel is: a Bernoulli of black and white, a softmax of levels, a mixture of logistics.

Papers   softmax   van den Oord, Kalchbrenner & Kavukcuoglu 2016, arXiv:1601.06759, section 3.4: 256 classes
         logistic  PixelCNN++  Salimans et al. 2017, arXiv:1701.05517, section 2.1, eq 2
Departs  logistic: the channels of a pixel are independent here, as masked nets see earlier channels themselves; in the
         paper the means are linear in them (section 2.2). A level's logarithm is exact at any scale, by
         s(b) - s(a) = s(b) s(-a) (1 - e^(a - b)), where the released code turns to the density.
Shapes   outputs [..., K] float32; levels [...] int32 in 0 ... L - 1; nats [...] float32.
Checked  tests/ops/test_pixel_likelihood.py: against scipy, sums over all levels, samples' frequencies
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from genjax.core import Array

Name = Literal["bernoulli", "categorical", "logistic_mixture"]
LEAST_LOG_SCALE = -7.0  # of a logistic, as in the paper's code


class Likelihood(NamedTuple):
  """p(level) by a net's outputs."""

  levels: int  # L
  outputs: int  # K
  log_prob: Callable[[Array, Array], Array]  # outputs, levels -> nats
  sample: Callable[[Array, Array], Array]  # key, outputs -> levels


def bernoulli() -> Likelihood:
  """Two levels; the output is the logit of white."""

  def log_prob(outputs: Array, level: Array) -> Array:
    return jax.nn.log_sigmoid(jnp.where(level == 1, outputs[..., 0], -outputs[..., 0]))

  def sample(key: Array, outputs: Array) -> Array:
    return jax.random.bernoulli(key, jax.nn.sigmoid(outputs[..., 0])).astype(jnp.int32)

  return Likelihood(2, 1, log_prob, sample)


def categorical(levels: int) -> Likelihood:
  """A logit for each level."""

  def log_prob(outputs: Array, level: Array) -> Array:
    return jnp.take_along_axis(jax.nn.log_softmax(outputs), level[..., None], -1)[..., 0]

  def sample(key: Array, outputs: Array) -> Array:
    return jax.random.categorical(key, outputs).astype(jnp.int32)

  return Likelihood(levels, levels, log_prob, sample)


def logistic_mixture(levels: int, components: int) -> Likelihood:
  """Logits, means and log scales of `components` logistics on [-1, 1], each rounded to the nearest level."""
  half = 1 / (levels - 1)  # of the width of a level

  def parts(outputs: Array) -> tuple[Array, Array, Array]:
    logits, means, log_scales = jnp.split(outputs, 3, -1)
    return logits, means, jnp.maximum(log_scales, LEAST_LOG_SCALE)

  def log_prob(outputs: Array, level: Array) -> Array:
    logits, means, log_scales = parts(outputs)
    away, inverse = (2 * half * level - 1.0)[..., None] - means, jnp.exp(-log_scales)
    low, high = (away - half) * inverse, (away + half) * inverse
    below, above = jax.nn.log_sigmoid(high), jax.nn.log_sigmoid(-low)
    inner = below + above + jnp.log(-jnp.expm1(-2 * half * inverse))
    level = level[..., None]
    each = jnp.where(level == 0, below, jnp.where(level == levels - 1, above, inner))
    return jax.nn.logsumexp(jax.nn.log_softmax(logits) + each, -1)

  def sample(key: Array, outputs: Array) -> Array:
    key_component, key_noise = jax.random.split(key)
    logits, means, log_scales = parts(outputs)
    chosen = jax.random.categorical(key_component, logits)[..., None]
    mean, log_scale = (jnp.take_along_axis(each, chosen, -1)[..., 0] for each in (means, log_scales))
    value = mean + jnp.exp(log_scale) * jax.random.logistic(key_noise, mean.shape)
    return jnp.clip(jnp.round((value + 1) / (2 * half)), 0, levels - 1).astype(jnp.int32)

  return Likelihood(levels, 3 * components, log_prob, sample)


def likelihood_of(name: Name, levels: int | None, components: int) -> Likelihood:
  """The likelihood of this name; `levels` None: 2 for "bernoulli", else 256. Raises ValueError."""
  if name == "bernoulli":
    if levels not in (None, 2):
      raise ValueError(f"levels {levels} with likelihood 'bernoulli'; use 2, or likelihood 'categorical'")
    return bernoulli()
  levels = 256 if levels is None else levels
  if levels < 2:
    raise ValueError(f"levels {levels}; use at least 2")
  return categorical(levels) if name == "categorical" else logistic_mixture(levels, components)
