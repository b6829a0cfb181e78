"""MaskGIT: a transformer learns to fill in masked tokens of images, and makes images from masks alone in a few steps.

One run trains both nets: the VQ-VAE that makes tokens of images, and the transformer of its tokens, whose loss leaves
the VQ-VAE alone.

Papers   MaskGIT  Chang, Zhang, Jiang, Liu & Freeman 2022, arXiv:2202.04200: eq 1, section 3.2 (decoding) and 3.3 (the
                  cosine schedule), label smoothing 0.1 (section 4)
Departs  The paper's tokeniser is a VQGAN that is trained first; here a VQ-VAE (systems/vqvae.py) trains beside.
         A step of the decoding settles at least one token and leaves one for each step to come, so that all count.
Shapes   batch {"image": [B, H, W, C] float32 in [-1, 1]}. encoder, decoder: see systems/vqvae.py. net: embedded tokens
         [B, L, D] -> [B, L, D], D its `width`; L = h w tokens of an image; token K is the mask.
Checked  tests/systems/test_maskgit.py
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genjax.core import Batch, Kernel, Metrics, System
from genjax.nets.training import mode
from genjax.systems.checks import check_counts, check_images, check_shares
from genjax.systems.fit import Variables, collections_of, fit
from genjax.systems.optimizers import Optimizer, adam
from genjax.systems.vqvae import Coded, Tokeniser, check_book

Array = jax.Array
OPTIMIZER = adam(learning_rate=1e-4, b2=0.96)
STD = 0.02  # of the initial embeddings


class MaskedTokens(nn.Module):
  """Logits of every token by all tokens, some of which are masks.

  Attributes:
    net: see Shapes.
    codes: K.
  """

  net: nn.Module
  codes: int

  @nn.compact
  def __call__(self, tokens: Array, *, train: bool = False) -> Array:
    """[B, L] in 0 ... K -> [B, L, K] float32."""
    width, normal = self.net.width, nn.initializers.normal(STD)
    embedding = nn.Embed(self.codes + 1, width, embedding_init=normal, name="tokens")
    positions = self.param("positions", normal, (tokens.shape[1], width))
    x = nn.LayerNorm(1e-5)(embedding(tokens) + positions[None])
    x = self.net(x, **mode(self.net, train)).astype(jnp.float32)
    x = nn.LayerNorm(1e-5)(nn.gelu(nn.Dense(width)(x)))
    bias = self.param("bias", nn.initializers.zeros, (self.codes,))
    return x @ embedding.embedding[: self.codes].T + bias[None, None]


class MaskGIT(nn.Module):
  """The tokeniser and the transformer as one net.

  Attributes:
    tokeniser, predictor: its parts.
  """

  tokeniser: Tokeniser
  predictor: MaskedTokens

  def __call__(self, images: Array, key: Array, train: bool = False) -> tuple[Coded, Array, Array]:
    """What the tokeniser gives, which tokens are masked [B, L], and the logits [B, L, K]."""
    coded = self.tokeniser(images, train)
    tokens = coded.tokens.reshape(len(images), -1)
    masked = random_mask(key, *tokens.shape)
    return coded, masked, self.predictor(jnp.where(masked, self.predictor.codes, tokens), train=train)

  def encode(self, images: Array) -> Array:
    return self.tokeniser.encode(images)

  def decode(self, tokens: Array) -> Array:
    return self.tokeniser.decode(tokens)

  def predict(self, tokens: Array) -> Array:
    return self.predictor(tokens)


def maskgit(
  net: nn.Module,
  encoder: nn.Module,
  decoder: nn.Module,
  *,
  shape: tuple[int, int, int],
  codes: int = 1024,
  latent: int = 256,
  beta: float = 0.25,
  decay: float = 0.99,
  smoothing: float = 0.1,
  sampler_steps: int = 8,
  temperature: float = 4.5,
  optimizer: Optimizer = OPTIMIZER,
  ema: float = 0.0,
  accumulate: int = 1,
  remat: bool = False,
) -> System:
  """A transformer and the VQ-VAE of its tokens as a System.

  Views: `sample`; `encode` gives tokens [B, h, w], `decode` the image of tokens.

  Args:
    net, encoder, decoder: see Shapes; nets/bidirectional.py, nets/grid_coder.py.
    shape: H, W, C.
    codes, latent, beta, decay: of the VQ-VAE, see `vqvae`.
    smoothing: share of a label that is spread over all codes.
    sampler_steps: T of the decoding; as many as there are tokens settles one in each.
    temperature: of the noise in the choice of which tokens are settled; it falls to 0 over the steps.
    optimizer: of all nets.
    ema: decay of the averaged variables that the views use; 0: none.
    accumulate: parts of a batch that are worked on one after the other.
    remat: whether a step computes again what lies between its convolutions and products, to hold less.

  Raises:
    ValueError: a setting that is out of range.
  """
  check_book(codes, latent, decay, beta)
  check_counts({"sampler_steps": sampler_steps})
  check_shares({"smoothing": smoothing})
  whole = MaskGIT(Tokeniser(encoder, decoder, codes, latent, decay), MaskedTokens(net, codes))

  def init(key: Array, batch: Batch) -> Variables:
    check_images(batch["image"], shape, 1, "1")
    variables = whole.init(key, batch["image"], key)
    schedule(sampler_steps, math.prod(grid(variables)))
    return variables

  def grid(variables: Variables) -> tuple[int, ...]:
    """h, w."""
    one = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    return jax.eval_shape(lambda x: whole.apply(variables, x, method="encode"), one).shape[1:]

  def loss(key: Array, variables: Variables, batch: Batch) -> tuple[Array, tuple[Any, Metrics]]:
    key_mask, key_restart, key_dropout = jax.random.split(key, 3)
    (coded, masked, logits), collections = whole.apply(
      variables,
      batch["image"],
      key_mask,
      True,
      rngs={"restart": key_restart, "dropout": key_dropout},
      mutable=list(collections_of(variables)),
    )
    log_p = jax.nn.log_softmax(logits)
    tokens = coded.tokens.reshape(masked.shape)
    right = jnp.take_along_axis(log_p, tokens[..., None], -1)[..., 0]
    smooth = (1 - smoothing) * right + smoothing * log_p.mean(-1)
    mean = lambda each: (each * masked).sum() / masked.sum()
    metrics = {"token_nats": -mean(right), "reconstruction": coded.reconstruction, "perplexity": coded.perplexity}
    return coded.reconstruction + beta * coded.commitment - mean(smooth), (collections, metrics)

  def sample(key: Array, variables: Variables, n: int) -> Array:
    rows, columns = grid(variables)
    predict = lambda tokens: whole.apply(variables, tokens, method="predict")
    tokens = filled(key, predict, n, schedule(sampler_steps, rows * columns), codes, temperature)[-1]
    return decode(variables, tokens.reshape(n, rows, columns))

  def decode(variables: Variables, tokens: Array) -> Array:
    return whole.apply(variables, tokens, method="decode")

  def kernels(key: Array, batch: Batch) -> dict[str, Kernel]:
    variables, n = init(key, batch), len(batch["image"])
    run = lambda key, variables: sample(key, variables, n)
    return {"sampler": Kernel(run, (key, variables), n * sampler_steps, "image-decoding steps")}

  views = {
    "sample": sample,
    "encode": lambda variables, x: whole.apply(variables, x, method="encode"),
    "decode": decode,
  }
  return fit(init, loss, optimizer, ema=ema, accumulate=accumulate, remat=remat, views=views, kernels=kernels)


def schedule(steps: int, length: int) -> tuple[int, ...]:
  """How many of `length` tokens are masked before each step, and after the last: length, ..., 0; cosine.

  Raises ValueError for more steps than tokens.
  """
  if steps > length:
    raise ValueError(f"sampler_steps {steps} for {length} tokens; use at most as many steps as tokens")
  counts = [length]
  for step in range(1, steps + 1):
    wanted = math.floor(math.cos(math.pi / 2 * step / steps) * length)
    counts.append(min(counts[-1] - 1, max(wanted, steps - step)))
  return tuple(counts)


def random_mask(key: Array, batch: int, length: int) -> Array:
  """Which tokens are masked in training, [batch, length] bool: ceil(cos(pi u / 2) length) random ones, u uniform."""
  key_share, key_places = jax.random.split(key)
  counts = jnp.ceil(jnp.cos(jnp.pi / 2 * jax.random.uniform(key_share, (batch, 1))) * length)
  return rank(jax.random.uniform(key_places, (batch, length))) < counts


def filled(
  key: Array, predict: Callable[[Array], Array], n: int, counts: tuple[int, ...], codes: int, temperature: float
) -> Array:
  """Tokens after every step of the parallel decoding, [T, n, L]; `codes` is the mask.

  In a step all masked tokens are drawn, and those that were drawn with the least confidence are masked again.

  Args:
    key: of the draws.
    predict: tokens [n, L] -> logits [n, L, K].
    n: number of images.
    counts: see `schedule`.
    codes: K.
    temperature: of the confidence's noise in the first step.
  """
  steps, length = len(counts) - 1, counts[0]
  falling = temperature * (1 - (np.arange(steps, dtype=np.float32) + 1) / steps)

  def step(tokens: Array, each: tuple[Array, Array, Array]) -> tuple[Array, Array]:
    key, left, noise = each
    key_token, key_choice = jax.random.split(key)
    logits = predict(tokens)
    new = jax.random.categorical(key_token, logits).astype(jnp.int32)
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), new[..., None], -1)[..., 0]
    masked = tokens == codes
    confidence = jnp.where(masked, log_p + noise * jax.random.gumbel(key_choice, log_p.shape), jnp.inf)
    tokens = jnp.where(rank(confidence) < left, codes, jnp.where(masked, new, tokens))
    return tokens, tokens

  start = jnp.full((n, length), codes, jnp.int32)
  each = (jax.random.split(key, steps), jnp.asarray(counts[1:], jnp.int32), jnp.asarray(falling))
  return lax.scan(step, start, each)[1]


def rank(values: Array) -> Array:
  """The place of each value among those of its row [B, L], 0 for the least."""
  return jnp.argsort(jnp.argsort(values, -1), -1)
