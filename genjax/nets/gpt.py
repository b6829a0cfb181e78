"""A decoder-only transformer: at every place of a sequence, logits of the next token from the tokens before it.

Papers   GPT    Radford et al. 2018, "Improving language understanding by generative pre-training": learned positions,
                GELU, dropout 0.1, weights N(0, 0.02^2); the defaults are its sizes (12 blocks of width 768, 12 heads)
         GPT-2  Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.3: the norm comes
                first in each block and once more at the end; weights into the residual stream start smaller by the
                root of the number of residual layers
Departs  No dropout of attention weights, which fused kernels do not have.
         The vocabulary has one row more, the token that begins a sequence; it is read, and never predicted.
Shapes   tokens [B, L] int32 in 0 ... V, V begins a sequence -> logits [B, L, V] float32; L is at most `length`.
         One token a pass: tokens [B, 1] and `at` [] int32, their place, 0 first -> logits [B, 1, V]. Keys and values of
         earlier places are kept in the collection "cache", which must be mutable: [B, length, heads, width / heads].
Checked  tests/nets/test_gpt_net.py: causality, the cache against the whole pass, the number of parameters
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
STD = 0.02  # of the initial weights


class GPT(nn.Module):
  """Token and position embeddings, blocks, a norm, and the token embedding's transpose.

  Attributes:
    vocabulary: V.
    length: the longest sequence.
    width: of the residual stream.
    depth: number of blocks.
    heads: of each attention; they share the width evenly.
    dropout: share of dropped activations, after the embedding and after each residual layer.
    dtype: of the matrix products; norms, softmax and logits are float32.
  """

  vocabulary: int
  length: int
  width: int = 768
  depth: int = 12
  heads: int = 12
  dropout: float = 0.1
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, tokens: Array, *, at: Array | None = None, train: bool = False) -> Array:
    if self.width % self.heads:
      raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}; use a multiple of it")
    if tokens.shape[1] > self.length:
      raise ValueError(f"{tokens.shape[1]} tokens; the net has positions for {self.length}")
    normal = nn.initializers.normal(STD)
    embedding = nn.Embed(self.vocabulary + 1, self.width, embedding_init=normal, name="tokens")
    positions = self.param("positions", normal, (self.length, self.width))
    places = positions[: tokens.shape[1]] if at is None else lax.dynamic_slice_in_dim(positions, at, 1)
    drop = nn.Dropout(self.dropout, deterministic=not train)
    x = drop(embedding(tokens) + places[None]).astype(self.dtype)
    small = nn.initializers.normal(STD * (2 * self.depth) ** -0.5)
    for number in range(self.depth):
      normed = _norm(f"attention_norm_{number}")(x).astype(self.dtype)
      x = x + drop(CausalAttention(self.length, self.heads, small, self.dtype, name=f"attention_{number}")(normed, at))
      normed = _norm(f"mlp_norm_{number}")(x).astype(self.dtype)
      up = nn.gelu(nn.Dense(4 * self.width, kernel_init=normal, dtype=self.dtype, name=f"up_{number}")(normed))
      x = x + drop(nn.Dense(self.width, kernel_init=small, dtype=self.dtype, name=f"down_{number}")(up))
    logits = _norm("norm")(x).astype(self.dtype) @ embedding.embedding.T.astype(self.dtype)
    return logits[..., : self.vocabulary].astype(jnp.float32)


class CausalAttention(nn.Module):
  """Self-attention in which no token sees a later one.

  Attributes:
    length, heads, dtype: see GPT.
    out_init: initial weights of the last layer.
  """

  length: int
  heads: int
  out_init: jax.nn.initializers.Initializer
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, at: Array | None = None) -> Array:
    batch, places, width = x.shape
    project = nn.Dense(3 * width, kernel_init=nn.initializers.normal(STD), dtype=self.dtype, name="qkv")
    q, k, v = (part.reshape(batch, places, self.heads, -1) for part in jnp.split(project(x), 3, -1))
    if at is None:
      mask = jnp.tril(jnp.ones((places, places), bool))
    else:
      k, v = (self._kept(name, new, at) for name, new in (("key", k), ("value", v)))
      mask = (jnp.arange(self.length) <= at)[None]  # [1, length]
    mixed = jax.nn.dot_product_attention(q, k, v, mask=mask[None, None]).reshape(x.shape)
    return nn.Dense(width, kernel_init=self.out_init, dtype=self.dtype, name="out")(mixed)

  def _kept(self, name: str, new: Array, at: Array) -> Array:
    """All places' keys or values so far, the new one at its place: [B, length, heads, d]."""
    shape = (new.shape[0], self.length, *new.shape[2:])
    cache = self.variable("cache", name, jnp.zeros, shape, new.dtype)
    cache.value = lax.dynamic_update_slice_in_dim(cache.value, new, at, 1)
    return cache.value


def _norm(name: str) -> nn.LayerNorm:
  return nn.LayerNorm(1e-5, dtype=jnp.float32, name=name)
