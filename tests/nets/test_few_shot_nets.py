"""Embeddings: parameters and sizes as published, batch norm by numpy, dropout only in training."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.batch_norm import BatchNorm
from genjax.nets.conv4 import Conv4, R2D2Net
from genjax.nets.relation import Relation
from genjax.nets.resnet12 import ResNet12
from genjax.systems.fit import fit
from genjax.systems.optimizers import sgd
from genjax.train import plan
from genjax.train.mesh import batch_sharding, make_mesh

SMALL = ResNet12(widths=(4, 6, 8, 10), block=2)


def shapes(net, side):
  make = lambda key: net.init(key, jnp.zeros((2, side, side, 3)))
  variables = jax.eval_shape(make, jax.random.key(0))
  features = jax.eval_shape(lambda v: net.apply(v, jnp.zeros((2, side, side, 3))), variables)[0]
  return sum(leaf.size for leaf in jax.tree.leaves(variables["params"])), features.shape


@pytest.mark.parametrize(
  ("net", "side", "parameters", "size"),
  [
    (ResNet12(), 84, 12_424_320, 16_000),
    (ResNet12(block=2), 32, 12_424_320, 2_560),
    (Conv4(), 84, 112_832, 1_600),
    (Conv4(), 32, 112_832, 256),
    (R2D2Net(), 84, None, 51_200),
    (R2D2Net(), 32, None, 8_192),
  ],
)
def test_parameters_and_features_are_as_published(net, side, parameters, size):
  count, features = shapes(net, side)
  assert features == (2, size)
  if parameters is not None:
    assert count == parameters


@pytest.mark.parametrize("net", [ResNet12(widths=(64,)), Conv4(width=64)], ids=["ResNet-12", "Conv-4"])
def test_kernels_start_as_in_the_released_code(net):
  """N(0, 2 / fan out), fan out = height * width * channels that a convolution gives."""
  params = jax.jit(net.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 16)))["params"]
  kernels = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 4]
  assert len(kernels) == 4
  for kernel in kernels:
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (kernel.shape[0] * kernel.shape[1] * 64)), rtol=0.1)


def test_r2d2s_last_block_has_no_activation_and_its_features_are_the_last_two_maps():
  """Every convolution gives -1, its bias, alone."""
  net, images = R2D2Net(widths=(1, 1, 2, 3)), jnp.ones((1, 16, 16, 1))

  def value(path, like):
    of_conv = path[-1].key == "bias" and path[-2].key.startswith("Conv")
    return jnp.full(like.shape, -1.0 if of_conv else path[-1].key in ("scale", "var"), jnp.float32)

  shapes = jax.eval_shape(net.init, jax.random.key(0), images)
  features, _ = jax.jit(net.apply)(jax.tree_util.tree_map_with_path(value, shapes), images)
  np.testing.assert_allclose(features[0], [-0.1] * 4 * 2 + [-1.0] * 3, rtol=1e-4)  # behind a leaky ReLU, and not


def test_batch_norm_is_torchs_with_an_unbiased_running_variance():
  x = np.random.default_rng(0).normal(3, 2, (3, 4, 5, 2)).astype(np.float32)
  net = BatchNorm()
  variables = net.init(jax.random.key(0), x, True)
  np.testing.assert_array_equal(variables["batch_stats"]["mean"], 0)
  y, after = net.apply(variables, x, True, mutable=["batch_stats"])
  mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
  np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(after["batch_stats"]["mean"], 0.1 * mean, rtol=1e-5)
  np.testing.assert_allclose(after["batch_stats"]["var"], 0.9 + 0.1 * var * 60 / 59, rtol=1e-5)
  still = net.apply({**variables, **after}, x, False)
  expected = (x - 0.1 * mean) / np.sqrt(0.9 + 0.1 * var * 60 / 59 + 1e-5)
  np.testing.assert_allclose(still, expected, rtol=1e-4, atol=1e-5)


def test_batch_norm_does_not_cancel_far_from_zero_where_its_running_mean_is():
  x = (1000 + np.random.default_rng(0).normal(size=(8, 4, 4, 1))).astype(np.float32)
  variables = BatchNorm().init(jax.random.key(0), x, True)
  variables["batch_stats"]["mean"] += 997.0  # after 56 updates
  y = BatchNorm().apply(variables, x, True, mutable=["batch_stats"])[0]
  exact = x.astype(np.float64)
  np.testing.assert_allclose(y, (exact - exact.mean()) / np.sqrt(exact.var() + 1e-5), atol=2e-3)


def test_batch_norm_over_a_mesh_is_that_of_the_whole_batch():
  x = (
    np.random.default_rng(1).normal(size=(16, 4, 4, 3)).astype(np.float32)
    * np.arange(1, 17, dtype=np.float32)[:, None, None, None]
  )
  net = BatchNorm()
  variables = net.init(jax.random.key(0), x, True)
  apply = jax.jit(lambda x: net.apply(variables, x, True, mutable=["batch_stats"]))
  whole = apply(x)
  spread = apply(jax.device_put(x, batch_sharding(make_mesh())))
  for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(spread), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_devices_add_up_the_moments_of_a_batch_norm_at_once_and_so_their_derivatives():
  class Layers(nn.Module):
    @nn.compact
    def __call__(self, x):
      for _ in range(2):
        x = BatchNorm()(nn.Dense(4)(x), True)
      return x

  net = Layers()

  def loss(key, variables, batch):
    out, after = net.apply(variables, batch["image"], mutable=["batch_stats"])
    return (out**3).mean(), (after, {})

  system = fit(lambda key, batch: net.init(key, batch["image"][:1]), loss, sgd(learning_rate=0.1))
  sums = plan.compile_step(system, {"image": jax.ShapeDtypeStruct((8, 2, 2, 3), jnp.float32)}, make_mesh()).collectives
  assert [exchange.name for exchange in sums] == ["all-reduce"] * (2 * 2 + 1)  # and all that is left, at the end


@pytest.mark.slow
@pytest.mark.parametrize(
  "net", [SMALL, Conv4(width=4), R2D2Net(widths=(4, 5, 6, 7))], ids=lambda net: net.__class__.__name__
)
def test_gradients_reach_every_parameter_and_evaluation_is_deterministic(net):
  images = jax.random.normal(jax.random.key(0), (6, 32, 32, 3))
  variables = net.init({"params": jax.random.key(1), "dropout": jax.random.key(2)}, images)
  rest = {name: value for name, value in variables.items() if name != "params"}

  @jax.jit
  def loss(params, key):
    (features, aux), _ = net.apply(
      {"params": params, **rest}, images, train=True, rngs={"dropout": key}, mutable=list(rest)
    )
    return (features**2 * jnp.arange(features.shape[1])[None]).mean(), aux

  gradient = jax.grad(loss, has_aux=True)(variables["params"], jax.random.key(3))[0]
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
    if net.__class__ is R2D2Net and "Conv" in str(path) and "bias" in str(path):
      continue  # a bias before a batch norm changes nothing
    assert jnp.abs(leaf).max() > 0, path
  look = jax.jit(lambda: net.apply(variables, images)[0])
  np.testing.assert_array_equal(look(), look())


@pytest.mark.slow
def test_dropblock_counts_calls_in_training_only_and_the_legacy_switch_holds_it_at_1():
  images = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))
  variables = SMALL.init({"params": jax.random.key(1), "dropout": jax.random.key(2)}, images)
  assert variables["counter"]["calls"] == 0
  mutable = ["batch_stats", "counter"]
  _, after = SMALL.apply(variables, images, train=True, rngs={"dropout": jax.random.key(3)}, mutable=mutable)
  assert after["counter"]["calls"] == 1
  _, after = SMALL.apply(variables, images, train=False, mutable=mutable)
  assert after["counter"]["calls"] == 0
  late = {**variables, "counter": {"calls": jnp.int32(10**6)}}
  net = SMALL.clone(drop_over=1.0, drop=0.5)
  zeros = lambda net: float(
    (net.apply(late, images, train=True, rngs={"dropout": jax.random.key(3)}, mutable=mutable)[0][0] == 0).mean()
  )
  assert zeros(net) > 0.2
  assert zeros(net.clone(legacy_dataparallel=True, drop_over=1e9)) == 0


def test_bfloat16_convolutions_give_float32_features_near_those_of_float32():
  images = jax.random.normal(jax.random.key(0), (4, 32, 32, 3))
  variables = SMALL.init(jax.random.key(1), images)
  exact, half = (SMALL.clone(dtype=dtype).apply(variables, images)[0] for dtype in (jnp.float32, jnp.bfloat16))
  assert half.dtype == jnp.float32
  assert jnp.abs(exact - half).max() < 0.1 * jnp.abs(exact).max()


def test_relation_scores_lie_between_0_and_1_and_follow_the_names_of_classes():
  support = jax.random.normal(jax.random.key(0), (6, 2, 2, 4))
  query = jax.random.normal(jax.random.key(1), (5, 2, 2, 4))
  labels, names = np.array([0, 0, 1, 1, 2, 2]), np.array([2, 0, 1])
  net = Relation(width=6)
  variables = net.init(jax.random.key(2), support, labels, query, ways=3)
  scores = net.apply(variables, support, labels, query, ways=3)
  assert scores.shape == (5, 3)
  assert ((scores > 0) & (scores < 1)).all()
  np.testing.assert_allclose(
    net.apply(variables, support, names[labels], query, ways=3)[:, names], scores, rtol=1e-4, atol=1e-5
  )


def test_images_that_are_too_small_are_refused():
  with pytest.raises(ValueError, match="do not survive"):
    Conv4().init(jax.random.key(0), jnp.zeros((1, 12, 12, 1)))
