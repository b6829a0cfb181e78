"""A variational autoencoder: an encoder and a decoder that raise a lower bound of log p(x) together.

Papers   VAE   Kingma & Welling 2014, arXiv:1312.6114: the bound is eq 10 with the KL term in closed form (appendix B)
         IWAE  Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, eq 8: `importance_samples`
         beta  Higgins et al. 2017, beta-VAE, ICLR: `beta` times the KL term
Departs  Adam in place of Adagrad. "bernoulli": grey levels are taken as probabilities of a white pixel, so the
         likelihood is the mean of log p over binary images with these probabilities. "gaussian": one learned deviation
         for all pixels (Rybkin et al. 2021, arXiv:2006.13202); the paper's decoder gives one for each pixel.
Shapes   batch {"image": [B, H, W, C] float32 in [-1, 1]}. encoder: images -> features [B, D], of which mean and log
         variance of the latents [B, Z] are linear; decoder: latents [B, Z] -> [B, H, W, C], logits of white pixels
         ("bernoulli") or means ("gaussian").
Checked  tests/systems/test_vae.py: against the exact likelihood of a linear Gaussian model
"""

import math
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.core import Batch, Metrics, System
from genjax.nets.training import mode, takes_train
from genjax.ops.latents import Latents
from genjax.ops.likelihood import Likelihood
from genjax.systems.checks import check_counts, check_images, check_words
from genjax.systems.fit import Variables, collections_of, fit
from genjax.systems.optimizers import Optimizer, adam

Array = jax.Array
Observation = Literal["bernoulli", "gaussian"]
OPTIMIZER = adam(learning_rate=1e-3)


class Coder(nn.Module):
  """Encoder and decoder as one net.

  Attributes: see `vae`.
  """

  encoder: nn.Module
  decoder: nn.Module
  latent: int
  likelihood: Observation

  def setup(self):
    self.mean, self.log_variance = nn.Dense(self.latent), nn.Dense(self.latent)
    if self.likelihood == "gaussian":
      self.log_deviation = self.param("log_deviation", nn.initializers.zeros, ())

  def encode(self, images: Array, train: bool = False) -> tuple[Array, Array]:
    """Mean and log variance of q(z|x), [B, Z] each."""
    features = self.encoder(images, **mode(self.encoder, train)).astype(jnp.float32)
    return self.mean(features), self.log_variance(features)

  def decode(self, latents: Array, train: bool = False) -> Array:
    """The mean image of p(x|z)."""
    out = self.decoder(latents, **mode(self.decoder, train)).astype(jnp.float32)
    return 2 * nn.sigmoid(out) - 1 if self.likelihood == "bernoulli" else jnp.clip(out, -1, 1)

  def __call__(self, images: Array, noise: Array, train: bool = False) -> tuple[Array, Array, Array]:
    """log p(x|z) and log p(z) - log q(z|x), [k, B] each, at the latents that noise [k, B, Z] gives; KL(q | p) [B]."""
    mean, log_variance = (each[None] for each in self.encode(images, train))
    latents = mean + jnp.exp(log_variance / 2) * noise
    out = self.decoder(latents.reshape(-1, self.latent), **mode(self.decoder, train)).astype(jnp.float32)
    if out.shape[1:] != images.shape[1:]:
      raise ValueError(f"the decoder's images are {out.shape[1:]}, the data's are {images.shape[1:]}")
    out, images = out.reshape(*noise.shape[:2], -1), images.reshape(1, len(images), -1)
    if self.likelihood == "bernoulli":
      white = (images + 1) / 2
      log_likelihood = white * nn.log_sigmoid(out) + (1 - white) * nn.log_sigmoid(-out)
    else:
      apart = (images - out) * jnp.exp(-self.log_deviation)
      log_likelihood = -(apart**2) / 2 - self.log_deviation - math.log(2 * math.pi) / 2
    log_ratio = (noise**2 + log_variance - latents**2) / 2
    divergence = (jnp.exp(log_variance) + mean**2 - 1 - log_variance)[0] / 2
    return log_likelihood.sum(-1), log_ratio.sum(-1), divergence.sum(-1)


