import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from genjax.ops.conv import LAYOUT, by_input, by_weights, conv, exact, general

SAME3 = ((1, 1), (1, 1))
UNIT = (1, 1)
CASES = {  # images, weights, padding, strides
  "3x3 same": ((2, 5, 7, 3), (3, 3, 3, 4), SAME3),
  "5x5 same": ((2, 6, 5, 2), (5, 5, 2, 3), ((2, 2), (2, 2))),
  "1x1": ((3, 4, 3, 2), (1, 1, 2, 5), ((0, 0), (0, 0))),
  "3x3 valid": ((2, 6, 5, 2), (3, 3, 2, 3), ((0, 0), (0, 0))),
  "2x4, asymmetric": ((2, 5, 6, 2), (2, 4, 2, 3), ((0, 1), (2, 1))),
  "more padding than weight": ((1, 3, 3, 2), (2, 1, 2, 2), ((3, 0), (2, 4))),
  "all of size one": ((1, 1, 1, 1), (1, 1, 1, 1), ((0, 0), (0, 0))),
  "one pixel, 3x3 same": ((1, 1, 1, 2), (3, 3, 2, 1), SAME3),
  "weight as large as the image": ((2, 4, 3, 1), (4, 3, 1, 2), ((0, 0), (0, 0))),
  "3x3 same, stride 2": ((2, 6, 5, 2), (3, 3, 2, 3), ((0, 1), (1, 1)), (2, 2)),
  "2x3, strides 3 and 2 that leave pixels over": ((2, 7, 6, 2), (2, 3, 2, 2), ((0, 0), (1, 0)), (3, 2)),
  "1x1, stride 2": ((1, 4, 4, 2), (1, 1, 2, 2), ((0, 0), (0, 0)), (2, 2)),
  "smaller than the weight, stride 2": ((2, 3, 4, 2), (5, 4, 2, 3), ((1, 2), (2, 1)), (2, 2)),
  "smaller, strides 2 and 3, padding below 0": ((2, 2, 7, 2), (3, 4, 2, 1), ((2, 1), (-1, 0)), (2, 3)),
  "products, two parts": ((4, 32, 16, 2), (3, 3, 2, 32), SAME3),
  "products, stride 2, padding below 0": ((1, 37, 33, 1), (2, 3, 1, 32), ((1, -2), (0, 2)), (2, 2)),
}


def _native(x, w, padding, strides=UNIT):
  return lax.conv_general_dilated(x, w, strides, padding, dimension_numbers=LAYOUT)


def _arrays(case, dtype=jnp.float32):
  x_shape, w_shape, padding, strides = (*CASES[case], UNIT)[:4]
  key_x, key_w, key_g = jax.random.split(jax.random.key(3), 3)
  x, w = jax.random.normal(key_x, x_shape, dtype), jax.random.normal(key_w, w_shape, dtype)
  g = jax.random.normal(key_g, jax.eval_shape(lambda: _native(x, w, padding, strides)).shape, dtype)
  return x, w, g, (padding, strides)


def _exactly(fn, *arrays):
  """fn in float64. XLA's float32 kernel on a CPU is wrong for some of the derivatives that jax writes."""
  broad = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
  with broad(True):
    return jax.tree.map(np.asarray, jax.jit(fn)(*(np.asarray(a, np.float64) for a in arrays)))


def _close(ours, theirs, tolerance=2e-5):
  for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
    assert a.shape == b.shape
    scale = max(np.abs(np.asarray(b)).max(), 1.0)
    np.testing.assert_allclose(np.asarray(a, np.float64), np.asarray(b), rtol=0, atol=tolerance * scale)


def test_a_value_worked_out_by_hand():
  x = jnp.arange(1.0, 10).reshape(1, 3, 3, 1)
  w = jnp.array([[1.0, 0, 0], [0, 2, 0], [0, 0, -1]]).reshape(3, 3, 1, 1)
  expected = [[2 * 1 - 5, 2 * 2 - 6, 2 * 3], [2 * 4 - 8, 1 + 2 * 5 - 9, 2 + 2 * 6], [2 * 7, 4 + 2 * 8, 5 + 2 * 9]]
  np.testing.assert_allclose(conv(x, w, SAME3)[0, ..., 0], expected)


@pytest.mark.parametrize("case", CASES)
def test_values_and_first_derivatives_are_those_of_lax(case):
  x, w, g, how = _arrays(case)

  def first(f):
    def value(x, w, g):
      y, back = jax.vjp(lambda x, w: f(x, w, *how), x, w)
      return y, back(g)

    return value

  _close(jax.jit(first(conv))(x, w, g), _exactly(first(_native), x, w, g))


