"""Attention by product and by distance: every weight against numpy, one distance after the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ops.attention import ATTENTIONS

KEYS = jax.random.split(jax.random.key(0), 3)
Q, K, V = (np.asarray(jax.random.normal(key, (2, 5, 3, 4))) for key in KEYS)
MASK = np.array([[abs(i - j) <= 1 for j in range(5)] for i in range(5)])


def _by_numpy(name, q, k, v, mask=None):
  q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
  out = np.zeros(v.shape)
  for b in range(q.shape[0]):
    for n in range(q.shape[2]):
      for i in range(q.shape[1]):
        apart = np.linalg.norm(q[b, i, n] - k[b, :, n], axis=1)
        logits = {"dot": k[b, :, n] @ q[b, i, n], "l2": -(apart**2), "euclidean": -apart}[name]
        weights = np.exp((logits - logits.max()) / np.sqrt(q.shape[3]))
        weights = weights if mask is None else weights * mask[i]
        out[b, i, n] = weights / weights.sum() @ v[b, :, n]
  return out


@pytest.mark.parametrize("name", ATTENTIONS)
def test_values_are_weighed_as_by_numpy(name):
  attend = jax.jit(ATTENTIONS[name])
  np.testing.assert_allclose(attend(Q, K, V), _by_numpy(name, Q, K, V), rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(attend(Q, K, V, MASK), _by_numpy(name, Q, K, V, MASK), rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(attend(Q, Q, V), _by_numpy(name, Q, Q, V), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_the_gradient_is_that_of_finite_differences_also_where_queries_are_keys(name):
  attend, weight = ATTENTIONS[name], np.asarray(jax.random.normal(jax.random.key(9), V.shape))
  loss = lambda q, v: (attend(q, q, v) * weight).sum()
  ours = jax.jit(jax.grad(loss, (0, 1)))(Q, V)
  generator = np.random.default_rng(0)
  for place, gradient in enumerate(ours):
    for _ in range(4):
      way = generator.normal(size=Q.shape)
      moved = [[x + sign * 1e-5 * way * (i == place) for i, x in enumerate((Q, V))] for sign in (1, -1)]
      up, down = ((_by_numpy(name, q, q, v) * weight).sum() for q, v in moved)
      np.testing.assert_allclose((gradient * way).sum(), (up - down) / 2e-5, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["l2", "euclidean"])
def test_nearer_tokens_get_more_weight(name):
  tokens = jax.random.normal(KEYS[0], (1, 8, 1, 8))
  weights = ATTENTIONS[name](tokens, tokens, jnp.eye(8)[None, :, None])[0, :, 0]
  apart = np.linalg.norm(np.asarray(tokens)[0, :, 0][:, None] - np.asarray(tokens)[0, :, 0][None], axis=-1)
  for i in range(8):
    np.testing.assert_array_equal(np.argsort(-weights[i]), np.argsort(apart[i]))
    assert weights[i].argmax() == i


@pytest.mark.parametrize("name", ["l2", "euclidean"])
def test_a_distance_does_not_change_where_all_tokens_move_far_away(name):
  moved = np.float32(Q + 300)
  np.testing.assert_allclose(ATTENTIONS[name](moved, moved, V), _by_numpy(name, moved, moved, V), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_bfloat16_is_the_same_within_its_rounding_and_huge_tokens_stay_finite(name):
  q, k, v = (jnp.asarray(x, jnp.bfloat16) for x in (Q, K, V))
  out = ATTENTIONS[name](q, k, v)
  assert out.dtype == jnp.bfloat16
  np.testing.assert_allclose(out.astype(jnp.float32), _by_numpy(name, *(np.asarray(x) for x in (q, k, v))), atol=0.05)
  for huge in (Q * 1e6, q * 1e6):
    assert jnp.isfinite(ATTENTIONS[name](huge, huge, huge).astype(jnp.float32)).all()


@pytest.mark.parametrize("name", ATTENTIONS)
def test_first_and_second_derivatives_are_finite_where_tokens_coincide(name):
  same = jnp.broadcast_to(Q[:, :1], Q.shape)
  slope = lambda q: jax.grad(lambda q: (ATTENTIONS[name](q, q, V) ** 2).sum())(q)
  assert jnp.isfinite(slope(same)).all()
  for tokens in (same, jnp.asarray(Q)):
    assert jnp.isfinite(jax.jit(jax.grad(lambda q: (slope(q) ** 2).sum()))(tokens)).all()


@pytest.mark.parametrize("name", ATTENTIONS)
def test_one_token_attends_to_itself(name):
  np.testing.assert_allclose(ATTENTIONS[name](Q[:, :1], K[:, :1], V[:, :1]), V[:, :1], rtol=1e-6)
