"""A language model: a causal net that predicts every token of a sequence from the tokens before it.

Papers   GPT    Radford et al. 2018, "Improving language understanding by generative pre-training", eq 1: the loss
         GPT-2  Radford et al. 2019, "Language models are unsupervised multitask learners"
Departs  A token V stands before every sequence, so its first token has a probability too, and `log_prob` is of all L.
         Weight decay, where the optimiser has it, is of all parameters; GPT leaves out biases and gains.
Shapes   batch {"tokens": [B, L] int32 in 0 ... V - 1}. net: (tokens [B, L] in 0 ... V) -> logits [B, L, V], causal;
         with `cache` also (tokens [B, 1], at=place []) -> logits [B, 1, V] by the collection "cache", see nets/gpt.py.
Checked  tests/systems/test_gpt.py: probabilities of all sequences sum to 1, and samples have them
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from genjax.core import Batch, Kernel, Metrics, System
from genjax.nets.training import mode
from genjax.ops.likelihood import Likelihood
from genjax.systems.checks import check_counts
from genjax.systems.fit import Variables, collections_of, fit
from genjax.systems.optimizers import Optimizer, adam

Array = jax.Array
PUBLISHED = adam(learning_rate=2.5e-4, warmup_steps=2000)


def gpt(
  net: nn.Module,
  *,
  vocabulary: int,
  length: int,
  temperature: float = 1.0,
  cache: bool = True,
  optimizer: Optimizer = PUBLISHED,
  ema: float = 0.0,
  accumulate: int = 1,
  remat: bool = False,
) -> System:
  """A causal net as a System. Views: `sample`, and `log_prob` in nats a sequence, exact.

  Args:
    net: see Shapes.
    vocabulary: V.
    length: L.
    temperature: of `sample`; logits are divided by it.
    cache: whether `sample` passes one token at a time through a net that remembers the others. False: it passes the
      whole sequence for each token, which any net can do.
    optimizer: of the net.
    ema: decay of the averaged variables that the views use; 0: none.
    accumulate: parts of a batch that are worked on one after the other.
    remat: whether a step computes again what lies between its convolutions and products, to hold less.

  Raises:
    ValueError: a setting that is out of range.
  """
  check_counts({"vocabulary": vocabulary, "length": length})
  if temperature <= 0:
    raise ValueError(f"temperature {temperature}; use a number above 0, a small one for the likeliest tokens")

  def init(key: Array, batch: Batch) -> Variables:
    tokens = batch["tokens"]
    if tokens.shape[1] != length:
      raise ValueError(f"sequences of {tokens.shape[1]} tokens; the system was built for {length}")
    return net.init(key, tokens[:1])

  def loss(key: Array, variables: Variables, batch: Batch) -> tuple[Array, tuple[Any, Metrics]]:
    logits, collections = net.apply(
      variables,
      shifted(batch["tokens"], vocabulary),
      **mode(net, True),
      rngs={"dropout": key},
      mutable=list(collections_of(variables)),
    )
    return -log_probs(logits, batch["tokens"]).mean(), (collections, {})

  def log_prob(variables: Variables, x: Array) -> Array:
    return log_probs(net.apply(variables, shifted(x, vocabulary)), x).sum(1)

  def sample(key: Array, variables: Variables, n: int) -> Array:
    """n sequences [n, L] int32, one token after the other."""
    start, logits_at = by_cache(variables, n) if cache else by_passes(variables, n)

    def draw(carry: tuple[Array, Any], each: tuple[Array, Array]) -> tuple[tuple[Array, Any], Array]:
      key, at = each
      logits, memory = logits_at(*carry, at)
      token = jax.random.categorical(key, logits / temperature).astype(jnp.int32)
      return (token, memory), token

    first = jnp.full((n,), vocabulary, jnp.int32)
    return lax.scan(draw, (first, start), (jax.random.split(key, length), jnp.arange(length)))[1].T

  def by_cache(variables: Variables, n: int) -> tuple[Any, Callable]:
    """An empty memory, and (token [n], memory, place) -> logits [n, V] of the next token, memory."""
    one = jnp.zeros((n, 1), jnp.int32)
    empty = jax.eval_shape(lambda: net.apply(variables, one, at=jnp.int32(0), mutable=["cache"])[1]["cache"])

    def logits_at(token: Array, memory: Any, at: Array) -> tuple[Array, Any]:
      logits, after = net.apply({**variables, "cache": memory}, token[:, None], at=at, mutable=["cache"])
      return logits[:, 0].astype(jnp.float32), after["cache"]

    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), empty), logits_at

  def by_passes(variables: Variables, n: int) -> tuple[Array, Callable]:
    """As `by_cache`; the memory is all tokens so far, [n, L]."""

    def logits_at(token: Array, memory: Array, at: Array) -> tuple[Array, Array]:
      memory = lax.dynamic_update_slice_in_dim(memory, token[:, None], at, 1)
      return jnp.take(net.apply(variables, memory), at, axis=1).astype(jnp.float32), memory

    return jnp.full((n, length), vocabulary, jnp.int32), logits_at

  def kernels(key: Array, batch: Batch) -> dict[str, Kernel]:
    variables, n = init(key, batch), batch["tokens"].shape[0]
    return {"sampler": Kernel(lambda key, variables: sample(key, variables, n), (key, variables), n * length, "tokens")}

  views = {"sample": sample, "log_prob": log_prob, "likelihood": lambda variables: Likelihood("exact")}
  return fit(init, loss, optimizer, ema=ema, accumulate=accumulate, remat=remat, views=views, kernels=kernels)


def shifted(tokens: Array, begin: int) -> Array:
  """What a net sees at every place of tokens [B, L]: the token before, at first `begin`."""
  return jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=begin)


def log_probs(logits: Array, tokens: Array) -> Array:
  """log p of every token [B, L] by logits [B, L, V], in nats, float32."""
  logits = jax.nn.log_softmax(logits.astype(jnp.float32))
  return jnp.take_along_axis(logits, tokens[..., None], -1)[..., 0]
