"""The layers of ViTGAN: kept singular values, tied and convolved attention, modulated norms, tokens, patches."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from genjax.nets.fourier import FourierCode
from genjax.nets.implicit import ImplicitPatches
from genjax.nets.improved_spectral import Kernel, NormedConv, NormedDense
from genjax.nets.self_attention import SelfAttention
from genjax.nets.tokens import Tokens
from genjax.nets.transformer import Block, SelfModulatedNorm
from genjax.ops.patches import neighbours

KEY = jax.random.key(0)


_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # half the time to compile


def _start(net, *args):
  """jitted: one compilation, where flax would make one for each operation."""
  return _jit(net.init)(KEY, *args)


def _sigma(kernel):
  return np.linalg.svd(np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


def _trees(net, *args):
  return jax.tree_util.tree_map(lambda leaf: leaf.shape, jax.eval_shape(net.init, KEY, *args)["params"])


# Norms of weights -----------------------------------------------------------------------------------------------------

SHAPES = [(6, 9), (3, 3, 4, 5), (7, 1)]


@pytest.mark.parametrize("equalised", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_sigma_init_is_the_first_singular_value_of_the_first_weights(shape, equalised):
  free = Kernel(shape, "none", equalised)
  kept = Kernel(shape, "isn", equalised)
  variables = _start(kept)
  first = free.apply({"params": variables["params"]})
  np.testing.assert_allclose(variables["spectral"]["sigma_init"], _sigma(first), rtol=1e-5)
  np.testing.assert_allclose(kept.apply(variables), first, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(first.std(), np.prod(shape[:-1]) ** -0.5, rtol=0.5)


@pytest.mark.parametrize("norm", ["isn", "sn"])
@pytest.mark.parametrize("shape", SHAPES)
def test_sigma_stays_what_it_was_after_any_number_of_updates(shape, norm):
  net, train = Kernel(shape, norm), Kernel(shape, norm, train=True)
  variables = _start(net)
  wanted = float(variables["spectral"]["sigma_init"]) if norm == "isn" else 1.0

  def step(variables, key):
    change = jax.random.normal(key, shape) * 0.02  # ten times as far as Adam's steps at the paper's learning rate
    variables = variables | {"params": {"kernel": variables["params"]["kernel"] + change}}
    kernel, after = train.apply(variables, mutable=["spectral"])
    return variables | after, kernel

  still = lambda variables, _: (variables | train.apply(variables, mutable=["spectral"])[1], None)
  keys = jax.random.split(jax.random.key(1), 100)
  variables, kernels = _jit(lambda variables: lax.scan(step, variables, keys))(variables)
  for kernel in np.asarray(kernels):
    assert abs(_sigma(kernel) / wanted - 1) < 0.03
  variables, _ = _jit(lambda variables: lax.scan(still, variables, length=300))(variables)
  np.testing.assert_allclose(_sigma(net.apply(variables)), wanted, rtol=1e-4)


def test_power_iteration_finds_the_singular_vector_of_quite_other_weights():
  net = Kernel((8, 6), "isn", train=True)
  variables = _start(net)
  other = jax.random.normal(jax.random.key(5), (8, 6))
  variables = variables | {"params": {"kernel": other}}
  step = lambda variables, _: (variables | net.apply(variables, mutable=["spectral"])[1], None)
  variables, _ = _jit(lambda variables: lax.scan(step, variables, length=300))(variables)
  right = np.linalg.svd(np.asarray(other, np.float64))[2][0]
  np.testing.assert_allclose(abs(np.asarray(variables["spectral"]["u"]) @ right), 1, rtol=1e-5)


def test_the_vector_is_updated_in_training_and_sigma_init_never():
  net, x = NormedDense(5, "isn"), jax.random.normal(KEY, (3, 4))
  variables = _start(net, x)
  variables = variables | {"params": jax.tree.map(lambda leaf: leaf + 1, variables["params"])}
  y, after = net.clone(train=True).apply(variables, x, mutable=["spectral"])
  assert not np.array_equal(after["spectral"]["u"], variables["spectral"]["u"])
  np.testing.assert_array_equal(after["spectral"]["sigma_init"], variables["spectral"]["sigma_init"])
  still, unchanged = net.apply(variables, x, mutable=["spectral"])
  jax.tree.map(np.testing.assert_array_equal, unchanged["spectral"], variables["spectral"])
  assert not np.array_equal(still, y)


@pytest.mark.parametrize("norm", ["isn", "sn"])
def test_the_gradient_sees_sigma(norm):
  """Longer weights are the same weights, so the gradient is at right angles to them; and finite differences agree."""
  net, weight = Kernel((6, 4), norm, equalised=False), np.asarray(jax.random.normal(jax.random.key(2), (6, 4)))
  variables = _start(net)
  kernel = np.asarray(variables["params"]["kernel"], np.float64)
  loss = lambda kernel: (net.apply(variables | {"params": {"kernel": kernel}}) * weight).sum()
  gradient = np.asarray(jax.grad(loss)(jnp.asarray(kernel, jnp.float32)))
  np.testing.assert_allclose((gradient * kernel).sum(), 0, atol=1e-5)
  wanted = float(variables["spectral"]["sigma_init"]) if norm == "isn" else 1.0
  for seed in range(3):
    way = np.random.default_rng(seed).normal(size=kernel.shape)
    up, down = ((wanted * k / _sigma(k) * weight).sum() for k in (kernel + 1e-5 * way, kernel - 1e-5 * way))
    np.testing.assert_allclose((gradient * way).sum(), (up - down) / 2e-5, rtol=1e-3, atol=1e-4)


def test_a_convolution_is_that_of_lax_with_the_normed_kernel():
  net, x = NormedConv(5, 2, "sn"), jax.random.normal(KEY, (2, 7, 4, 3))
  variables = _start(net, x)
  kernel = np.asarray(variables["params"]["kernel"])
  expected = lax.conv_general_dilated(
    x, kernel / np.float32(_sigma(kernel)), (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
  )
  np.testing.assert_allclose(net.apply(variables, x), expected, rtol=1e-4, atol=1e-5)
  with pytest.raises(ValueError, match="norm 'spectral'; use 'isn', 'sn' or 'none'"):
    _trees(net.clone(norm="spectral"), x)


# Attention ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("convolution", [False, True])
@pytest.mark.parametrize("attention", ["l2", "euclidean"])
def test_query_and_key_share_one_array(attention, convolution):
  x, sides = jnp.zeros((1, 7, 8)), (3, 3) if convolution else ()
  tied = _trees(SelfAttention((2, 3), 2, attention, convolution=convolution), x)
  assert tied == {
    "query_key": {"kernel": (*sides, 8, 8)},
    "value": {"kernel": (*sides, 8, 8)},
    "out": {"kernel": (8, 8), "bias": (8,)},
  }
  assert set(_trees(SelfAttention((2, 3), 2, "dot"), x)) == {"query", "key", "value", "out"}


@pytest.mark.parametrize("attention", ["dot", "l2", "euclidean"])
def test_the_layer_is_the_thesis_equation_head_by_head(attention):
  net, x = SelfAttention((2, 2), 2, attention), jax.random.normal(KEY, (3, 5, 6))
  variables = _start(net, x)
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
  np.testing.assert_allclose(_jit(net.apply)(variables, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ["dot", "l2"])
def test_a_convolved_projection_with_an_identity_kernel_is_the_plain_one_class_token_and_all(attention):
  """Identity: zero but in the middle, where the plain matrix stands."""
  x = jax.random.normal(KEY, (2, 7, 8))
  plain = SelfAttention((2, 3), 2, attention, equalised=False)
  variables = _start(plain, x)

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
  reach = np.abs(_jit(jax.jacobian(project))(x)[:, 0]).sum(-1) > 0
  np.testing.assert_array_equal(reach[1:, 1:], neighbours(3, 4))
  assert reach[0].tolist() == [True] + 12 * [False]
  assert not reach[1:, 0].any()


def test_local_attention_sees_three_by_three_and_the_class_token():
  net, x = SelfAttention((3, 4), 1, "dot", local=True), jax.random.normal(KEY, (1, 13, 4))
  variables = _start(net, x)
  reach = np.abs(_jit(jax.jacobian(lambda x: net.apply(variables, x)[0].sum(-1)))(x)[:, 0]).sum(-1) > 0
  np.testing.assert_array_equal(reach[1:, 1:], neighbours(3, 4))
  assert reach[0].all()
  assert reach[:, 0].all()


def _slopes(attention, points, change=None):
  """Largest singular value of the layer's Jacobian at each of points [L, D]; and its weights as they multiply."""
  net = SelfAttention((1, points[0].shape[0]), 2, attention)
  params = _start(net, points[0][None])["params"]
  if change is not None:
    params = params | {"query_key": {"kernel": change @ params["query_key"]["kernel"]}}
  jacobian = _jit(jax.jacobian(lambda x: net.apply({"params": params}, x[None])[0]))
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
  params = _start(net, x)["params"]
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
    _trees(SelfAttention((2, 2), 2, "cosine"), x)
  with pytest.raises(ValueError, match="width 6 does not divide over 4 heads; use a multiple of 4"):
    _trees(SelfAttention((2, 2), 4), x)
  with pytest.raises(ValueError, match="set conv_projection to False"):
    _trees(SelfAttention((2, 2), 2, "lipschitz", convolution=True), x)


