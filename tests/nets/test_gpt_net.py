from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.gpt import GPT

V, L = 5, 6
NET = GPT(V, L, width=8, depth=2, heads=2, dropout=0.5)
TOKENS = np.random.default_rng(0).integers(0, V + 1, (3, L)).astype(np.int32)


@cache
def wild():
  """Variables so large that every token matters."""
  rng, shapes = np.random.default_rng(0), jax.eval_shape(NET.init, jax.random.key(0), TOKENS)
  return jax.tree.map(lambda leaf: 0.7 * rng.normal(size=leaf.shape).astype(np.float32), shapes)


APPLY = jax.jit(NET.apply)


def test_the_published_net_has_the_published_number_of_parameters_and_a_row_for_the_first_token():
  shapes = jax.eval_shape(GPT(50_257, 1024).init, jax.random.key(0), jnp.zeros((1, 1024), jnp.int32))
  assert set(shapes) == {"params"}
  assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 124_439_808 + 768  # GPT-2, the smallest


def test_a_place_sees_all_tokens_up_to_its_own_and_none_after_it():
  variables = wild()
  out = APPLY(variables, TOKENS)
  for place in range(L):
    changed = TOKENS.copy()
    changed[:, place] = (changed[:, place] + 1) % V
    differs = np.abs(APPLY(variables, changed) - out).max((0, 2)) > 1e-4
    np.testing.assert_array_equal(differs, np.arange(L) >= place)


def test_one_token_a_pass_gives_the_logits_of_the_whole_pass():
  variables = wild()
  step = jax.jit(lambda state, token, at: NET.apply({**variables, **state}, token, at=at, mutable=["cache"]))
  whole, state = APPLY(variables, TOKENS), {}
  for place in range(L):
    one, state = step(state, TOKENS[:, place : place + 1], place)
    np.testing.assert_allclose(one[:, 0], whole[:, place], rtol=1e-4, atol=1e-4)


def test_it_drops_in_training_alone():
  variables = wild()
  drop = jax.jit(lambda key: NET.apply(variables, TOKENS, train=True, rngs={"dropout": key}))
  assert not np.allclose(drop(jax.random.key(0)), drop(jax.random.key(1)))


def test_bfloat16_is_of_the_products_alone():
  logits = jax.jit(NET.clone(dtype=jnp.bfloat16).apply)(wild(), TOKENS)
  assert logits.dtype == jnp.float32
  np.testing.assert_allclose(logits, APPLY(wild(), TOKENS), atol=0.5)


def test_heads_that_do_not_divide_and_sequences_that_are_too_long_are_refused():
  with pytest.raises(ValueError, match="width 8 is not a multiple of heads 3"):
    NET.clone(heads=3).init(jax.random.key(0), TOKENS)
  with pytest.raises(ValueError, match="7 tokens; the net has positions for 6"):
    NET.init(jax.random.key(0), jnp.zeros((1, 7), jnp.int32))
