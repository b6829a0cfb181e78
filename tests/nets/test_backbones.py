"""What every critic must do, for every critic: small ones of each kind, compiled once each."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.convnet import ConvNet
from genjax.nets.densenet import DenseNet
from genjax.nets.resnet import ResNet
from genjax.nets.vanilla import VanillaNet
from genjax.nets.wgan_gp import WganGp32, WganGp64


class Row(NamedTuple):
  make: Callable[..., nn.Module]
  least: int  # the smallest side that it takes
  smooth: bool = True  # no ReLU: finite differences see its second derivative


ROWS = {
  "convnet": Row(partial(ConvNet, blocks=((3,), (4,)), std=0.3), 4),
  "vanilla": Row(partial(VanillaNet, widths=(3, 4), strides=(2, 2), std=0.3), 3),
  "resnet": Row(partial(ResNet, widths=(3, 5), units=(1, 1)), 2),
  "densenet": Row(partial(DenseNet, layers=(1, 2), growth=3, stem=4), 2),
  "wgan_gp_32": Row(partial(WganGp32, width=3), 4, smooth=False),
  "wgan_gp_64": Row(partial(WganGp64, width=2, factors=(2, 2)), 4, smooth=False),
}
IMAGES = jax.random.uniform(jax.random.key(1), (3, 7, 5, 2), minval=-1.0, maxval=1.0)
STEP = 1e-2  # of the finite difference
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # it runs once


class Results(NamedTuple):
  params: dict
  whole: tuple  # (logits, aux) of three images
  alone: tuple  # of the second alone
  half: tuple  # in bfloat16
  dropped: tuple  # with keys a, a, b
  gradient: dict  # of class logits and a gradient penalty, by the parameters
  slope: jax.Array  # the same along a random direction
  difference: jax.Array  # and by differences


@pytest.fixture(scope="module", params=ROWS)
def row(request):
  return ROWS[request.param]


@pytest.fixture(scope="module")
def results(row) -> Results:
  net = row.make(head_classes=3)
  half, drop = row.make(head_classes=3, dtype=jnp.bfloat16), row.make(head_classes=3, dropout=0.5)
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(net.init, jax.random.key(0), IMAGES)
  draw = lambda: jax.tree.map(lambda a: np.asarray(0.5 * rng.normal(size=a.shape), np.float32), shapes)
  params, direction = draw(), draw()

  def loss(params, images):
    slopes = jax.grad(lambda x: net.apply(params, x)[0].sum())(images)
    return (slopes**2).sum() + (net.apply(params, images)[1]["class_logits"] ** 2).sum()

  def measure(params, direction, images):
    along = jnp.array([-STEP, 0.0, STEP])
    line = jax.tree.map(lambda a, b: a[None] + along.reshape(-1, *[1] * a.ndim) * b[None], params, direction)
    values, gradients = jax.lax.map(lambda params: jax.value_and_grad(loss)(params, images), line)
    gradient = jax.tree.map(lambda a: a[1], gradients)
    key_a, key_b = jax.random.split(jax.random.key(0))
    dropped = lambda key: drop.apply(params, images, train=True, rngs={"dropout": key})
    return Results(
      params,
      net.apply(params, images),
      net.apply(params, images[1:2]),
      half.apply(params, images),
      jax.vmap(dropped)(jnp.stack([key_a, key_a, key_b])),
      gradient,
      sum((a * b).sum() for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)),
      (values[2] - values[0]) / (2 * STEP),
    )

  return jax.jit(measure).lower(params, direction, IMAGES).compile(compiler_options=QUICKLY)(params, direction, IMAGES)


def test_an_odd_size_gives_float32_logits_class_logits_and_features(results):
  logits, aux = results.whole
  assert logits.shape == (3,)
  assert aux["class_logits"].shape == (3, 3)
  assert aux["features"].ndim == 2
  assert aux["features"].shape[0] == 3
  assert {leaf.dtype for leaf in jax.tree.leaves((results.whole, results.params))} == {jnp.dtype(jnp.float32)}


def test_an_images_numbers_do_not_depend_on_the_batch(results):
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1:2], b, rtol=1e-4, atol=1e-5), results.whole, results.alone)


def test_images_differ_in_their_logits(results):
  assert len(np.unique(np.asarray(results.whole[0]).round(4))) == 3


def test_bfloat16_is_finite_near_float32_and_ends_in_float32(results):
  assert {leaf.dtype for leaf in jax.tree.leaves(results.half)} == {jnp.dtype(jnp.float32)}
  for exact, half in zip(jax.tree.leaves(results.whole), jax.tree.leaves(results.half), strict=True):
    assert np.linalg.norm(half - exact) < 0.05 * np.linalg.norm(exact)
    assert (np.asarray(half) != np.asarray(exact)).any()


def test_outside_training_there_is_no_dropout(row):
  params = jax.eval_shape(row.make().init, jax.random.key(0), IMAGES)
  program = lambda net: str(jax.make_jaxpr(net.apply)(params, IMAGES))
  assert program(row.make(dropout=0.5)) == program(row.make())


def test_in_training_dropout_changes_the_logits_and_the_key_decides_how(results):
  first, again, other = results.dropped[0]
  np.testing.assert_array_equal(first, again)
  assert np.abs(first - results.whole[0]).max() > 1e-3
  assert np.abs(first - other).max() > 1e-3


def test_a_gradient_reaches_every_parameter(results):
  for path, leaf in jax.tree_util.tree_leaves_with_path(results.gradient):
    if path[-2].key == "Dense_0" and path[-1].key == "bias":
      assert not leaf.any()  # of f: a constant has no slope
    else:
      assert np.isfinite(leaf).all(), path
      assert np.abs(leaf).max() > 1e-6, path


def test_the_gradient_of_a_penalty_is_that_of_finite_differences(row, results):
  if not row.smooth:
    pytest.skip("differences do not fit a ReLU's kinks; its convolutions are tried in tests/ops/test_conv.py")
  np.testing.assert_allclose(results.slope, results.difference, rtol=0.02)


def test_the_smallest_side_is_taken_and_one_less_is_refused_with_what_to_do(row):
  shapes = lambda side: jax.eval_shape(row.make().init_with_output, jax.random.key(0), jnp.zeros((1, side, side, 1)))
  (logits, aux), _ = shapes(row.least)
  assert logits.shape == (1,)
  assert set(aux) == {"features"}
  message = f"images {row.least - 1}x{row.least - 1} do not survive .* or sides of at least {row.least}"
  with pytest.raises(ValueError, match=message):
    shapes(row.least - 1)


def test_a_dtype_may_come_as_a_word_from_a_config(row):
  (logits, _), params = jax.eval_shape(row.make(dtype="bfloat16").init_with_output, jax.random.key(0), IMAGES)
  assert logits.dtype == jnp.float32
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
