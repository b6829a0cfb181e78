"""Generators and critics of a GAN: MLP and DCGAN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from genjax.nets.dcgan import DCGANCritic, DCGANGenerator, Doubling
from genjax.nets.mlp import MLPCritic, MLPGenerator

KEY = jax.random.key(0)


def _start(net, *args):
  """jitted: one compilation, where flax would make one for each operation."""
  return jax.jit(net.init)(KEY, *args)


def _count(variables):
  return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def _shapes(net, *args):
  return jax.eval_shape(net.init, KEY, *args)


def test_the_doubling_is_the_transposed_convolution_of_lax():
  net, x = Doubling(3), jax.random.normal(KEY, (2, 5, 4, 6))
  variables = _start(net, x)
  kernel = variables["params"]["kernel"] * 50
  ours = net.apply({"params": {"kernel": kernel, "bias": jnp.array([1.0, 2.0, 3.0])}}, x)
  theirs = lax.conv_transpose(
    x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), transpose_kernel=True
  )
  assert ours.shape == (2, 10, 8, 3)
  np.testing.assert_allclose(ours, theirs + np.array([1.0, 2.0, 3.0])[None, None, None], atol=1e-4)


def test_dcgan_at_64_has_the_papers_layers():
  """4x4x1024, then 512, 256, 128 channels and the image; 4x4 kernels, two numbers of each norm, one bias a channel."""
  latent = jnp.zeros((1, 100))
  variables = _shapes(DCGANGenerator((64, 64, 3)), latent)
  dense = 100 * 16 * 1024 + 16 * 1024
  convolutions = sum(16 * a * b + b for a, b in ((1024, 512), (512, 256), (256, 128), (128, 3)))
  assert _count(variables) == dense + convolutions + 2 * (1024 + 512 + 256 + 128)
  images = jnp.zeros((1, 64, 64, 3))
  variables = _shapes(DCGANCritic(), images)
  convolutions = sum(16 * a * b + b for a, b in ((3, 128), (128, 256), (256, 512), (512, 1024)))
  assert _count(variables) == convolutions + 2 * (256 + 512 + 1024) + 16 * 1024 + 1


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_small_images_are_images(norm):
  net = DCGANGenerator((8, 8, 1), (16, 8), norm=norm)
  variables = _start(net, jnp.zeros((1, 5)))
  images = jax.jit(net.apply)(variables, jax.random.normal(KEY, (3, 5)))
  assert images.shape == (3, 8, 8, 1)
  assert images.dtype == jnp.float32
  assert jnp.abs(images).max() <= 1
  critic = DCGANCritic((8, 16), norm=norm)
  logits, aux = jax.jit(critic.apply)(_start(critic, images), images)
  assert logits.shape == (3,)
  assert aux["features"].shape == (3, 2 * 2 * 16)


def test_statistics_of_the_batch_are_used_in_training_and_running_ones_elsewhere():
  net = DCGANCritic((4, 8))
  images = jax.random.normal(KEY, (6, 8, 8, 1))
  variables = _start(net, images)
  (trained, _), after = net.apply(variables, images, train=True, mutable=["batch_stats"])
  alone, _ = net.apply(variables, images[:1])
  np.testing.assert_allclose(alone[0], net.apply(variables, images)[0][0], rtol=1e-5)  # no image sees another
  (fewer, _), _ = net.apply(variables, images[:2], train=True, mutable=["batch_stats"])
  assert not np.allclose(fewer, trained[:2], rtol=1e-3)
  old, new = (jax.tree.leaves(tree["batch_stats"]) for tree in (variables, after))
  assert all(not np.array_equal(a, b) for a, b in zip(old, new, strict=True))


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_a_critic_without_batch_statistics_sees_each_image_alone(norm):
  net = DCGANCritic((4, 8), norm=norm)
  images = jax.random.normal(KEY, (6, 8, 8, 1))
  variables = _start(net, images)
  assert set(variables) == {"params"}
  together = net.apply(variables, images)[0]
  np.testing.assert_allclose(together, [net.apply(variables, x[None])[0][0] for x in images], rtol=1e-4, atol=1e-6)


def test_an_mlp_makes_points_and_images_bounded_or_not():
  latent = jax.random.normal(KEY, (7, 3)) * 50
  for shape, bounded in (((1, 1, 2), False), ((4, 5, 3), True)):
    net = MLPGenerator(shape, (8, 8), bounded=bounded)
    images = jax.jit(net.apply)(_start(net, latent), latent)
    assert images.shape == (7, *shape)
    assert (jnp.abs(images).max() <= 1) == bounded
  critic = MLPCritic((9, 4))
  variables = _start(critic, images)
  assert _count(variables) == 60 * 9 + 9 + 9 * 4 + 4 + 4 + 1
  assert critic.apply(variables, images)[1]["features"].shape == (7, 4)


NETS = {
  "mlp": (MLPGenerator((4, 4, 1), (8,), classes=3), MLPCritic((8,), classes=3)),
  "dcgan": (DCGANGenerator((4, 4, 1), (8,), classes=3), DCGANCritic((8,), classes=3)),
}


@pytest.mark.parametrize("name", NETS)
def test_a_label_changes_the_image_and_its_logit(name):
  generator, critic = NETS[name]
  latent, labels = jnp.ones((3, 2)), jnp.arange(3)
  images = jax.jit(generator.apply)(_start(generator, latent, labels), latent, labels)
  assert len({np.asarray(image).tobytes() for image in images}) == 3
  same = jnp.broadcast_to(images[:1], images.shape)
  logits, _ = jax.jit(critic.apply)(_start(critic, same, labels), same, labels)
  assert len(set(np.asarray(logits).tolist())) == 3


def test_the_projection_is_the_products_of_features_and_the_labels_vector():
  critic = MLPCritic((4,), classes=3)
  images, labels = jax.random.normal(KEY, (3, 2, 2, 1)), jnp.array([2, 0, 1])
  variables = _start(critic, images, labels)
  logits, aux = critic.apply(variables, images, labels)
  params = jax.tree.map(np.asarray, variables["params"])
  features = np.maximum(np.asarray(images).reshape(3, 4) @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"], 0)
  plain = features @ params["logit"]["kernel"][:, 0] + params["logit"]["bias"]
  projected = (params["embedding"]["embedding"][np.asarray(labels)] * features).sum(1)
  np.testing.assert_allclose(aux["features"], features, rtol=1e-5)
  np.testing.assert_allclose(logits, plain + projected, rtol=1e-5)


@pytest.mark.parametrize("critic", [MLPCritic((4,), kernels=2), DCGANCritic((4, 8), norm="none", kernels=2)])
def test_minibatch_discrimination_shows_a_critic_that_images_are_alike(critic):
  images = jax.random.normal(KEY, (3, 4, 4, 1))
  variables = _start(critic, images)
  variables["params"]["Discrimination_0"]["projection"] *= 30  # at the start all images are near one another
  apply = jax.jit(critic.apply)
  logits, aux = apply(variables, images)
  params = jax.tree.map(np.asarray, variables["params"])
  features, projection = np.asarray(aux["features"]), params["Discrimination_0"]["projection"]
  assert projection.shape == (features.shape[1], 2, 5)
  rows = np.einsum("ba,akc->bkc", features, projection)
  near = np.exp(-np.abs(rows[:, None] - rows[None]).sum(-1)).sum(1)
  kernel, bias = params["logit"]["kernel"][:, 0], params["logit"]["bias"]
  np.testing.assert_allclose(logits, np.concatenate([features, near], 1) @ kernel + bias, rtol=1e-4, atol=1e-5)
  alike, _ = apply(variables, jnp.broadcast_to(images[:1], images.shape))
  copies = features[0] @ kernel[:-2] + 3 * kernel[-2:].sum() + bias  # an image among two copies of itself
  np.testing.assert_allclose(alike, np.full(3, copies), rtol=1e-4, atol=1e-5)
  assert abs(copies - logits[0]) > 1e-4


def test_what_does_not_fit_is_refused():
  with pytest.raises(ValueError, match="images 12x12 are not 8 times a grid; use another number of widths than 3"):
    DCGANGenerator((12, 12, 1), (8, 8, 8)).init(KEY, jnp.ones((1, 2)))
  with pytest.raises(ValueError, match="images 4x4 are not 16 times a grid"):
    DCGANCritic().init(KEY, jnp.ones((1, 4, 4, 1)))
  with pytest.raises(ValueError, match="norm 'group'; use 'batch', 'layer' or 'none'"):
    DCGANCritic((4, 4), norm="group").init(KEY, jnp.ones((1, 4, 4, 1)))
  with pytest.raises(ValueError, match="activation 'gelu'; use one of relu, leaky, tanh, swish"):
    MLPCritic(activation="gelu").init(KEY, jnp.ones((1, 4, 4, 1)))
