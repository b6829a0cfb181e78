"""BigGAN's nets: sizes by hand, attention and conditional norms against numpy, and what labels and latents move."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from genjax.nets.biggan import Attention, BigGANCritic, BigGANGenerator, ConditionalNorm

KEY = jax.random.key(0)
TRAIN = {"train": True, "mutable": ["batch_stats", "spectral"]}


def _start(net, *args):
  """jitted: one compilation, where flax would make one for each operation."""
  return jax.jit(net.init)(KEY, *args)


def _run(net, variables, *args, **more):
  return jax.jit(partial(net.apply, **more))(variables, *args)


def _count(net, *args):
  return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(net.init, KEY, *args)["params"]))


def _normal(seed, *shape):
  return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def _stirred(params, seed=5, size=0.3):
  """Every parameter moved at random: none is 0, as gamma and biases are at first."""
  leaves, form = jax.tree.flatten(params)
  return jax.tree.unflatten(
    form, [np.asarray(leaf) + size * _normal(seed + i, *leaf.shape) for i, leaf in enumerate(leaves)]
  )


def _conv(size, inputs, outputs):
  return size * size * inputs * outputs + outputs


def test_the_generators_of_cifar10_have_as_many_parameters_as_by_hand():
  """Three units of two 3x3, one 1x1 and two norms; one norm and the last 3x3."""
  units = 3 * (2 * _conv(3, 256, 256) + _conv(1, 256, 256))
  ends = (128 + 1) * 16 * 256 + 2 * 256 + _conv(3, 256, 3)
  net = BigGANGenerator((32, 32, 3))
  assert _count(net, jnp.zeros((1, 128))) == units + ends + 3 * 2 * 2 * 256 == 4_276_739  # SN-GAN's
  labelled = (jnp.zeros((1, 128)), jnp.zeros(1, jnp.int32))
  assert _count(net.clone(classes=10), *labelled) == units + ends + 3 * 2 * 2 * 128 * 256 + 10 * 128
  parts = units + (32 + 1) * 16 * 256 + 2 * 256 + _conv(3, 256, 3) + 3 * 2 * 2 * (128 + 32) * 256 + 10 * 128
  assert _count(net.clone(classes=10, hierarchical=True), *labelled) == parts
  attention = 256 * (32 + 32 + 128) + 128 * 256 + 1
  assert _count(net.clone(attention=16), labelled[0]) == 4_276_739 + attention


def test_the_critic_of_cifar10_has_as_many_parameters_as_by_hand():
  units = _conv(3, 3, 256) + _conv(1, 3, 256) + _conv(1, 256, 256) + 7 * _conv(3, 256, 256)
  images, labels = jnp.zeros((1, 32, 32, 3)), jnp.zeros(1, jnp.int32)
  assert _count(BigGANCritic(classes=10), images, labels) == units + 257 + 10 * 256 == 4_207_361
  attention = 256 * (32 + 32 + 128) + 128 * 256 + 1
  assert _count(BigGANCritic(attention=16), images) == units + 257 + attention


def _settled(net, x, passes=80):
  variables = _start(net, x)
  train = net.clone(train=True)
  step = jax.jit(lambda variables: variables | train.apply(variables, x, mutable=["spectral"])[1])
  for _ in range(passes):
    variables = step(variables)
  return variables


def test_attention_is_a_weighted_mean_of_pooled_values_by_numpy():
  net, x = Attention(), _normal(1, 2, 4, 6, 16)
  variables = _settled(net, x)
  variables["params"]["gamma"] = jnp.full((), 0.7)
  matrices = {}
  for name in ("query", "key", "value", "output"):
    kernel = np.asarray(variables["params"][name]["kernel"], np.float64)
    matrices[name] = kernel / np.linalg.svd(kernel)[1][0]
  expected = np.zeros(x.shape)
  for b, image in enumerate(np.asarray(x, np.float64)):
    cells = [(row, column) for row in (0, 2) for column in (0, 2, 4)]
    pooled = lambda name, image=image, cells=cells: np.array(
      [(image @ matrices[name])[r : r + 2, c : c + 2].max((0, 1)) for r, c in cells]
    )
    keys, values = pooled("key"), pooled("value")
    for row in range(4):
      for column in range(6):
        weights = np.exp(keys @ (image[row, column] @ matrices["query"]))
        seen = (weights / weights.sum()) @ values
        expected[b, row, column] = image[row, column] + 0.7 * seen @ matrices["output"]
  assert np.abs(expected - x).max() > 0.1
  np.testing.assert_allclose(_run(net, variables, x), expected, rtol=1e-3, atol=1e-3)


def test_attention_is_the_identity_while_gamma_is_0():
  net, x = Attention(), _normal(1, 2, 4, 4, 8)
  variables = _start(net, x)
  assert variables["params"]["gamma"] == 0
  np.testing.assert_array_equal(_run(net, variables, x), x)


def test_a_conditional_norm_scales_and_shifts_the_same_statistics_by_the_label():
  net, x, condition = ConditionalNorm(), 3 * _normal(1, 4, 3, 3, 5) + 1, _normal(2, 4, 6)
  variables = _start(net, x, condition)
  for name in ("scale", "offset"):
    kernel = variables["params"][name]["kernel"]
    variables["spectral"][name]["u"] = jnp.asarray(np.linalg.svd(kernel)[2][0], jnp.float32)
  y, after = _run(net.clone(train=True), variables, x, condition, mutable=["batch_stats", "spectral"])
  flat = np.asarray(x, np.float64)
  normed = (flat - flat.mean((0, 1, 2))) / np.sqrt(flat.var((0, 1, 2)) + 1e-5)
  scale, offset = (
    np.asarray(condition) @ (np.asarray(kernel) / np.linalg.svd(kernel)[1][0])
    for kernel in (variables["params"][name]["kernel"] for name in ("scale", "offset"))
  )
  expected = normed * (1 + scale[:, None, None]) + offset[:, None, None]
  np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-3)
  np.testing.assert_allclose(after["batch_stats"]["BatchNorm_0"]["mean"], 0.1 * flat.mean((0, 1, 2)), rtol=1e-4)
  averaged = _run(net, variables, x, condition)
  np.testing.assert_allclose(
    averaged, flat / np.sqrt(1 + 1e-5) * (1 + scale[:, None, None]) + offset[:, None, None], rtol=1e-3, atol=1e-3
  )


def test_a_norm_of_one_condition_treats_all_images_alike():
  net, x = ConditionalNorm(train=True), jnp.tile(_normal(1, 1, 3, 3, 5), (2, 1, 1, 1))
  condition, mutable = jnp.tile(_normal(2, 1, 6), (2, 1)), ["batch_stats", "spectral"]
  variables = _start(net, x, condition)
  y, _ = _run(net, variables, x, condition, mutable=mutable)
  np.testing.assert_allclose(y[0], y[1], rtol=1e-6)
  other, _ = _run(net, variables, x, condition.at[1].add(1.0), mutable=mutable)
  np.testing.assert_allclose(other[0], y[0], rtol=1e-5, atol=1e-6)
  assert jnp.abs(other[1] - y[1]).max() > 0.1


@pytest.fixture(scope="module")
def generator():
  net = BigGANGenerator((8, 8, 1), width=8, stages=2, classes=3, shared=4, hierarchical=True, attention=4)
  latent, labels = _normal(1, 3, 6), jnp.arange(3)
  variables = _start(net, latent, labels)
  return net, variables | {"params": _stirred(variables["params"])}, latent, labels


def test_labels_and_every_part_of_the_latent_change_their_own_image(generator):
  net, variables, latent, labels = generator
  generate = jax.jit(
    lambda latent, labels: net.apply(variables, latent, labels)
  )  # running statistics: images are apart
  images = generate(latent, labels)
  assert images.shape == (3, 8, 8, 1)
  assert images.dtype == jnp.float32
  assert jnp.abs(images).max() <= 1
  changed = lambda other: (jnp.abs(other - images).max((1, 2, 3)) > 1e-4).tolist()
  assert changed(generate(latent, labels.at[1].set(2))) == [False, True, False]
  for part in range(3):
    assert changed(generate(latent.at[1, 2 * part].add(1.0), labels)) == [False, True, False]


def test_gradients_reach_every_parameter_of_the_generator(generator):
  net, variables, latent, labels = generator

  def cost(params):
    images, _ = net.apply(variables | {"params": params}, latent, labels, **TRAIN)
    return (images**2).sum() + images[0, 0, 0, 0]

  gradients = jax.jit(jax.grad(cost))(variables["params"])
  for path, leaf in jax.tree.leaves_with_path(gradients):
    assert jnp.isfinite(leaf).all(), path
    shifts_before_norm = path[-1].key == "bias" and path[-2].key == "conv_0"  # the norm after it removes them
    assert shifts_before_norm or jnp.abs(leaf).max() > 0, path


@pytest.mark.slow
def test_gradients_reach_every_parameter_of_the_critic_and_a_penalty_has_one():
  net, images, labels = BigGANCritic(8, classes=3, attention=4), _normal(1, 3, 8, 8, 2), jnp.arange(3)
  variables = _start(net, images, labels)
  params = _stirred(variables["params"])
  f = lambda params, images: net.apply(variables | {"params": params}, images, labels)[0].sum()
  penalty = lambda params: (jax.grad(f, 1)(params, images) ** 2).sum()
  first, second = jax.jit(lambda params: (jax.grad(f)(params, images), jax.grad(penalty)(params)))(params)
  for path, leaf in jax.tree.leaves_with_path(first):
    assert jnp.isfinite(leaf).all(), path
    assert jnp.abs(leaf).max() > 0, path
  assert jax.tree.all(jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), second))
  assert jnp.abs(second["unit_0"]["conv_0"]["kernel"]).max() > 0


def test_a_critics_logit_is_linear_in_the_features_with_the_labels_own_vector():
  net, images, labels = BigGANCritic(8, classes=3), _normal(1, 3, 8, 8, 2), jnp.arange(3)
  variables = _start(net, images, labels)
  logits, aux = _run(net, variables, images, labels)
  table = np.asarray(variables["params"]["embedding"]["kernel"], np.float64)
  u = np.asarray(variables["spectral"]["embedding"]["u"], np.float64)
  sigma = np.linalg.norm(table @ u)
  direct, _ = _run(net, variables, images, jnp.roll(labels, 1))
  difference = ((table - np.roll(table, 1, axis=0)) / sigma * np.asarray(aux["features"])).sum(1)
  np.testing.assert_allclose(logits - direct, difference, rtol=1e-3, atol=1e-5)


def test_every_weight_has_a_vector_that_is_updated_in_training(generator):
  net, variables, latent, labels = generator
  kernels = [path[:-1] for path, _ in jax.tree.leaves_with_path(variables["params"]) if path[-1].key == "kernel"]
  vectors = [path[:-1] for path, _ in jax.tree.leaves_with_path(variables["spectral"])]
  assert kernels == vectors
  _, after = _run(net, variables, latent, labels, **TRAIN)
  for old, new in zip(jax.tree.leaves(variables["spectral"]), jax.tree.leaves(after["spectral"]), strict=True):
    assert old.size == 1 or not np.array_equal(old, new)


@pytest.mark.slow
def test_statistics_over_eight_devices_are_those_of_one(generator):
  net, variables, _, _ = generator
  latent, labels = _normal(3, 16, 6), jnp.arange(16) % 3
  mesh = Mesh(np.array(jax.devices()), ("data",))
  spread = jax.device_put((latent, labels), NamedSharding(mesh, PartitionSpec("data")))
  everywhere = jax.device_put(variables, NamedSharding(mesh, PartitionSpec()))
  alone = _run(net, variables, latent, labels, **TRAIN)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
    alone,
    _run(net, everywhere, *spread, **TRAIN),
  )


def test_bfloat16_images_are_near_float32_ones(generator):
  net, variables, latent, labels = generator
  exact, half = (_run(one, variables, latent, labels) for one in (net, net.clone(dtype=jnp.bfloat16)))
  assert half.dtype == jnp.float32
  assert jnp.abs(half - exact).max() < 0.1


def test_settings_that_do_not_go_together_are_refused():
  with pytest.raises(ValueError, match="attention 32; maps here have sides 8, 16: use one, or None"):
    BigGANGenerator((16, 16, 1), 8, 2, attention=32).init(KEY, jnp.zeros((1, 4)))
  with pytest.raises(ValueError, match="attention 3; maps here have sides 8, 4: use one"):
    BigGANCritic(8, attention=3).init(KEY, jnp.zeros((1, 16, 16, 1)))
  with pytest.raises(ValueError, match="a latent of 7 has no 3 equal parts"):
    BigGANGenerator((16, 16, 1), 8, 2, hierarchical=True).init(KEY, jnp.zeros((1, 7)))
  with pytest.raises(ValueError, match="the net got labels and has classes=None"):
    BigGANGenerator((16, 16, 1), 8, 2).init(KEY, jnp.zeros((1, 4)), jnp.zeros(1, jnp.int32))
