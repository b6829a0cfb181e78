"""A VQ-VAE: an autoencoder whose features are rounded to the nearest of K codes, so that an image is a grid of tokens.

Papers   VQ-VAE   van den Oord, Vinyals & Kavukcuoglu 2017, arXiv:1711.00937: eq 1-3, codes by appendix A.1's averages
         restart  Jukebox, Dhariwal et al. 2020, arXiv:2005.00341, section 3.1: a code that is hardly used becomes a
                  random feature of the batch
Departs  Codes begin as random features of the first batch. Shares of the tokens are averaged in place of their counts.
         The loss has means over pixels and features, where the paper sums.
Shapes   batch {"image": [B, H, W, C] float32 in [-1, 1]}. encoder: images -> features [B, h, w, F], of which the
         features to round [B, h, w, D] are linear; decoder: codes [B, h, w, D] -> means of pixels [B, H, W, C].
         tokens [B, h, w] int32 in 0 ... K - 1.
State    collection "codebook": codes [K, D], shares [K], sums [K, D]; codes = sums / shares.
Checked  tests/systems/test_vqvae.py: the averages in numpy, and that digits are reconstructed
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.core import Batch, Metrics, System
from genjax.nets.training import mode
from genjax.systems.checks import check_counts, check_images, check_shares
from genjax.systems.fit import Variables, collections_of, fit
from genjax.systems.optimizers import Optimizer, adam

Array = jax.Array
LEAST = 0.01  # of an even share of the tokens: with less, a code restarts
PUBLISHED = adam(learning_rate=2e-4)


class Coded(NamedTuple):
  """What a pass of images gives."""

  tokens: Array  # [B, h, w]
  reconstruction: Array  # [] mean squared error of pixels
  commitment: Array  # [] mean squared distance of features from their codes
  perplexity: Array  # [] the number of codes that would be used evenly with the entropy of this batch's tokens


class Tokeniser(nn.Module):
  """Encoder, codes and decoder as one net.

  Attributes: see `vqvae`.
  """

  encoder: nn.Module
  decoder: nn.Module
  codes: int
  latent: int
  decay: float

  def setup(self):
    self.linear = nn.Dense(self.latent)
    shapes = {"codes": (self.codes, self.latent), "shares": (self.codes,), "sums": (self.codes, self.latent)}
    self.book = {name: self.variable("codebook", name, jnp.zeros, shape) for name, shape in shapes.items()}

  def features(self, images: Array, train: bool = False) -> Array:
    """What is rounded, [B, h, w, D]."""
    return self.linear(self.encoder(images, **mode(self.encoder, train)).astype(jnp.float32))

  def encode(self, images: Array) -> Array:
    return nearest(self.features(images), self.book["codes"].value)

  def decode(self, tokens: Array) -> Array:
    return jnp.clip(self._pixels(self.book["codes"].value[tokens], False), -1, 1)

  def _pixels(self, codes: Array, train: bool) -> Array:
    return self.decoder(codes, **mode(self.decoder, train)).astype(jnp.float32)

  def __call__(self, images: Array, train: bool = False) -> Coded:
    """With `train` the codes move, by the collection "codebook" and the random stream "restart"."""
    features = self.features(images, train)
    if self.is_initializing():
      self._start(features)
    codes = self.book["codes"].value
    tokens = nearest(features, codes)
    rounded = codes[tokens]
    out = self._pixels(features + jax.lax.stop_gradient(rounded - features), train)
    if out.shape != images.shape:
      raise ValueError(f"the decoder's images are {out.shape[1:]}, the data's are {images.shape[1:]}")
    share = jax.nn.one_hot(tokens.reshape(-1), self.codes).mean(0)
    if train and not self.is_initializing():
      self._move(jax.lax.stop_gradient(features), tokens, share)
    entropy = -(share * jnp.log(jnp.maximum(share, 1e-12))).sum()
    return Coded(tokens, ((out - images) ** 2).mean(), ((features - rounded) ** 2).mean(), jnp.exp(entropy))

  def _start(self, features: Array) -> None:
    codes = drawn(self.make_rng("params"), features, self.codes)
    even = jnp.full((self.codes,), 1 / self.codes, jnp.float32)
    for name, value in (("codes", codes), ("shares", even), ("sums", codes / self.codes)):
      self.book[name].value = value

  def _move(self, features: Array, tokens: Array, share: Array) -> None:
    flat = features.reshape(-1, self.latent)
    sums = jax.ops.segment_sum(flat, tokens.reshape(-1), self.codes) / len(flat)
    mix = lambda old, new: self.decay * old + (1 - self.decay) * new
    shares, sums = mix(self.book["shares"].value, share), mix(self.book["sums"].value, sums)
    even = 1 / self.codes
    rare = (shares < LEAST * even)[:, None]
    fresh = drawn(self.make_rng("restart"), features, self.codes)
    shares, sums = jnp.where(rare[:, 0], even, shares), jnp.where(rare, even * fresh, sums)
    for name, value in (("codes", sums / shares[:, None]), ("shares", shares), ("sums", sums)):
      self.book[name].value = value


def vqvae(
  encoder: nn.Module,
  decoder: nn.Module,
  *,
  shape: tuple[int, int, int],
  codes: int = 512,
  latent: int = 64,
  beta: float = 0.25,
  decay: float = 0.99,
  optimizer: Optimizer = PUBLISHED,
  ema: float = 0.0,
  accumulate: int = 1,
  remat: bool = False,
) -> System:
  """An encoder and a decoder with codes between them as a System.

  Views: `encode` gives tokens, `decode` the mean image of tokens.

  Args:
    encoder, decoder: see Shapes; nets/grid_coder.py.
    shape: H, W, C.
    codes: K.
    latent: D.
    beta: weight of the term that ties features to their codes.
    decay: of the averages of which the codes are made, in a step.
    optimizer: of the encoder and the decoder.
    ema: decay of the averaged variables that the views use; 0: none.
    accumulate: parts of a batch that are worked on one after the other.
    remat: whether a step computes again what lies between its convolutions and products, to hold less.

  Raises:
    ValueError: a setting that is out of range.
  """
  check_book(codes, latent, decay, beta)
  net = Tokeniser(encoder, decoder, codes, latent, decay)

  def init(key: Array, batch: Batch) -> Variables:
    check_images(batch["image"], shape, 1, "1")
    return net.init(key, batch["image"])

  def loss(key: Array, variables: Variables, batch: Batch) -> tuple[Array, tuple[Any, Metrics]]:
    key_restart, key_dropout = jax.random.split(key)
    coded, collections = net.apply(
      variables,
      batch["image"],
      True,
      rngs={"restart": key_restart, "dropout": key_dropout},
      mutable=list(collections_of(variables)),
    )
    metrics = {"reconstruction": coded.reconstruction, "perplexity": coded.perplexity}
    return coded.reconstruction + beta * coded.commitment, (collections, metrics)

  views = {
    "encode": lambda variables, x: net.apply(variables, x, method="encode"),
    "decode": lambda variables, tokens: net.apply(variables, tokens, method="decode"),
  }
  return fit(init, loss, optimizer, ema=ema, accumulate=accumulate, remat=remat, views=views)


def check_book(codes: int, latent: int, decay: float, beta: float) -> None:
  """Raises ValueError for settings of codes that are out of range."""
  check_counts({"latent": latent, "codes": codes})
  check_shares({"decay": decay})
  if beta < 0:
    raise ValueError(f"beta {beta}; use 0 or more")


def nearest(features: Array, codes: Array) -> Array:
  """The number of the nearest of codes [K, D] to each of features [..., D], int32; the first of equally near ones."""
  with jax.default_matmul_precision("highest"):
    products = features @ codes.T
  squares = (codes**2).sum(-1).reshape((1,) * (features.ndim - 1) + (-1,))
  return jnp.argmin(squares - 2 * products, -1).astype(jnp.int32)


def drawn(key: Array, features: Array, n: int) -> Array:
  """n of the features [..., D] in random order, each once; where there are fewer, they begin again.

  Two codes that are one would share its tokens by rounding.
  """
  flat = features.reshape(-1, features.shape[-1])
  return flat[jax.random.permutation(key, len(flat))[jnp.arange(n) % len(flat)]]