@pytest.mark.parametrize("case", CASES)
def test_the_three_operations_are_derivatives_of_one_trilinear_form(case):
  x, w, g, how = _arrays(case)
  form = (conv(x, w, *how) * g).sum()
  how = exact(x.shape[1:3], w.shape[:2], *how), how[1]
  np.testing.assert_allclose((by_input(w, g, *how) * x).sum(), form, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose((by_weights(x, g, *how) * w).sum(), form, rtol=1e-4, atol=1e-4)


def _slope(f, how):
  """A gradient penalty: what a second derivative is taken of."""
  score = lambda x, w: jnp.tanh(f(x, w, *how)).sum()

  def penalty(x, w):
    by_x, by_w = jax.grad(score, (0, 1))(x, w)
    return (by_x**2).sum() + (by_w**3).sum()

  return penalty


@pytest.mark.parametrize("case", CASES)
def test_second_derivatives_are_those_of_lax(case):
  x, w, _, how = _arrays(case)
  second = lambda f: jax.grad(_slope(f, how), (0, 1))
  _close(jax.jit(second(conv))(x, w), _exactly(second(_native), x, w), 1e-4)


@pytest.mark.parametrize("case", ["3x3 same", "3x3 same, stride 2"])
def test_third_derivatives_are_those_of_lax(case):
  x, w, _, how = _arrays(case)

  def third(f):
    again = jax.grad(_slope(f, how), (0, 1))
    return jax.grad(lambda x, w: sum((part**2).sum() for part in again(x, w)), (0, 1))

  _close(jax.jit(third(conv))(x, w), _exactly(third(_native), x, w), 1e-4)


@pytest.mark.parametrize("case", ["3x3 same", "5x5 same", "1x1", "products, two parts"])
def test_bfloat16_stays_bfloat16_and_near_the_float32_values(case):
  x, w, g, how = _arrays(case, jnp.bfloat16)
  broad = [a.astype(jnp.float32) for a in (x, w, g)]
  for ours, theirs in (
    (conv(x, w, *how), conv(broad[0], broad[1], *how)),
    (by_input(w, g, *how), by_input(broad[1], broad[2], *how)),
    (by_weights(x, g, *how), by_weights(broad[0], broad[2], *how)),
  ):
    assert ours.dtype == jnp.bfloat16
    _close(ours.astype(jnp.float32), theirs, 2**-8)
  gradients = jax.grad(_slope(conv, how), (0, 1))(x, w)
  assert {part.dtype for part in gradients} == {jnp.dtype(jnp.bfloat16)}


def test_vmap_is_a_loop():
  x, w, g, how = _arrays("3x3 same")
  many = jnp.stack([w, 2 * w, w - 1])
  gradient = jax.grad(lambda w, x: (conv(x, w, *how) ** 2).sum())
  _close(jax.vmap(gradient, (0, None))(many, x), jnp.stack([gradient(one, x) for one in many]))
  images = jnp.stack([x, x + 1])
  _close(jax.vmap(gradient, (None, 0))(w, images), jnp.stack([gradient(w, one) for one in images]))
  _close(jax.vmap(lambda x: conv(x[None], w, *how)[0])(x), conv(x, w, *how))


def test_jvp_says_that_it_is_not_there():
  x, w, _, how = _arrays("1x1")
  with pytest.raises(TypeError, match="forward-mode"):
    jax.jvp(lambda x: conv(x, w, *how), (x,), (x,))


# Inside flax


@pytest.mark.parametrize(
  "more",
  [
    {},
    {"padding": "VALID"},
    {"padding": ((0, 1), (2, 0))},
    {"padding": "CIRCULAR"},
    {"strides": (2, 2)},
    {"strides": (3, 2), "padding": "VALID"},
    {"kernel_dilation": (2, 2)},
    {"input_dilation": (2, 2), "padding": 1},
    {"feature_group_count": 2},
    {"precision": "highest"},
    {"use_bias": False},
  ],
  ids=str,
)
def test_in_flax_it_gives_the_same_parameters_outputs_and_gradients(more):
  images = jax.random.normal(jax.random.key(0), (2, 6, 5, 2))
  ours, theirs = nn.Conv(4, (3, 3), conv_general_dilated=general, **more), nn.Conv(4, (3, 3), **more)
  params = ours.init(jax.random.key(1), images)
  jax.tree.map(np.testing.assert_array_equal, params, theirs.init(jax.random.key(1), images))
  _close(ours.apply(params, images), theirs.apply(params, images))
  loss = lambda net: jax.grad(lambda params, images: (net.apply(params, images) ** 2).sum(), (0, 1))(params, images)
  _close(loss(ours), loss(theirs), 1e-4)


def _is_ours(*operands, **more):
  return "custom_vjp" in str(jax.make_jaxpr(lambda x, w: general(x, w, **more))(*operands))


def test_only_a_plain_convolution_is_ours():
  x, w = jnp.zeros((2, 6, 6, 4)), jnp.zeros((3, 3, 4, 8))
  plain = {"strides": (1, 1), "padding": "SAME", "dimension_numbers": LAYOUT}
  assert _is_ours(x, w, **plain)
  assert _is_ours(x, w, **(plain | {"strides": (2, 1)}))
  assert _is_ours(x, w, **plain, lhs_dilation=(1, 1), rhs_dilation=None, feature_group_count=1, precision=None)
  for other in (
    {"lhs_dilation": (1, 2), "padding": SAME3},
    {"rhs_dilation": (2, 1)},
    {"precision": "highest"},
    {"batch_group_count": 2},
    {"preferred_element_type": jnp.float32},
  ):
    assert not _is_ours(x, w, **(plain | other))
  assert not _is_ours(x, w[:, :, :2], **plain, feature_group_count=2)
  assert not _is_ours(x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1), strides=(1, 1), padding="SAME")
  line = {"strides": (1,), "padding": "SAME", "dimension_numbers": ("NWC", "WIO", "NWC")}
  assert not _is_ours(x[0], w[0], **line)