# Blocks ---------------------------------------------------------------------------------------------------------------


def _normal(x):
  return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


def test_a_modulated_norm_is_that_of_numpy_and_without_modulation_it_is_layer_norm():
  net, x = SelfModulatedNorm(), 3 * jax.random.normal(KEY, (2, 5, 6)) + 1
  w = jax.random.normal(jax.random.key(1), (2, 4))
  variables = _start(net, x, w)
  kernel = np.asarray(variables["params"]["modulation"]["kernel"]) / 2
  gamma, beta = np.split((np.asarray(w) @ kernel)[:, None], 2, -1)
  normal = _normal(np.asarray(x, np.float64))
  np.testing.assert_allclose(net.apply(variables, x, w), (1 + gamma) * normal + beta, rtol=1e-4, atol=1e-5)
  zero = jax.tree.map(jnp.zeros_like, variables)
  plain = nn.LayerNorm(1e-6, use_bias=False, use_scale=False).apply({}, x)
  np.testing.assert_allclose(net.apply(zero, x, w), plain, rtol=1e-6, atol=1e-6)
  np.testing.assert_allclose(net.apply(variables, x, 0 * w), plain, rtol=1e-6, atol=1e-6)
  np.testing.assert_allclose(net.apply(_start(net, x), x), plain, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mixing", ["global", "local", "mlp"])
def test_a_block_without_weights_is_its_residual(mixing):
  x, w = jax.random.normal(KEY, (2, 6, 4)), jax.random.normal(KEY, (2, 3))
  net = Block((2, 3), 2, mixing=mixing)
  zero = jax.tree.map(jnp.zeros_like, _start(net, x, w))
  np.testing.assert_array_equal(net.apply(zero, x, w), x)
  twice = _normal(_normal(np.asarray(x)))
  released = net.clone(residual="normalised")
  np.testing.assert_allclose(released.apply(zero, x, w), twice, rtol=1e-4, atol=1e-5)


def test_an_mlp_across_tokens_is_the_mixers():
  net, x = Block((2, 3), mixing="mlp", equalised=False), jax.random.normal(KEY, (2, 6, 4))
  variables = _start(net, x)
  params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
  assert params["mix"]["up"]["kernel"].shape == (6, 2)  # across 6 tokens, half as wide as a token

  def mlp(name, x):
    up, down = params[name]["up"], params[name]["down"]
    return np.asarray(nn.gelu(x @ up["kernel"] + up["bias"])) @ down["kernel"] + down["bias"]

  h = np.asarray(x, np.float64)
  h = h + mlp("mix", _normal(h).swapaxes(1, 2)).swapaxes(1, 2)
  np.testing.assert_allclose(_jit(net.apply)(variables, x), h + mlp("mlp", _normal(h)), rtol=1e-3, atol=1e-4)
  with pytest.raises(ValueError, match="mixing 'sum'; use 'global', 'local' or 'mlp'"):
    _trees(net.clone(mixing="sum"), x)
  with pytest.raises(ValueError, match="residual 'none'; use 'plain' or 'normalised'"):
    _trees(net.clone(residual="none"), x)


# From images to tokens, and back --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("embedding", "edge"), [("patches", 0), ("overlapping", 2)])
def test_a_token_sees_its_patch_and_half_a_patch_more_where_they_overlap(embedding, edge):
  net, images = Tokens(6, 4, embedding), jax.random.normal(KEY, (1, 12, 8, 2))
  variables = _start(net, images)
  reach = np.abs(_jit(jax.jacobian(lambda x: net.apply(variables, x)[0].sum(-1)))(images)[:, 0]).sum(-1) > 0
  for place, seen in enumerate(reach):
    top, left = place // 2 * 4, place % 2 * 4
    expected = np.zeros((12, 8), bool)
    expected[max(0, top - edge) : top + 4 + edge, max(0, left - edge) : left + 4 + edge] = True
    np.testing.assert_array_equal(seen, expected)


def test_the_stem_halves_until_the_tokens_are_left():
  net = Tokens(16, 8, "stem")
  shapes = _trees(net, jnp.zeros((1, 24, 16, 3)))
  widths = [shapes[f"stem_{number}"]["kernel"] for number in range(3)]
  assert widths == [(3, 3, 3, 4), (3, 3, 4, 8), (3, 3, 8, 16)]
  images = jax.random.normal(KEY, (2, 24, 16, 3))
  assert _jit(net.apply)(_start(net, images), images).shape == (2, 6, 16)
  with pytest.raises(ValueError, match="patch 6 is no number of halvings; with a stem use a power of 2"):
    _trees(net.clone(patch=6), jnp.zeros((1, 12, 12, 1)))
  with pytest.raises(ValueError, match="embedding 'conv'; use 'patches', 'overlapping' or 'stem'"):
    _trees(net.clone(embedding="conv"), images)


def test_a_code_is_the_sine_of_a_linear_layer_of_the_place():
  net = FourierCode(512)
  variables = _jit(net.init, static_argnums=(1, 2))(KEY, 2, 3)
  kernel, phase = variables["params"]["kernel"], variables["params"]["bias"]
  np.testing.assert_allclose(net.apply(variables, 2, 3)[5], jnp.sin(kernel.sum(0) + phase), atol=1e-5)
  np.testing.assert_allclose((net.apply(variables, 2, 3) ** 2).mean(), 0.5, atol=0.05)


@pytest.mark.parametrize("equalised", [True, False])
def test_a_pixel_is_that_of_weights_modulated_for_its_token(equalised):
  net, y = ImplicitPatches(2, 3, hidden=5, equalised=equalised), jax.random.normal(KEY, (2, 3, 4))
  variables = _start(net, y)
  params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) + 0.1, variables["params"])
  scale = lambda kernel: kernel / np.sqrt(kernel.shape[0]) if equalised else kernel
  corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
  codes = np.sin(corners @ params["place"]["kernel"] + params["place"]["bias"])
  expected = np.zeros((2, 3, 4, 3))
  for b in range(2):
    for n in range(3):
      token = np.asarray(y[b, n], np.float64)
      style, style_out = (
        1 + token @ scale(params[name]["kernel"]) + params[name]["bias"] for name in ("style", "style_out")
      )
      kernel = style[:, None] * scale(params["hidden_layer"]["kernel"])
      kernel /= np.sqrt((kernel**2).sum(0) + 1e-8)
      h = codes @ kernel + params["bias"]
      h = np.where(h > 0, h, 0.2 * h) * np.sqrt(2)
      expected[b, n] = h @ (style_out[:, None] * scale(params["out"]["kernel"])) + params["out"]["bias"]
  pixels = _jit(net.apply)({"params": jax.tree.map(jnp.float32, params)}, y)
  np.testing.assert_allclose(pixels.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)
