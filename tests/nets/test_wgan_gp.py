import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from genjax.nets.wgan_gp import Unit, WganGp32, WganGp64, pooled
from genjax.ops.conv import LAYOUT


def _shapes(net, side):
  shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))
  return {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)}


def _count(net, side):
  return sum(int(np.prod(shape)) for shape in _shapes(net, side).values())


def test_the_32x32_critic_has_the_parameters_worked_out_by_hand_at_any_size():
  large = 9 * 128 * 128 + 128
  opening = (9 * 3 * 128 + 128) + large + (3 * 128 + 128)
  down = large + large + (128 * 128 + 128)
  assert opening + down + 2 * (large + large) + 129 == 1_053_825
  assert _count(WganGp32(), 32) == _count(WganGp32(), 45) == 1_053_825


def test_the_32x32_critic_has_no_norm():
  assert not [path for path in _shapes(WganGp32(), 32) if "Norm" in path]


def test_the_64x64_critic_has_the_parameters_worked_out_by_hand():
  def unit(width, out):  # norm, conv without bias, norm, conv, shortcut
    return 2 * width + 9 * width * width + 2 * width + (9 * width * out + out) + (width * out + out)

  stem, head = 9 * 3 * 64 + 64, 4 * 4 * 512 + 1
  units = unit(64, 128) + unit(128, 256) + unit(256, 512) + unit(512, 512)
  assert stem + units + head == 7_491_841
  assert _count(WganGp64(), 64) == 7_491_841


# The source's steps, one after the other, in jax's own convolutions


def _conv(x, layer):
  y = lax.conv_general_dilated(x, layer["kernel"], (1, 1), "SAME", dimension_numbers=LAYOUT)
  return y + layer["bias"] if "bias" in layer else y


def _pool(x):
  height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
  x = x[:, :height, :width]
  return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def _norm(x, layer):
  mean, var = x.mean((1, 2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True)
  return (x - mean) / np.sqrt(var + 1e-5) * layer["scale"] + layer["bias"]


def _unit(params, x, norm, opening):
  first, second = (lambda y, i=i: _norm(y, params[f"LayerNorm_{i}"]) if norm else y for i in (0, 1))
  y = x if opening else jnp.maximum(first(x), 0)
  y = jnp.maximum(second(_conv(y, params["Conv_0"])), 0)
  return _pool(_conv(y, params["Conv_1"])) + _pool(_conv(x, params["shortcut"]))


@pytest.mark.parametrize(("norm", "opening"), [(False, True), (True, False), (False, False)])
def test_a_pooled_unit_is_the_sources_steps(norm, opening):
  x = jax.random.normal(jax.random.key(0), (2, 6, 7, 3))
  unit = Unit(4, norm=norm, opening=opening)
  params = unit.init(jax.random.key(1), x)
  shift = lambda leaf: leaf + 0.1 * jnp.cos(jnp.arange(leaf.size, dtype=jnp.float32)).reshape(leaf.shape)
  params = jax.tree.map(shift, params)
  assert ("bias" in params["params"]["Conv_0"]) != norm
  with jax.numpy_rank_promotion("allow"):
    expected = _unit(params["params"], x, norm, opening)
  np.testing.assert_allclose(unit.apply(params, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(4, 6), (5, 3)])
def test_a_convolution_and_its_means_in_one_have_the_values_and_second_derivatives_of_two(size):
  key_x, key_w = jax.random.split(jax.random.key(0))
  x, w = jax.random.normal(key_x, (2, *size, 2)), jax.random.normal(key_w, (3, 3, 2, 3))
  one = lambda x, w: pooled(x, w, (1, 1), "SAME", dimension_numbers=LAYOUT)
  two = lambda x, w: _pool(_conv(x, {"kernel": w}))

  def everything(f):
    slope = lambda x, w: jax.grad(lambda x: jnp.tanh(f(x, w)).sum())(x)
    return jax.jit(lambda x, w: (f(x, w), slope(x, w), jax.grad(lambda w: (slope(x, w) ** 2).sum())(w)))

  ours = everything(one)(x, w)
  large = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
  with large(True):
    theirs = everything(two)(np.asarray(x, np.float64), np.asarray(w, np.float64))
  for a, b in zip(ours, theirs, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_another_convolution_is_not_pooled_unseen():
  with pytest.raises(ValueError, match="3x3 weights, stride 1 and SAME"):
    pooled(jnp.zeros((1, 4, 4, 1)), jnp.zeros((5, 5, 1, 1)), (1, 1), "SAME")
