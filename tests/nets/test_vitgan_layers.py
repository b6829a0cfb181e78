"""The layers of ViTGAN: modulated norms and blocks, tokens of images, pixels of tokens."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from unoptimised import KEY, jit, shapes_of, start

from genjax.nets.fourier import FourierCode
from genjax.nets.implicit import ImplicitPatches
from genjax.nets.tokens import Tokens
from genjax.nets.transformer import Block, SelfModulatedNorm

# Blocks ---------------------------------------------------------------------------------------------------------------


def _normal(x):
  return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


def test_a_modulated_norm_is_that_of_numpy_and_without_modulation_it_is_layer_norm():
  net, x = SelfModulatedNorm(), 3 * jax.random.normal(KEY, (2, 5, 6)) + 1
  w = jax.random.normal(jax.random.key(1), (2, 4))
  variables = start(net, x, w)
  kernel = np.asarray(variables["params"]["modulation"]["kernel"]) / 2
  gamma, beta = np.split((np.asarray(w) @ kernel)[:, None], 2, -1)
  normal = _normal(np.asarray(x, np.float64))
  np.testing.assert_allclose(net.apply(variables, x, w), (1 + gamma) * normal + beta, rtol=1e-4, atol=1e-5)
  zero = jax.tree.map(jnp.zeros_like, variables)
  plain = nn.LayerNorm(1e-6, use_bias=False, use_scale=False).apply({}, x)
  np.testing.assert_allclose(net.apply(zero, x, w), plain, rtol=1e-6, atol=1e-6)
  np.testing.assert_allclose(net.apply(variables, x, 0 * w), plain, rtol=1e-6, atol=1e-6)
  np.testing.assert_allclose(net.apply(start(net, x), x), plain, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mixing", ["global", "local", "mlp"])
def test_a_block_without_weights_is_its_residual(mixing):
  x, w = jax.random.normal(KEY, (2, 6, 4)), jax.random.normal(KEY, (2, 3))
  net = Block((2, 3), 2, mixing=mixing)
  zero = jax.tree.map(jnp.zeros_like, start(net, x, w))
  np.testing.assert_array_equal(net.apply(zero, x, w), x)
  twice = _normal(_normal(np.asarray(x)))
  released = net.clone(residual="normalised")
  np.testing.assert_allclose(released.apply(zero, x, w), twice, rtol=1e-4, atol=1e-5)


def test_an_mlp_across_tokens_is_the_mixers():
  net, x = Block((2, 3), mixing="mlp", equalised=False), jax.random.normal(KEY, (2, 6, 4))
  variables = start(net, x)
  params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
  assert params["mix"]["up"]["kernel"].shape == (6, 2)  # across 6 tokens, half as wide as a token

  def mlp(name, x):
    up, down = params[name]["up"], params[name]["down"]
    return np.asarray(nn.gelu(x @ up["kernel"] + up["bias"])) @ down["kernel"] + down["bias"]

  h = np.asarray(x, np.float64)
  h = h + mlp("mix", _normal(h).swapaxes(1, 2)).swapaxes(1, 2)
  np.testing.assert_allclose(jit(net.apply)(variables, x), h + mlp("mlp", _normal(h)), rtol=1e-3, atol=1e-4)
  with pytest.raises(ValueError, match="mixing 'sum'; use 'global', 'local' or 'mlp'"):
    shapes_of(net.clone(mixing="sum"), x)
  with pytest.raises(ValueError, match="residual 'none'; use 'plain' or 'normalised'"):
    shapes_of(net.clone(residual="none"), x)


# From images to tokens, and back --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("embedding", "edge"), [("patches", 0), ("overlapping", 2)])
def test_a_token_sees_its_patch_and_half_a_patch_more_where_they_overlap(embedding, edge):
  net, images = Tokens(6, 4, embedding), jax.random.normal(KEY, (1, 12, 8, 2))
  variables = start(net, images)
  reach = np.abs(jit(jax.jacobian(lambda x: net.apply(variables, x)[0].sum(-1)))(images)[:, 0]).sum(-1) > 0
  for place, seen in enumerate(reach):
    top, left = place // 2 * 4, place % 2 * 4
    expected = np.zeros((12, 8), bool)
    expected[max(0, top - edge) : top + 4 + edge, max(0, left - edge) : left + 4 + edge] = True
    np.testing.assert_array_equal(seen, expected)


def test_the_stem_halves_until_the_tokens_are_left():
  net = Tokens(16, 8, "stem")
  shapes = shapes_of(net, jnp.zeros((1, 24, 16, 3)))
  widths = [shapes[f"stem_{number}"]["kernel"] for number in range(3)]
  assert widths == [(3, 3, 3, 4), (3, 3, 4, 8), (3, 3, 8, 16)]
  images = jax.random.normal(KEY, (2, 24, 16, 3))
  assert jit(net.apply)(start(net, images), images).shape == (2, 6, 16)
  with pytest.raises(ValueError, match="patch 6 is no number of halvings; with a stem use a power of 2"):
    shapes_of(net.clone(patch=6), jnp.zeros((1, 12, 12, 1)))
  with pytest.raises(ValueError, match="embedding 'conv'; use 'patches', 'overlapping' or 'stem'"):
    shapes_of(net.clone(embedding="conv"), images)


def test_a_code_is_the_sine_of_a_linear_layer_of_the_place():
  net = FourierCode(512)
  variables = jit(net.init, static_argnums=(1, 2))(KEY, 2, 3)
  kernel, phase = variables["params"]["kernel"], variables["params"]["bias"]
  np.testing.assert_allclose(net.apply(variables, 2, 3)[5], jnp.sin(kernel.sum(0) + phase), atol=1e-5)
  np.testing.assert_allclose((net.apply(variables, 2, 3) ** 2).mean(), 0.5, atol=0.05)


@pytest.mark.parametrize("equalised", [True, False])
def test_a_pixel_is_that_of_weights_modulated_for_its_token(equalised):
  net, y = ImplicitPatches(2, 3, hidden=5, equalised=equalised), jax.random.normal(KEY, (2, 3, 4))
  variables = start(net, y)
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
  pixels = jit(net.apply)({"params": jax.tree.map(jnp.float32, params)}, y)
  np.testing.assert_allclose(pixels.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)
