"""A generator like TransGAN's: size by hand, the shuffle by a loop, a block by numpy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from genjax.nets.transgan import Block, TransGANGenerator, shuffled

KEY = jax.random.key(0)


def _start(net, *args):
  return jax.jit(net.init)(KEY, *args)


def _run(net, variables, *args):
  return jax.jit(net.apply)(variables, *args)


def _normal(seed, *shape):
  return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def _block(width, ratio=4):
  attention = width * 3 * width + width * width + width
  mlp = width * ratio * width + ratio * width + ratio * width * width + width
  return attention + mlp + 2 * 2 * width


def test_the_largest_32x32_generator_has_as_many_parameters_as_by_hand():
  grid = (128 + 1) * 64 * 1024
  places = 64 * 1024 + 256 * 256 + 1024 * 64
  blocks = 5 * _block(1024) + 4 * _block(256) + 2 * _block(64)
  variables = jax.eval_shape(TransGANGenerator((32, 32, 3)).init, KEY, jnp.zeros((1, 128)))
  count = sum(leaf.size for leaf in jax.tree.leaves(variables))
  assert count == grid + places + blocks + 64 * 3 + 3 == 74_872_259


def test_the_shuffle_makes_four_pixels_of_one():
  x = np.arange(2 * 2 * 3 * 8).reshape(2, 2, 3, 8)
  expected = np.zeros((2, 4, 6, 2), int)
  for row in range(4):
    for column in range(6):
      for channel in range(2):
        expected[:, row, column, channel] = x[:, row // 2, column // 2, 4 * channel + 2 * (row % 2) + column % 2]
  np.testing.assert_array_equal(shuffled(jnp.asarray(x)), expected)


def test_a_block_is_attention_and_an_mlp_on_normed_tokens_by_numpy():
  net, x = Block(heads=2, ratio=3, dtype=jnp.float32), _normal(1, 2, 5, 8)
  start = _start(net, x)["params"]
  leaves, form = jax.tree.flatten(start)
  params = jax.tree.unflatten(form, [leaf + 0.3 * _normal(i, *leaf.shape) for i, leaf in enumerate(leaves)])
  of = lambda name, what: np.asarray(params[name][what], np.float64)

  def norm(x, name):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * of(name, "scale") + of(name, "bias")

  expected = []
  for tokens in np.asarray(x, np.float64):
    queries, keys, values = np.split(norm(tokens, "norm_0") @ of("query_key_value", "kernel"), 3, axis=1)
    heads = []
    for one in (slice(0, 4), slice(4, 8)):
      weights = np.exp(queries[:, one] @ keys[:, one].T / 2)
      heads.append(weights / weights.sum(1, keepdims=True) @ values[:, one])
    y = tokens + np.concatenate(heads, 1) @ of("output", "kernel") + of("output", "bias")
    hidden = norm(y, "norm_1") @ of("hidden", "kernel") + of("hidden", "bias")
    hidden = hidden * (1 + erf(hidden / 2**0.5)) / 2
    expected.append(y + hidden @ of("shrink", "kernel") + of("shrink", "bias"))
  np.testing.assert_allclose(_run(net, {"params": params}, x), expected, rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def generator():
  net, latent, labels = TransGANGenerator((8, 8, 1), 16, (1, 1), 2, 2, classes=3), _normal(1, 3, 6), jnp.arange(3)
  return net, _start(net, latent, labels), latent, labels


def test_labels_and_latents_change_their_own_image(generator):
  net, variables, latent, labels = generator
  generate = jax.jit(partial(net.apply, variables))
  images = generate(latent, labels)
  assert images.shape == (3, 8, 8, 1)
  changed = lambda other: (jnp.abs(other - images).max((1, 2, 3)) > 1e-4).tolist()
  assert changed(generate(latent, labels.at[1].set(2))) == [False, True, False]
  assert changed(generate(latent.at[2].add(1.0), labels)) == [False, False, True]


@pytest.mark.slow
def test_gradients_reach_every_parameter_and_are_the_same_where_blocks_are_computed_again(generator):
  net, variables, latent, labels = generator
  slope = lambda net: jax.jit(jax.grad(lambda v: (net.apply(v, latent, labels) ** 2).sum()))(variables)
  gradients = slope(net)
  for path, leaf in jax.tree.leaves_with_path(gradients):
    assert jnp.isfinite(leaf).all(), path
    assert jnp.abs(leaf).max() > 0, path
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), gradients, slope(net.clone(remat=True))
  )


def test_bfloat16_images_are_near_float32_ones(generator):
  net, variables, latent, labels = generator
  exact, half = (_run(one, variables, latent, labels) for one in (net, net.clone(dtype=jnp.bfloat16)))
  assert half.dtype == jnp.float32
  assert jnp.abs(half - exact).max() < 0.05 * jnp.abs(exact).max()


def test_sizes_that_fit_nothing_are_refused():
  with pytest.raises(ValueError, match="width 24 quartered 1 times has no 4 equal heads; use a multiple of 16"):
    TransGANGenerator((8, 8, 1), 24, (1, 1)).init(KEY, jnp.zeros((1, 4)))
  with pytest.raises(ValueError, match="not 2 times a grid"):
    TransGANGenerator((7, 8, 1), 16, (1, 1)).init(KEY, jnp.zeros((1, 4)))
