"""Terms of the generator alone: its features match those of the reals, and its images differ from each other.

Papers   feature matching     Salimans et al. 2016, arXiv:1606.03498, section 3.1
         denoising features   Warde-Farley & Bengio 2017 (seed 002)
         mode seeking         Mao et al. 2019, arXiv:1903.05628
         path length          Karras et al. 2020 (StyleGAN2), arXiv:1912.04958, weight 2, lazily every 8 steps
Departs  Denoising: the denoiser has one hidden layer, lives in the Term's state and goes down its gradient without an
         optimiser, on the reals of the generator's round. Its answer for a fake is a target, without gradient.
         Mode seeking: the ratio is taken of each pair, then averaged; the authors' code averages both distances first.
         Path length: the mean is that before this step and has no gradient.
Shapes   features [B, D]; latents [B, Z]; every Term [].
Checked  tests/objectives/test_generator.py: a linear generator has path lengths |A y|, known in closed form.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from genjax.objectives.terms import Round, Term, given, read, stateless, to_float32
from genjax.ops.norms import root

Array = jax.Array


def feature_matching(real: Array, fake: Array) -> Array:
  """|mean features of reals - mean features of fakes|^2, [B, D] each."""
  return ((real.mean(0) - fake.mean(0)) ** 2).sum()


# Denoised features ----------------------------------------------------------------------------------------------------


class Denoiser(NamedTuple):
  """Two layers with a ReLU between them: corrupted features [B, D] -> features [B, D]."""

  inner: Array  # [D, K]
  inner_bias: Array  # [K]
  outer: Array  # [K, D]
  outer_bias: Array  # [D]


def denoise(denoiser: Denoiser, features: Array) -> Array:
  """r(features), [B, D]."""
  hidden = jax.nn.relu(features @ denoiser.inner + denoiser.inner_bias[None])
  return hidden @ denoiser.outer + denoiser.outer_bias[None]


def denoised_feature_matching(
  features: int, *, hidden: int = 256, noise: float = 0.5, learning_rate: float = 1e-2, seed: int = 0
) -> Term:
  """mean |h(G(z)) - r(h(G(z)))|^2 over all features, r a denoiser of real features; its state is r.

  Args:
    features: D.
    hidden: of r.
    noise: standard deviation of what corrupts real features when r learns.
    learning_rate: of r's gradient step, one in each update of the generator.
    seed: of r's first weights.
  """

  def init() -> Denoiser:
    keys = jax.random.split(jax.random.key(seed))
    inner = jax.random.normal(keys[0], (features, hidden)) * (2 / features) ** 0.5
    outer = jax.random.normal(keys[1], (hidden, features)) * hidden**-0.5
    return Denoiser(inner, jnp.zeros(hidden), outer, jnp.zeros(features))

  def apply(key: Array, state: Denoiser, round: Round) -> tuple[Array, Denoiser]:
    real, fake = (read(round, side, "features") for side in ("real", "fake"))
    target = jax.lax.stop_gradient(denoise(state, fake))
    clean = jax.lax.stop_gradient(real)
    corrupted = clean + noise * jax.random.normal(key, clean.shape, clean.dtype)
    gradient = jax.grad(lambda denoiser: ((denoise(denoiser, corrupted) - clean) ** 2).mean())(state)
    learned = jax.tree.map(lambda leaf, slope: (leaf - learning_rate * slope).astype(leaf.dtype), state, gradient)
    return ((fake - target) ** 2).mean(), jax.lax.stop_gradient(learned)

  return Term(init, apply)


# Diversity ------------------------------------------------------------------------------------------------------------


def mode_ratio(epsilon: float = 1e-5) -> Term:
  """1 / (mean |G(z) - G(z')|_1 / |z - z'|_1 + epsilon); z' is the next latent of the batch, with its own place's label.

  The L1 norms are means over an image's values and over a latent's.
  """

  def value(key: Array, round: Round) -> Array:
    latent = given(round, "latent")
    other = jnp.roll(latent, -1, axis=0)
    images = jnp.abs(to_float32(round.fake) - to_float32(given(round, "generator")(other)))
    images = images.mean(tuple(range(1, images.ndim)))
    latents = jnp.abs(to_float32(latent) - to_float32(other)).mean(-1)
    ratio = images / jnp.maximum(latents, epsilon)
    return 1 / (ratio.mean() + epsilon)

  return stateless(value)


def path_length(decay: float = 0.99) -> Term:
  """mean (|J' y| - a)^2: steps of one length change the image equally, at every w and in every direction.

  J is the Jacobian of an image by its w, y a normal image over the root of its number of pixels. Of an image with a w
  for each layer, the length is the root of the mean of |J' y|^2 over layers, as in the authors' code. A generator
  without w is differentiated by its latent. Its state is a, the running mean of lengths, from 0.
  """

  def apply(key: Array, mean: Array, round: Round) -> tuple[Array, Array]:
    styles, synthesis = given(round, "styles"), given(round, "synthesis")
    shape = round.fake.shape
    noise = jax.random.normal(key, shape) / (shape[1] * shape[2]) ** 0.5
    slope = to_float32(jax.grad(lambda w: (to_float32(synthesis(w)) * noise).sum())(styles))
    lengths = root((slope**2).sum(-1).reshape(shape[0], -1).mean(1))
    after = decay * mean + (1 - decay) * jax.lax.stop_gradient(lengths.mean())
    return ((lengths - mean) ** 2).mean(), after.astype(mean.dtype)

  return Term(lambda: jnp.zeros(()), apply)
