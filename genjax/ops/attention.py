"""Attention weights by a product or by a distance, in the form that fused kernels take.

A softmax over keys does not see what all keys share. So minus the squared distance, -|q|^2 + 2 q k - |k|^2, weighs keys
as 2 q k - |k|^2 does: a product and a bias of the key, no table of distances. And as a distance does not change when
all points move, keys and queries are taken from their mean first: then no large numbers cancel.

Papers   dot        Vaswani et al. 2017, arXiv:1706.03762, eq 1
         l2         Kim et al. 2021, arXiv:2006.04710, section 3.2: minus the squared distance over the root of D / H;
                    queries are keys
         euclidean  the thesis' eq 3.6 word for word, d the distance itself
Departs  The thesis' eq 3.6 takes values X W_v, where Kim et al. take X A_h W_v, A_h = W_q W_q' / sqrt(d_h). Only the
         latter is Lipschitz for all X: what W_q does not see, eq 3.6 hands on with weights that it may change at will.
Shapes   q, k, v [B, L, N, d], N heads of d -> [B, L, N, d] of v's dtype; mask [L, L] bool or None: who sees whom.
         Distances, softmax in float32.
Checked  tests/ops/test_attention.py: against numpy, distances one by one.
"""

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array


def by_product(q: Array, k: Array, v: Array, mask: Array | None = None) -> Array:
  """softmax(q k / sqrt(d)) v."""
  return jax.nn.dot_product_attention(q, k, v, mask=_four(mask))


def by_squared_distance(q: Array, k: Array, v: Array, mask: Array | None = None) -> Array:
  """softmax(-|q - k|^2 / sqrt(d)) v."""
  q, k = _centred(q, k)
  scale = q.shape[-1] ** -0.5
  bias = -scale * _squares(k).swapaxes(1, 2)[:, :, None]  # [B, N, 1, L], float32
  with jax.default_matmul_precision("highest"):  # else a TPU rounds float32 in the product, and not in the bias
    return jax.nn.dot_product_attention(q, k, v, bias=bias, mask=_four(mask), scale=2 * scale)


def by_distance(q: Array, k: Array, v: Array, mask: Array | None = None) -> Array:
  """softmax(-|q - k| / sqrt(d)) v. The slope of a distance of 0 is taken as 0."""
  q, k = _centred(q, k)
  products = jnp.einsum("blnd,bmnd->bnlm", q, k, precision="highest", preferred_element_type=jnp.float32)
  of_q, of_k = (_squares(x).swapaxes(1, 2) for x in (q, k))
  squared = of_q[..., None] + of_k[:, :, None] - 2 * products
  apart = squared > 1e-6 * (of_q[..., None] + of_k[:, :, None])  # below it is rounding of what cancelled
  distance = jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1.0)), 0.0)
  logits = -distance * q.shape[-1] ** -0.5
  if mask is not None:
    logits = jnp.where(_four(mask), logits, -jnp.inf)
  return jnp.einsum("bnlm,bmnd->blnd", jax.nn.softmax(logits, axis=-1).astype(v.dtype), v)


ATTENTIONS = {"dot": by_product, "l2": by_squared_distance, "euclidean": by_distance}


def _centred(q: Array, k: Array) -> tuple[Array, Array]:
  """Both less the mean key of their head; one array twice stays one."""
  middle = lax.stop_gradient(k.astype(jnp.float32).mean(1, keepdims=True))
  move = lambda x: (x.astype(jnp.float32) - middle).astype(x.dtype)
  return (move(q), move(q)) if q is k else (move(q), move(k))


def _squares(x: Array) -> Array:
  return (x.astype(jnp.float32) ** 2).sum(-1)


def _four(mask: Array | None) -> Array | None:
  return None if mask is None else mask[None, None]