@pytest.mark.parametrize(
  ("images", "weights", "products"),
  [
    ((50, 32, 32, 64), (3, 3, 64, 64), True),
    ((50, 4, 4, 640), (3, 3, 640, 640), True),
    ((64, 8, 8, 16), (1, 1, 16, 16), True),
    ((64, 8, 8, 32), (3, 3, 32, 32), False),
    ((64, 32, 32, 64), (3, 3, 64, 3), False),
  ],
)
def test_a_weights_gradient_is_a_sum_of_products_where_they_are_quicker(images, weights, products):
  g = jax.ShapeDtypeStruct((*images[:3], weights[3]), jnp.float32)
  pad = ((weights[0] // 2,) * 2,) * 2
  text = jax.jit(lambda x, g: by_weights(x, g, pad)).lower(jax.ShapeDtypeStruct(images, jnp.float32), g).as_text()
  assert ("dot_general" in text, "convolution" in text) == (products, not products)


# What it is for


def _trained(w, x):
  """Three steps of a gradient penalty in a scan, on two layers, the second of stride 2."""

  def score(w, x):
    return conv(jnp.tanh(conv(x, w[0], SAME3)), w[1], SAME3, (2, 2)).sum()

  def loss(w):
    return (jax.grad(score, 1)(w, x) ** 2).sum() + score(w, x)

  def body(w, _):
    return jax.tree.map(lambda a, b: a - 3e-6 * b, w, jax.grad(loss)(w)), None

  return lax.scan(body, w, None, length=3)[0]


def test_inside_a_scan_every_convolution_has_the_fast_layout():
  w, x = [jnp.ones((3, 3, 2, 4)), jnp.ones((3, 3, 4, 8))], jnp.ones((8, 8, 8, 2))
  text = jax.jit(_trained).lower(w, x).compile().as_text()
  layouts = re.findall(r" convolution\(.*dim_labels=([^,\s]*)", text)
  assert len(layouts) >= 6
  assert set(layouts) == {"b01f_01io->b01f"}  # the strides and dilations stand in `window`


@pytest.mark.parametrize(("side", "width"), [(8, 4), (16, 32)], ids=["kernel", "products"])
def test_on_eight_devices_only_the_weights_gradient_is_summed(side, width):
  mesh = Mesh(np.array(jax.devices()), ("data",))
  spread, whole = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
  w = [jnp.full((3, 3, 2, width), 0.4 / width), jnp.full((3, 3, width, 2 * width), 0.4 / width)]
  x = jax.random.normal(jax.random.key(0), (16, side, side, 2))
  run = jax.jit(_trained, in_shardings=(whole, spread), out_shardings=whole)
  text = run.lower(w, x).compile().as_text()
  assert "num_partitions=8" in text
  assert "all-reduce" in text
  assert not re.findall(r"all-gather|all-to-all|collective-permute|reduce-scatter", text)
  summed = re.findall(r"= (.*) all-reduce\(", text)
  sizes = [
    int(np.prod([int(n) for n in dims.split(",")])) for line in summed for dims in re.findall(r"\[([\d,]+)\]", line)
  ]
  assert max(sizes) <= 2 * width * 3 * 3 * width  # no larger than a weight
  _close(run(w, x), jax.jit(_trained)(w, x), 1e-5)
