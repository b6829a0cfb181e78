"""Self-attention: the thesis' equations head by head, what a token sees, and how steep each kind is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from unoptimised import KEY, jit, shapes_of, start

from genjax.nets.self_attention import SelfAttention
from genjax.ops.patches import neighbours


@pytest.mark.parametrize("convolution", [False, True])
@pytest.mark.parametrize("attention", ["l2", "euclidean"])
def test_query_and_key_share_one_array(attention, convolution):
  x, sides = jnp.zeros((1, 7, 8)), (3, 3) if convolution else ()
  tied = shapes_of(SelfAttention((2, 3), 2, attention, convolution=convolution), x)
  assert tied == {
    "query_key": {"kernel": (*sides, 8, 8)},
    "value": {"kernel": (*sides, 8, 8)},
    "out": {"kernel": (8, 8), "bias": (8,)},
  }
  assert set(shapes_of(SelfAttention((2, 3), 2, "dot"), x)) == {"query", "key", "value", "out"}


@pytest.mark.parametrize("attention", ["dot", "l2", "euclidean"])
def test_the_layer_is_the_thesis_equation_head_by_head(attention):
  net, x = SelfAttention((2, 2), 2, attention), jax.random.normal(KEY, (3, 5, 6))
  variables = start(net, x)
  params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
  weights = lambda name: params[name]["kernel"] / np.sqrt(6)  # equalised
  tokens, heads = np.asarray(x, np.float64), []
  for head in (slice(0, 3), slice(3, 6)):
    names = ("query", "key") if attention == "dot" else ("query_key", "query_key")
    q, k, v = (tokens @ weights(name)[:, head] for name in (*names, "value"))
    apart = np.linalg.norm(q[:, :, None] - k[:, None], axis=-1)
    logits = {"dot": q @ k.swapaxes(1, 2), "l2": -(apart**2), "euclidean": -apart}[attention] / np.sqrt(3)
    chances = np.exp(logits)
    heads.append(chances / chances.sum(-1, keepdims=True) @ v)
  expected = np.concatenate(heads, -1) @ weights("out") + params["out"]["bias"]
  np.testing.assert_allclose(jit(net.apply)(variables, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ["dot", "l2"])
def test_a_convolved_projection_with_an_identity_kernel_is_the_plain_one_class_token_and_all(attention):
  """Identity: zero but in the middle, where the plain matrix stands."""
  x = jax.random.normal(KEY, (2, 7, 8))
  plain = SelfAttention((2, 3), 2, attention, equalised=False)
  variables = start(plain, x)

  def spread(path, leaf):
    inner = path[0].key in ("query", "key", "query_key", "value")
    return jnp.zeros((3, 3, *leaf.shape)).at[1, 1].set(leaf) if inner else leaf

  large = {"params": jax.tree_util.tree_map_with_path(spread, variables["params"])}
  convolved = plain.clone(convolution=True)
  np.testing.assert_allclose(convolved.apply(large, x), plain.apply(variables, x), rtol=1e-5, atol=1e-6)


def test_a_convolved_projection_reads_neighbours_and_leaves_the_class_token_alone():
  net = SelfAttention((3, 4), 1, "dot", convolution=True)
  x = jax.random.normal(KEY, (1, 13, 4))
  kernel = jax.random.normal(jax.random.key(1), (3, 3, 4, 5))
  project = lambda x: net._project(x, kernel)[0].sum(-1)
  reach = np.abs(jit(jax.jacobian(project))(x)[:, 0]).sum(-1) > 0
  np.testing.assert_array_equal(reach[1:, 1:], neighbours(3, 4))
  assert reach[0].tolist() == [True] + 12 * [False]
  assert not reach[1:, 0].any()


def test_local_attention_sees_three_by_three_and_the_class_token():
  net, x = SelfAttention((3, 4), 1, "dot", local=True), jax.random.normal(KEY, (1, 13, 4))
  variables = start(net, x)
  reach = np.abs(jit(jax.jacobian(lambda x: net.apply(variables, x)[0].sum(-1)))(x)[:, 0]).sum(-1) > 0
  np.testing.assert_array_equal(reach[1:, 1:], neighbours(3, 4))
  assert reach[0].all()
  assert reach[:, 0].all()


def _slopes(attention, points, change=None):
  """Largest singular value of the layer's Jacobian at each of points [L, D]; and its weights as they multiply."""
  net = SelfAttention((1, points[0].shape[0]), 2, attention)
  params = start(net, points[0][None])["params"]
  if change is not None:
    params = params | {"query_key": {"kernel": change @ params["query_key"]["kernel"]}}
  jacobian = jit(jax.jacobian(lambda x: net.apply({"params": params}, x[None])[0]))
  size = points[0].size
  slopes = [_norm(np.asarray(jacobian(jnp.asarray(x, jnp.float32))).reshape(size, size)) for x in points]
  return slopes, {name: np.asarray(part["kernel"], np.float64) * 8**-0.5 for name, part in params.items()}


