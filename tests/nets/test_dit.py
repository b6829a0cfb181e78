"""DiT: its size, that a fresh one says nothing, and a block in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from genjax.nets.dit import Block, DiT, places


def test_the_published_small_net_has_as_many_parameters():
  """DiT-S/2 on 32x32x4 latents with 1,000 labels and a learned variance: 33 million, without the fixed positions."""
  net, shape = DiT(classes=1000, outputs=8), (1, 32, 32, 4)
  params = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros(shape), jnp.zeros(1), jnp.zeros(1, jnp.int32))
  total = sum(leaf.size for leaf in jax.tree.leaves(params))
  patches, out = 16 * 384 + 384, 384 * 32 + 32
  time, labels = 256 * 384 + 384 + 384 * 384 + 384, 1001 * 384
  block = (384 * 6 * 384 + 6 * 384) + (384 * 3 * 384 + 3 * 384) + (384 * 384 + 384) + 2 * 4 * 384 * 384 + 5 * 384
  assert total == patches + out + time + labels + 12 * block + (384 * 768 + 768)


def test_a_fresh_net_says_zero_and_blocks_change_nothing():
  net = DiT(patch=2, width=8, depth=1, heads=2, classes=3)
  images, time, labels = jax.random.normal(jax.random.key(0), (2, 4, 6, 1)), jnp.array([3, 7]), jnp.array([0, 3])
  said, params = jax.jit(net.init_with_output)(jax.random.key(1), images, time, labels)
  np.testing.assert_array_equal(said, np.zeros((2, 4, 6, 1)))
  x = jax.random.normal(jax.random.key(2), (2, 6, 8))
  block = {"params": params["params"]["block0"]}
  np.testing.assert_array_equal(Block(2, 4, jnp.float32).apply(block, x, jnp.ones((2, 8))), x)


def test_a_block_is_what_the_paper_draws():
  key, block = jax.random.key(0), Block(2, 4, jnp.float32)
  x, c = jax.random.normal(key, (1, 3, 4)), jax.random.normal(jax.random.key(1), (1, 4))
  params = jax.tree.map(lambda leaf: 0.5 * jax.random.normal(key, leaf.shape), block.init(key, x, c)["params"])
  ours = block.apply({"params": params}, x, c)[0]
  linear = lambda name, y: np.float64(y) @ np.float64(params[name]["kernel"]) + np.float64(params[name]["bias"])
  normal = lambda y: (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6)
  shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = np.split(linear("Dense_0", c[0]), 6)
  y, x = np.float64(x[0]), np.float64(x[0])
  q, k, v = np.split(linear("qkv", normal(y) * (1 + scale) + shift), 3, -1)
  heads = [softmax(q[:, i] @ k[:, i].T / 2**0.5, -1) @ v[:, i] for i in (slice(0, 2), slice(2, 4))]
  x = x + gate * linear("out", np.concatenate(heads, -1))
  hidden = linear("up", normal(x) * (1 + scale_mlp) + shift_mlp)
  gelu = 0.5 * hidden * (1 + np.tanh((2 / np.pi) ** 0.5 * (hidden + 0.044715 * hidden**3)))
  np.testing.assert_allclose(ours, x + gate_mlp * linear("down", gelu), rtol=1e-4, atol=1e-4)


def test_pixels_go_to_tokens_and_back_to_their_places():
  """With the last layer the identity on what came in, the net gives back normalised patches where they were."""
  net = DiT(patch=2, width=8, depth=0, heads=2)
  images = jax.random.normal(jax.random.key(0), (1, 4, 4, 1))
  params = net.init(jax.random.key(1), images, jnp.zeros(1))["params"]
  params["patches"] = {"kernel": jnp.eye(4, 8), "bias": -places(2, 2, 8).mean(0) * 0}
  last = max(name for name in params if name.startswith("Dense"))
  params[last] = {"kernel": jnp.eye(8, 4), "bias": jnp.zeros(4)}
  said = net.apply({"params": params}, images, jnp.zeros(1))
  for row in (0, 2):
    for column in (0, 2):
      patch = np.float64(images[0, row : row + 2, column : column + 2, 0].reshape(-1))
      token = np.concatenate([patch, np.zeros(4)]) + places(2, 2, 8)[row + column // 2]
      token = (token - token.mean()) / np.sqrt(token.var() + 1e-6)
      np.testing.assert_allclose(said[0, row : row + 2, column : column + 2, 0].reshape(-1), token[:4], atol=1e-4)


def test_places_are_known_and_wrong_sizes_are_refused():
  table = places(2, 3, 8)
  assert table.shape == (6, 8)
  np.testing.assert_array_equal(table[:3, :4], np.repeat(table[:1, :4], 3, 0))
  np.testing.assert_array_equal(table[0, 4:], table[3, 4:])
  assert len(np.unique(np.round(table, 6), axis=0)) == 6
  with pytest.raises(ValueError, match="5x4 in patches of 2"):
    DiT().init(jax.random.key(0), jnp.zeros((1, 5, 4, 1)), jnp.zeros(1))
  with pytest.raises(ValueError, match="width 6"):
    DiT(width=6, heads=2).init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)), jnp.zeros(1))
