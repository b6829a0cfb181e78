import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.coder import (
  ConvDecoder,
  ConvEncoder,
  MLPDecoder,
  MLPEncoder,
  PoolingEncoder,
  UpsamplingDecoder,
)

SHAPE = (8, 4, 3)
IMAGES = np.random.default_rng(0).uniform(-1, 1, (2, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize(
  ("net", "size"),
  [(MLPEncoder((5, 6)), 6), (ConvEncoder((4, 8), features=7), 7), (PoolingEncoder((4, 8), features=7), 7)],
)
def test_an_encoder_gives_features_of_its_size(net, size):
  features = net.apply(net.init(jax.random.key(0), IMAGES), IMAGES)
  assert (features.shape, features.dtype) == ((2, size), jnp.float32)


@pytest.mark.parametrize("net", [MLPDecoder(SHAPE, (5,)), ConvDecoder(SHAPE, (8, 4)), UpsamplingDecoder(SHAPE, (8, 4))])
def test_a_decoder_gives_real_numbers_of_the_images_shape(net):
  latents = 100 * jax.random.normal(jax.random.key(1), (2, 3))
  variables = jax.tree.map(lambda leaf: 10 * leaf, net.init(jax.random.key(0), latents))
  images = net.apply(variables, latents)
  assert (images.shape, images.dtype) == ((2, *SHAPE), jnp.float32)
  assert jnp.abs(images).max() > 1


def test_the_papers_encoder_is_one_hidden_layer_of_tanh():
  net = MLPEncoder((4,))
  variables = net.init(jax.random.key(0), IMAGES)
  kernel = variables["params"]["Dense_0"]["kernel"]
  np.testing.assert_allclose(
    net.apply(variables, IMAGES), np.tanh(IMAGES.reshape(2, -1) @ kernel), rtol=1e-5, atol=1e-6
  )


@pytest.mark.parametrize("net", [ConvEncoder((4, 4, 4)), ConvDecoder((4, 4, 1), (4, 4, 4))])
def test_images_that_do_not_halve_so_often_are_refused(net):
  with pytest.raises(ValueError, match="8 times a grid"):
    net.init(jax.random.key(0), IMAGES if isinstance(net, ConvEncoder) else jnp.zeros((1, 2)))
