"""Parts of a batch by numpy; what is computed again changes no number, and products and convolutions are kept."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ops.conv import conv
from genjax.registry import SYSTEMS, load
from genjax.systems.parts import check_parts, cut, in_parts, rematerialised

X = np.arange(12, dtype=np.float32).reshape(6, 2)


def test_values_are_means_over_the_parts_and_the_carry_goes_through_them_in_turn():
  def gradient(carry, key, batch):
    values = {"sum": batch["x"].sum(0), "draw": jax.random.uniform(key), "own": jax.random.uniform(batch["key"])}
    return values, 10 * carry + batch["x"][0, 0]

  key, own = jax.random.key(0), jax.random.key(1)
  values, carry = jax.jit(lambda: in_parts(3, gradient, jnp.float32(0), key, {"x": X, "key": own}))()
  np.testing.assert_allclose(values["sum"], X.sum(0) / 3)
  assert carry == 100 * X[0, 0] + 10 * X[1, 0] + X[2, 0]
  for name, root in (("draw", key), ("own", own)):
    draws = jax.vmap(jax.random.uniform)(jax.random.split(root, 3))
    np.testing.assert_allclose(values[name], draws.mean(), rtol=1e-6)


def test_a_part_takes_every_third_row_so_that_devices_keep_theirs():
  parts = cut({"x": X}, 3)["x"]
  np.testing.assert_array_equal(parts, [X[[0, 3]], X[[1, 4]], X[[2, 5]]])


def test_a_size_that_does_not_divide_is_refused():
  with pytest.raises(ValueError, match="minibatch 8 is not a multiple of accumulate 3"):
    check_parts(3, {"minibatch": 8})
  with pytest.raises(ValueError, match="accumulate 0; use at least 1"):
    check_parts(0, {})


def _loss(weights, x):
  """A convolution, a norm of sorts, attention of sorts, a product."""
  y = jnp.tanh(conv(x, weights["kernel"], ((1, 1), (1, 1)), (1, 1)))
  tokens = y.reshape(len(y), -1, y.shape[-1])
  mixed = jax.nn.softmax(tokens @ tokens.swapaxes(1, 2)) @ tokens
  return jnp.tanh(mixed.reshape(len(y), -1) @ weights["out"]).sum()


def test_what_is_computed_again_changes_no_number_and_is_neither_a_convolution_nor_a_product_with_weights():
  draw = lambda seed, *shape: jax.random.normal(jax.random.key(seed), shape) / 4
  draw = lambda *shape: np.random.default_rng(0).normal(size=shape).astype(np.float32) / 4
  weights, x = {"kernel": draw(3, 3, 2, 3), "out": draw(48, 5)}, draw(2, 4, 4, 2)
  kept, again = (jax.jit(jax.grad(rematerialised(_loss, remat))) for remat in (False, True))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), kept(weights, x), again(weights, x))
  texts = [str(jax.make_jaxpr(gradient)(weights, x)) for gradient in (kept, again)]
  count = lambda word: [text.count(word) for text in texts]
  assert count("name=_conv")[0] == count("name=_conv")[1] == 1
  products = count("dot_general[")
  assert products[1] == products[0] + 2  # those of attention
  assert count("= tanh ") == [2, 4]


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_takes_parts_and_remat(name):
  known = inspect.signature(load(SYSTEMS[name])).parameters
  assert (known["accumulate"].default, known["remat"].default) == (1, False)
