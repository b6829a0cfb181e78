"""StyleGAN2's nets: their sizes by hand, and what regularisation asks of them."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jitted import KEY, normal, run, start, stirred

from genjax.nets.stylegan2 import (
  Mapping,
  StyleDecoder,
  StyleGAN2Critic,
  StyleGAN2Generator,
  batch_deviation,
  halvings,
)
from genjax.objectives.generator import path_length
from genjax.objectives.terms import Round
from genjax.ops.resample import up

TINY = {"base": 32, "most": 6}


def _count(net, *args):
  return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(net.init, KEY, *args)["params"]))


def _dense(inputs, outputs):
  return inputs * outputs + outputs


def _styled(inputs, outputs, width):
  """Kernel, style, bias, strength of noise."""
  return 9 * inputs * outputs + _dense(width, inputs) + outputs + 1


def _to_image(inputs, width):
  return 3 * inputs + _dense(width, inputs) + 3


def test_the_released_decoder_and_mapping_have_as_many_parameters_as_the_released_net_beyond_its_trunk():
  """16.98 M in all, 10.93 M of them the trunk with its mapping."""
  decoder = _count(StyleDecoder((32, 32, 3)), jnp.zeros((1, 8, 8, 384)), jnp.zeros((1, 384)))
  assert decoder == 4 * _styled(384, 384, 384) + _to_image(384, 384) == 6_050_311
  assert round(10.93 + decoder / 1e6, 2) == 16.98
  assert _count(Mapping(384), jnp.zeros((1, 384))) == 8 * _dense(384, 384) == 1_182_720


def test_the_decoders_channels_halve_above_64():
  shapes = jax.eval_shape(StyleDecoder((128, 128, 3)).init, KEY, jnp.zeros((1, 8, 8, 384)), jnp.zeros((1, 384)))
  widths = [shapes["params"][f"{kind}_{place}"]["bias"].size for place in range(4) for kind in ("up", "conv")]
  assert widths == [384] * 6 + [192] * 2


def test_the_32x32_nets_have_as_many_parameters_as_by_hand():
  """Channels 512, 512, 256, 128 from 4x4 to 32x32."""
  sides = [512, 512, 256, 128]
  generator = 8 * _dense(512, 512) + 16 * 512 + _styled(512, 512, 512) + _to_image(512, 512)
  for coarse, fine in pairwise(sides):
    generator += _styled(coarse, fine, 512) + _styled(fine, fine, 512) + _to_image(fine, 512)
  assert _count(StyleGAN2Generator((32, 32, 3), base=4096), jnp.zeros((1, 512))) == generator == 13_506_963
  critic = _dense(3, 128) + _dense(9 * 513, 512) + _dense(16 * 512, 512) + _dense(512, 1)
  for coarse, fine in pairwise(sides):
    critic += _dense(9 * fine, fine) + _dense(9 * fine, coarse) + fine * coarse
  assert _count(StyleGAN2Critic(base=4096), jnp.zeros((1, 32, 32, 3))) == critic == 13_918_849


@pytest.mark.parametrize(("side", "grid", "styles"), [(4, 4, 2), (8, 4, 4), (16, 4, 6), (28, 7, 6), (128, 4, 12)])
def test_any_size_that_doubling_leads_to_has_a_net(side, grid, styles):
  shape = (side, side, 1)
  assert side >> halvings(shape) == grid
  generator, critic = StyleGAN2Generator(shape, 8, 2, **TINY), StyleGAN2Critic(**TINY)
  assert generator.styles == styles
  images, variables = jax.eval_shape(lambda z: generator.init_with_output(KEY, z), jnp.zeros((4, 6)))
  assert images.shape == (4, *shape)
  assert variables["params"]["painter"]["constant"].shape[:2] == (grid, grid)
  logits, aux = jax.eval_shape(lambda x: critic.init_with_output(KEY, x), images)[0]
  assert logits.shape == (4,)
  assert aux["features"].shape[0] == 4


def test_a_multiplier_multiplies_channels():
  params = lambda **more: jax.eval_shape(StyleGAN2Critic(base=32, **more).init, KEY, jnp.zeros((1, 8, 8, 1)))["params"]
  widths = lambda params: (params["from_image"]["bias"].size, params["last"]["bias"].size)
  assert widths(params()) == (4, 8)
  assert widths(params(multiplier=2.5)) == (10, 20)
  assert widths(params(multiplier=2.5, most=12)) == (10, 12)


def test_sizes_that_fit_nothing_are_refused():
  with pytest.raises(ValueError, match="images 2x8; use sides of at least 4"):
    halvings((2, 8, 1))
  with pytest.raises(ValueError, match="no doublings lead from a grid 8x8 to images 24x24"):
    StyleDecoder((24, 24, 3)).init(KEY, jnp.zeros((1, 8, 8, 4)), jnp.zeros((1, 4)))
  with pytest.raises(ValueError, match=r"w has shape \(1, 3, 8\); this net takes .* \[B, 4, W\]"):
    StyleGAN2Generator((8, 8, 1), 8, 2, **TINY).init(KEY, jnp.zeros((1, 3, 8)), method="synthesis")


@pytest.fixture(scope="module")
def generator():
  """(net, variables with no 0 among them, latents)."""
  net, latent = StyleGAN2Generator((8, 8, 2), 8, 2, **TINY), normal(1, 3, 6)
  return net, stirred(start(net, latent)), latent


@pytest.fixture(scope="module")
def critic():
  net, images = StyleGAN2Critic(**TINY), normal(1, 8, 8, 8, 2)
  return net, stirred(start(net, images)), images


def test_a_generator_is_its_mapping_then_its_synthesis_and_takes_a_w_for_each_layer(generator):
  net, variables, latent = generator
  w = run(net, variables, latent, method="mapping")
  assert w.shape == (3, 8)
  images = run(net, variables, w, method="synthesis")
  assert images.dtype == jnp.float32
  np.testing.assert_allclose(run(net, variables, latent), images, rtol=1e-5, atol=1e-5)
  ws = jnp.tile(w[:, None], (1, net.styles, 1))
  synthesis = jax.jit(lambda ws: net.apply(variables, ws, method="synthesis"))
  np.testing.assert_allclose(synthesis(ws), images, rtol=1e-5, atol=1e-5)
  for layer in range(net.styles):  # every one of them matters, and to its own image only
    moved = synthesis(ws.at[1, layer].add(0.5))
    changed = jnp.abs(moved - images).max((1, 2, 3)) > 1e-4
    assert changed.tolist() == [False, True, False]


def test_w_does_not_know_the_length_of_a_latent(generator):
  net, variables, latent = generator
  mapping = lambda latent: run(net, variables, latent, method="mapping")
  np.testing.assert_allclose(mapping(5 * latent), mapping(latent), rtol=1e-4, atol=1e-5)


def test_a_latent_and_its_labels_vector_are_normalised_together():
  net, latent, labels = Mapping(3, depth=1, classes=2), normal(1, 2, 4) * 7, jnp.array([1, 0])
  variables = start(net, latent, labels)
  params = jax.tree.map(np.asarray, variables["params"])
  x = np.concatenate([latent, params["label"]["embedding"][labels]], 1)
  x = x / np.sqrt((x**2).mean(1, keepdims=True))
  x = x @ params["EqualDense_0"]["kernel"] * 0.01 / np.sqrt(8)
  wanted = np.sqrt(2) * np.where(x > 0, x, 0.2 * x)
  np.testing.assert_allclose(run(net, variables, latent, labels), wanted, rtol=1e-4, atol=1e-5)


def test_the_image_is_the_sum_of_those_of_each_size(generator):
  net, variables, latent = generator
  silent = jax.tree.map(jnp.zeros_like, variables["params"]["painter"]["image_1"])
  params = variables["params"] | {"painter": variables["params"]["painter"] | {"image_1": silent}}
  images, seen = run(net, {"params": params}, latent, capture_intermediates=lambda module, _: module.name == "image_0")
  (coarse,) = seen["intermediates"]["painter"]["image_0"]["__call__"]
  np.testing.assert_allclose(images, up(coarse), rtol=1e-5, atol=1e-6)


def test_without_a_stream_images_are_the_same_every_time_and_with_one_they_are_not(generator):
  net, variables, latent = generator
  generate = jax.jit(lambda rngs: net.apply(variables, latent, rngs=rngs))
  np.testing.assert_array_equal(generate({}), generate({}))
  assert jnp.abs(generate({"noise": jax.random.key(1)}) - generate({"noise": jax.random.key(2)})).max() > 1e-3


def _none_is_zero(gradients):
  for path, leaf in jax.tree.leaves_with_path(gradients):
    assert jnp.isfinite(leaf).all(), path
    assert jnp.abs(leaf).max() > 0, path


def test_gradients_reach_every_parameter_of_the_generator(generator):
  net, variables, latent = generator
  _none_is_zero(jax.jit(jax.grad(lambda v: (net.apply(v, latent) ** 2).sum()))(variables))


@pytest.mark.slow
def test_gradients_reach_every_parameter_of_the_critic_and_so_do_those_of_a_gradient_penalty(critic):
  net, variables, images = critic

  def penalty(variables):
    slope = jax.grad(lambda x: net.apply(variables, x)[0].sum())(images)
    return (slope**2).sum((1, 2, 3)).mean()

  logits = jax.jit(jax.grad(lambda v: net.apply(v, images)[0].sum()))(variables)
  _none_is_zero(logits)
  second = jax.jit(jax.grad(penalty))(variables)
  second["params"]["logit"].pop("bias")  # moves all logits alike
  assert jax.tree.all(jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), second))
  _none_is_zero({name: layer["kernel"] for name, layer in second["params"].items() if "kernel" in layer})


@pytest.mark.parametrize("method", ["w", "each layer"])
def test_the_path_length_of_a_generator_is_finite_and_so_is_its_gradient(generator, method):
  """By w, as the paper has it; by a w for each layer, as a step of training has it."""
  net, variables, latent = generator
  latent = run(net, variables, latent, method="mapping")
  if method == "each layer":
    latent = jnp.tile(latent[:, None], (1, net.styles, 1))

  @jax.jit
  @jax.value_and_grad
  def cost(variables):
    generate = lambda latent: net.apply(variables, latent, method="synthesis")
    fake = generate(latent)
    critic, logits = (lambda x: (x.sum((1, 2, 3)), {})), jnp.zeros(3)
    round = Round(critic, fake, fake, logits, logits, styles=latent, synthesis=generate)
    return path_length().apply(KEY, jnp.zeros(()), round)[0]

  value, gradient = cost(variables)
  assert value > 0
  assert jax.tree.all(jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), gradient))
  reached = gradient["params"]["painter"]["conv_1"]["conv"]["kernel"]
  assert jnp.abs(reached).max() > 0


def test_a_residual_block_is_the_mean_of_both_ways_times_the_root_of_two(critic):
  net, variables, images = critic
  params = variables["params"]
  silent = params | {"block_0": params["block_0"] | {"down": jax.tree.map(jnp.zeros_like, params["block_0"]["down"])}}
  seen = run(net, {"params": silent}, images, capture_intermediates=True)[1]["intermediates"]
  (block,) = seen["block_0"]["__call__"]
  (skip,) = seen["block_0"]["skip"]["__call__"]
  np.testing.assert_allclose(block, skip / 2**0.5, rtol=1e-6)


def test_the_deviation_is_that_of_groups_of_four_and_of_fewer_where_four_do_not_fit():
  values = np.array([[1.0, 2.0], [5.0, 2.0], [1.0, 2.0], [5.0, 4.0], [3.0, 4.0], [3.0, 4.0]], np.float32)
  images = lambda count: jnp.asarray(values[:count]).reshape(count, 1, 1, 2)
  four = batch_deviation(images(4), 4)
  assert four.shape == (4, 1, 1, 1)
  np.testing.assert_allclose(four[:, 0, 0, 0], (2 + 0.75**0.5) / 2, rtol=1e-5)  # of 1 5 1 5 and of 2 2 2 4
  six = batch_deviation(images(6), 4)[:, 0, 0, 0]  # groups of 3: images 0 2 4 and 1 3 5
  odd = (np.std([1, 1, 3]) + np.std([2, 2, 4])) / 2
  np.testing.assert_allclose(six[::2], odd, rtol=1e-4)
  np.testing.assert_allclose(six[1::2], (np.std([5, 5, 3]) + np.std([2, 4, 4])) / 2, rtol=1e-4)
  np.testing.assert_allclose(batch_deviation(images(5), 4), 1e-4, rtol=1e-4)  # 5 has no divisor under 4 but 1
  np.testing.assert_allclose(batch_deviation(images(1), 4), 1e-4, rtol=1e-4)


def test_a_batch_over_eight_devices_has_the_logits_of_one(critic):
  net, variables, _ = critic
  images = normal(4, 16, 8, 8, 2)
  alone = run(net, variables, images)[0]
  mesh = Mesh(np.array(jax.devices()), ("data",))
  spread = jax.device_put(images, NamedSharding(mesh, PartitionSpec("data")))
  everywhere = jax.device_put(variables, NamedSharding(mesh, PartitionSpec()))
  logits = run(net, everywhere, spread)[0]
  np.testing.assert_allclose(logits, alone, rtol=1e-4, atol=1e-5)


def test_bfloat16_nets_are_near_float32_ones_and_their_results_float32(generator, critic):
  for (net, variables, x), rough in ((generator, 0.1), (critic, 0.1)):
    exact, half = (run(one, variables, x) for one in (net, net.clone(dtype=jnp.bfloat16)))
    if isinstance(exact, tuple):
      exact, half = exact[0], half[0]
    assert half.dtype == jnp.float32
    assert jnp.abs(half - exact).max() < rough * jnp.abs(exact).max()


@pytest.mark.slow
def test_labels_change_images_and_logits():
  labels = jnp.array([0, 1, 2])
  generator, latent = StyleGAN2Generator((8, 8, 1), 8, 2, **TINY, classes=3), jnp.tile(normal(1, 1, 6), (3, 1))
  images = run(generator, start(generator, latent, labels), latent, labels)
  critic = StyleGAN2Critic(**TINY, classes=3)
  logits, _ = run(critic, start(critic, images, labels), jnp.tile(images[:1], (3, 1, 1, 1)), labels)
  for values in (images, logits):
    assert all(jnp.abs(values[i] - values[i - 1]).max() > 1e-4 for i in range(3))


@pytest.mark.slow
def test_a_decoder_takes_one_w_or_one_for_each_layer_and_every_token_makes_its_place():
  net, tokens, w = StyleDecoder((8, 8, 3), base=64, most=6), normal(1, 2, 4, 4, 5), normal(2, 2, 7)
  variables = stirred(start(net, tokens, w))
  generate = jax.jit(net.apply)
  images = generate(variables, tokens, w)
  assert images.shape == (2, 8, 8, 3)
  np.testing.assert_allclose(generate(variables, tokens, jnp.tile(w[:, None], (1, 3, 1))), images, rtol=1e-5, atol=1e-6)
  _none_is_zero(jax.jit(jax.grad(lambda v: (net.apply(v, tokens, w) ** 2).sum()))(variables))
  moved = jnp.abs(generate(variables, tokens.at[0, 0, 0].add(1.0), w) - images)
  assert moved[0, 0, 0].max() > 1e-4
  assert moved[0, 7, 7].max() == 0  # kernels of 3, 4 and 3 do not reach so far
  assert moved[1].max() == 0