def _norm(matrix):
  return np.linalg.norm(matrix, 2)


TOKENS = np.random.default_rng(0).normal(size=(6, 8))


def test_distances_bound_the_slope_where_products_let_it_grow():
  """Kim et al., theorem 3.1: at a token of zero all keys weigh alike, so its slope is the spread of the others."""
  tokens = TOKENS.copy()
  tokens[0] = 0
  slopes = {name: _slopes(name, [scale * tokens for scale in (1, 10, 100)])[0] for name in ("dot", "l2")}
  assert slopes["dot"][1] > 20 * slopes["dot"][0]
  assert slopes["dot"][2] > 20 * slopes["dot"][1]
  assert max(slopes["l2"]) < 2 * slopes["l2"][0]


def test_only_the_whole_layer_of_kim_is_lipschitz_for_all_tokens():
  """Tokens far apart where the query's matrix is blind: eq 3.6 hands their distance on, times the slope of the weights.
  The layer of Kim et al. stays below the bound of their theorem 3.2 there and everywhere."""
  blind = np.eye(8)[0]
  apart = np.outer([1.0, -1, 1, -1, 1, -1], blind)
  change = np.float32(np.eye(8) - np.outer(blind, blind))
  slopes, _ = _slopes("l2", [TOKENS + scale * apart for scale in (1, 100)], change)
  assert slopes[1] > 20 * slopes[0]
  points = [a * TOKENS + b * apart for a in (0, 0.1, 0.3, 1, 3, 10) for b in (0, 1, 100)]
  slopes, kernels = _slopes("lipschitz", points, change)
  low, high = 0.0, 5.0
  for _ in range(60):  # phi(x) = x exp(x + 1) = L - 1
    middle = (low + high) / 2
    low, high = (middle, high) if middle * np.exp(middle + 1) < 5 else (low, middle)
  heads = [np.s_[:, :4], np.s_[:, 4:]]
  products = sum((_norm(kernels["query_key"][head]) * _norm(kernels["value"][head])) ** 2 for head in heads)
  bound = (6 / 4) ** 0.5 * (4 * low + 1) * products**0.5 * _norm(kernels["out"])
  assert 0.05 * bound < max(slopes) < bound


def test_the_layer_of_kim_is_that_of_numpy():
  net, x = SelfAttention((1, 6), 2, "lipschitz"), np.float32(TOKENS)[None]
  params = start(net, x)["params"]
  kernels = {name: np.asarray(part["kernel"], np.float64) * 8**-0.5 for name, part in params.items()}
  heads = []
  for head in (slice(0, 4), slice(4, 8)):
    key = kernels["query_key"][:, head]
    q = TOKENS @ key
    chances = np.exp(-np.square(q[:, None] - q[None]).sum(-1) / 2)  # the root of 4
    chances /= chances.sum(1, keepdims=True)
    heads.append(chances @ TOKENS @ (key @ key.T / 2) @ kernels["value"][:, head])
  expected = np.concatenate(heads, -1) @ kernels["out"]
  np.testing.assert_allclose(net.apply({"params": params}, x)[0], expected, rtol=1e-4, atol=1e-5)


def test_what_attention_cannot_do_is_refused():
  x = jnp.zeros((1, 4, 6))
  with pytest.raises(ValueError, match="attention 'cosine'; use one of dot, l2, euclidean, lipschitz"):
    shapes_of(SelfAttention((2, 2), 2, "cosine"), x)
  with pytest.raises(ValueError, match="width 6 does not divide over 4 heads; use a multiple of 4"):
    shapes_of(SelfAttention((2, 2), 4), x)
  with pytest.raises(ValueError, match="set conv_projection to False"):
    shapes_of(SelfAttention((2, 2), 2, "lipschitz", convolution=True), x)
