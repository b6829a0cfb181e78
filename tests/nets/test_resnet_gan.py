"""The residual nets of a GAN, and layers of spectrally normalised weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.autoencoder import Autoencoder
from genjax.nets.dcgan import DCGANCritic
from genjax.nets.mlp import MLPCritic
from genjax.nets.resnet_gan import ResNetGenerator, SpectralResNetCritic, doubled
from genjax.nets.spectral import SpectralConv, SpectralDense

KEY = jax.random.key(0)


def _start(net, *args):
  """jitted: one compilation, where flax would make one for each operation."""
  return jax.jit(net.init)(KEY, *args)


def _count(net, *args):
  return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(net.init, KEY, *args)["params"]))


@pytest.mark.parametrize(("width", "by_hand"), [(128, 1_204_483), (256, 4_276_739)])
def test_the_generators_of_wgan_gp_and_sn_gan_have_as_many_parameters_as_by_hand(width, by_hand):
  """One linear layer; three units of two 3x3, one 1x1 and two norms; a norm and the last 3x3."""
  linear = (128 + 1) * 16 * width
  unit = 2 * (9 * width * width + width) + (width * width + width) + 2 * 2 * width
  assert linear + 3 * unit + 2 * width + 9 * width * 3 + 3 == by_hand
  assert _count(ResNetGenerator((32, 32, 3), width), jnp.zeros((1, 128))) == by_hand


def test_sn_gans_critic_has_as_many_parameters_as_wgan_gps():
  assert _count(SpectralResNetCritic(), jnp.zeros((1, 32, 32, 3))) == 1_053_825


def test_a_generator_gives_images_of_any_doubling():
  net = ResNetGenerator((8, 12, 1), width=6, stages=2, classes=3)
  latent, labels = jax.random.normal(KEY, (3, 4)), jnp.arange(3)
  images = jax.jit(net.apply)(_start(net, latent, labels), latent, labels)
  assert images.shape == (3, 8, 12, 1)
  assert images.dtype == jnp.float32
  assert jnp.abs(images).max() <= 1


def test_doubling_repeats_every_pixel():
  x = np.arange(12.0).reshape(1, 2, 3, 2)
  np.testing.assert_array_equal(doubled(jnp.asarray(x)), x.repeat(2, 1).repeat(2, 2))


def _train(net, variables, *args):
  """A pass in training. A layer has `train` as a field, a net in its call."""
  net, more = (net.clone(train=True), {}) if hasattr(net, "train") else (net, {"train": True})
  return net.apply(variables, *args, **more, mutable=["spectral"])


def _settled(net, *args, passes=60):
  """Variables after as many power iterations."""
  variables = _start(net, *args)
  step = jax.jit(lambda variables: variables | _train(net, variables, *args)[1])
  for _ in range(passes):
    variables = step(variables)
  return variables


@pytest.mark.parametrize(
  "net", [SpectralDense(5), SpectralConv(5, (3, 3)), SpectralConv(4, (4, 4), (2, 2), ((1, 1), (1, 1)))]
)
def test_a_layer_is_that_of_its_weights_over_their_largest_singular_value(net):
  dense = isinstance(net, SpectralDense)
  x = jax.random.normal(KEY, (2, 7) if dense else (2, 6, 6, 3))
  variables = _settled(net, x)
  kernel = np.asarray(variables["params"]["kernel"], np.float64)
  sigma = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]))[1][0]
  if dense:
    expected = x @ (kernel / sigma)
  else:
    padding = "SAME" if net.strides == (1, 1) else net.padding
    expected = jax.lax.conv_general_dilated(
      x, jnp.asarray(kernel / sigma, jnp.float32), net.strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
  np.testing.assert_allclose(net.apply(variables, x), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
  ("net", "shape"),
  [
    (SpectralResNetCritic(4), (2, 4, 4, 3)),
    (DCGANCritic((4, 6), norm="spectral"), (2, 4, 4, 3)),
    (MLPCritic((6, 5), "leaky", spectral=True), (2, 1, 1, 2)),
  ],
)
def test_every_weight_of_a_spectral_critic_is_normalised_and_its_vectors_are_updated_in_training(net, shape):
  x = jax.random.normal(KEY, shape)
  variables = _start(net, x)
  kernels = [
    path for path, _ in jax.tree.leaves_with_path(variables["params"]) if path[-1].key in ("kernel", "embedding")
  ]
  vectors = [path for path, _ in jax.tree.leaves_with_path(variables["spectral"])]
  assert [path[:-1] for path in kernels] == [path[:-1] for path in vectors]
  _, after = jax.jit(lambda variables: _train(net, variables, x))(variables)
  for old, new in zip(jax.tree.leaves(variables["spectral"]), jax.tree.leaves(after["spectral"]), strict=True):
    np.testing.assert_allclose(jnp.linalg.norm(new), 1, rtol=1e-5)
    assert old.size == 1 or not np.array_equal(old, new)


def test_a_spectral_mlp_of_one_lipschitz_layers_has_slope_at_most_one():
  net = MLPCritic((16, 16), spectral=True)
  x = jax.random.normal(KEY, (64, 1, 1, 3)) * 2
  variables = _settled(net, x)
  wild = jax.tree.map(lambda leaf: 100 * leaf, variables["params"])
  for params in (variables["params"], wild):
    f = lambda params, point: net.apply(variables | {"params": params}, point[None])[0][0]
    slopes = jax.jit(jax.vmap(jax.grad(f, 1), (None, 0)))(params, x)
    assert jnp.linalg.norm(slopes.reshape(64, -1), axis=1).max() <= 1 + 1e-4


def test_labels_enter_a_spectral_critic_by_projection():
  images, labels = jnp.ones((3, 8, 8, 1)), jnp.arange(3)
  for net in (SpectralResNetCritic(4, classes=3), DCGANCritic((4,), norm="spectral", classes=3)):
    logits, _ = jax.jit(net.apply)(_start(net, images, labels), images, labels)
    assert len(set(np.asarray(logits).tolist())) == 3


@pytest.mark.parametrize(("error", "by_numpy"), [("squared", np.square), ("absolute", np.abs)])
def test_an_autoencoders_logit_is_minus_its_error(error, by_numpy):
  net = Autoencoder((6,), code=3, error=error)
  images = jax.random.normal(KEY, (4, 2, 3, 1))
  logits, aux = net.apply(net.init(KEY, images), images)
  assert aux["reconstruction"].shape == images.shape
  assert aux["features"].shape == (4, 3)
  np.testing.assert_allclose(logits, -by_numpy(images - aux["reconstruction"]).mean((1, 2, 3)), rtol=1e-5)
  assert (logits <= 0).all()
  with pytest.raises(ValueError, match=r"error 'huber'; use 'squared' \(EBGAN\) or 'absolute' \(BEGAN\)"):
    net.clone(error="huber").init(KEY, images)