def vae(
  encoder: nn.Module,
  decoder: nn.Module,
  *,
  shape: tuple[int, int, int],
  latent: int = 20,
  likelihood: Observation = "bernoulli",
  beta: float = 1.0,
  importance_samples: int = 1,
  optimizer: Optimizer = OPTIMIZER,
  ema: float = 0.0,
  accumulate: int = 1,
  remat: bool = False,
) -> System:
  """An encoder and a decoder as a System.

  Views: `sample` gives mean images of p(x|z) for latents of the prior; `encode` the mean of q(z|x); `decode` the mean
  image; `log_prob` the bound, in nats an image, with `importance_samples` latents of one fixed key and with beta 1;
  `log_weight` that of one latent of a given key, of which a metric may average any number.

  Args:
    encoder, decoder: see Shapes.
    shape: H, W, C.
    latent: Z.
    likelihood: p(x|z), see Departs.
    beta: weight of the KL term in the loss.
    importance_samples: latents for each image; with more than one the loss is the importance weighted bound.
    optimizer: of all parameters.
    ema: decay of the averaged variables that the views use; 0: none.
    accumulate: parts of a batch that are worked on one after the other.
    remat: whether a step computes again what lies between its convolutions and products, to hold less.

  Raises:
    ValueError: settings that do not go together.
  """
  check_counts({"latent": latent, "importance_samples": importance_samples})
  check_words({"likelihood": (likelihood, "bernoulli", "gaussian")})
  if beta < 0 or (beta != 1 and importance_samples > 1):
    raise ValueError(f"beta {beta}; use 0 or more, and 1 with importance_samples {importance_samples}")
  net = Coder(encoder, decoder, latent, likelihood)
  trains = takes_train(encoder) or takes_train(decoder)
  of = "probability" if likelihood == "bernoulli" else "density"

  def bound(parts: tuple[Array, Array, Array], beta: float) -> Array:
    """[B] nats."""
    log_likelihood, log_ratio, divergence = parts
    if importance_samples == 1:
      return log_likelihood[0] - beta * divergence
    return jax.nn.logsumexp(log_likelihood + log_ratio, 0) - math.log(importance_samples)

  def draw(key: Array, n: int) -> Array:
    return jax.random.normal(key, (n, latent))

  def noise(key: Array, images: Array) -> Array:
    return jax.random.normal(key, (importance_samples, len(images), latent))

  def init(key: Array, batch: Batch) -> Variables:
    images = batch["image"][:1]
    check_images(images, shape, 1, "1")
    return net.init(key, images, jnp.zeros((1, 1, latent)))

  def loss(key: Array, variables: Variables, batch: Batch) -> tuple[Array, tuple[Any, Metrics]]:
    key_noise, key_dropout = jax.random.split(key)
    parts, collections = net.apply(
      variables,
      batch["image"],
      noise(key_noise, batch["image"]),
      trains,
      rngs={"dropout": key_dropout},
      mutable=list(collections_of(variables)),
    )
    metrics = {"reconstruction": -parts[0].mean(), "kl": parts[2].mean()}
    return -bound(parts, beta).mean(), (collections, metrics)

  def log_prob(variables: Variables, x: Array) -> Array:
    return bound(net.apply(variables, x, noise(jax.random.key(0), x)), 1.0)

  def log_weight(key: Array, variables: Variables, x: Array) -> Array:
    log_likelihood, log_ratio, _ = net.apply(variables, x, jax.random.normal(key, (1, len(x), latent)))
    return (log_likelihood + log_ratio)[0]

  def decode(variables: Variables, latents: Array) -> Array:
    return net.apply(variables, latents, method="decode")

  def latents(variables: Variables) -> Latents:
    generate = lambda latents, labels: decode(variables, latents)
    return Latents(draw, lambda latents, labels: latents, generate, has_w=False, normal=True)

  views = {
    "sample": lambda key, variables, n: decode(variables, draw(key, n)),
    "encode": lambda variables, x: net.apply(variables, x, method="encode")[0],
    "decode": decode,
    "log_prob": log_prob,
    "log_weight": log_weight,
    "likelihood": lambda variables: Likelihood("bound", of, importance_samples=importance_samples),
    "latents": latents,
  }
  return fit(init, loss, optimizer, ema=ema, accumulate=accumulate, remat=remat, views=views)
