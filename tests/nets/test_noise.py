import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.noise import RandomDecoder, decoder, gaussian, grids

SIZES = {
  8: [4, 8],
  16: [4, 8, 16],
  28: [4, 7, 14, 28],
  32: [4, 8, 16, 32],
  64: [4, 8, 16, 32, 64],
  9: [4, 5, 9],
  5: [4, 5],
}


def _draw(noise, seed, n):
  return np.asarray(jax.jit(noise, static_argnums=1)(jax.random.key(seed), n))


def test_the_decoder_at_64_has_the_parameters_of_the_released_code():
  shapes = jax.eval_shape(RandomDecoder((64, 64, 3)).init, jax.random.key(0), jnp.zeros((1, 4, 4, 512)))["params"]
  kernels = [part["kernel"].shape for name, part in shapes.items() if name.startswith("Conv")]
  assert sorted(kernels) == sorted([(5, 5, 512, 256), (5, 5, 256, 128), (5, 5, 128, 64), (5, 5, 64, 3)])
  assert sum(int(np.prod(shape)) for shape in kernels) == 4_305_600
  assert sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes)) == 4_306_947  # with biases and norms
  assert [part["scale"].shape for name, part in shapes.items() if "Norm" in name] == [(256,), (128,), (64,)]


@pytest.mark.parametrize("size", SIZES)
def test_the_grids_double_up_to_the_size(size):
  assert grids((size, size)) == [(side, side) for side in SIZES[size]]


def test_a_rectangle_and_a_tiny_image_have_grids_too():
  assert grids((64, 32)) == [(4, 4), (8, 4), (16, 8), (32, 16), (64, 32)]
  assert grids((16, 3)) == [(4, 3), (8, 3), (16, 3)]
  assert grids((4, 4)) == [(4, 4), (4, 4)]
  assert grids((1, 2)) == [(1, 2), (1, 2)]


@pytest.mark.parametrize(
  "shape", [(8, 8, 1), (16, 16, 3), (28, 28, 1), (32, 32, 3), (64, 64, 3), (32, 8, 1), (4, 4, 1), (2, 3, 1)]
)
def test_every_image_is_stretched_to_its_whole_range(shape):
  images = _draw(decoder(shape, width=16), 0, 5)
  assert images.shape == (5, *shape)
  assert images.dtype == np.float32
  np.testing.assert_array_equal(images.min((1, 2, 3)), -1)
  np.testing.assert_allclose(images.max((1, 2, 3)), 1, atol=2e-7)  # jit rounds the stretch once or twice
  assert images.max() <= 1
  assert len({image.tobytes() for image in images}) == 5


def test_a_single_pixel_is_finite():
  assert np.isfinite(_draw(decoder((1, 1, 1), width=4), 0, 3)).all()


def test_the_last_step_is_a_doubling_of_pixels():
  images = _draw(decoder((16, 16, 1), width=8), 1, 3)
  np.testing.assert_array_equal(images, images[:, ::2, ::2].repeat(2, 1).repeat(2, 2))


def test_the_norm_stands_after_the_upsampling_and_nothing_bends():
  """A linear layer, a norm, a linear layer: scaling or negating the latent does nothing, or negates the image."""
  net = RandomDecoder((16, 16, 1), 8)
  latent = jax.random.uniform(jax.random.key(0), (2, 4, 4, 8), minval=-1.0, maxval=1.0)
  params = net.init(jax.random.key(1), latent)
  images = net.apply(params, latent)
  np.testing.assert_allclose(net.apply(params, 3 * latent), images, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(net.apply(params, -latent), -images, rtol=1e-4, atol=1e-4)
  kernel = np.asarray(params["params"]["Conv_0"]["kernel"])
  assert np.abs(kernel).max() <= 0.1 * 3**0.5 * (1 + 1e-6)
  np.testing.assert_allclose(kernel.std(), 0.1, rtol=0.05)


def test_an_image_does_not_depend_on_how_many_are_drawn():
  noise = decoder((8, 8, 1), width=8)
  np.testing.assert_allclose(_draw(noise, 3, 6)[:2], _draw(noise, 3, 2), atol=1e-5)


def _from(decoder_key, latent_key, shape, width):
  """The images of a stated decoder at a call's latents, stretched."""
  net = RandomDecoder(shape, width)
  latent = jax.random.uniform(latent_key, (4, 4, 4, width), minval=-1.0, maxval=1.0)
  images = np.asarray(net.apply(net.init(decoder_key, latent), latent))
  low, high = images.min((1, 2, 3), keepdims=True), images.max((1, 2, 3), keepdims=True)
  return 2 * (images - low) / (high - low) - 1


@pytest.mark.parametrize("seed", [0, 1])
def test_a_decoder_seed_fixes_the_decoder_and_not_the_latents(seed):
  _, key_latent = jax.random.split(jax.random.key(seed))
  images = _draw(decoder((8, 8, 1), width=8, decoder_seed=7), seed, 4)
  np.testing.assert_allclose(images, _from(jax.random.key(7), key_latent, (8, 8, 1), 8), atol=1e-5)


def test_without_a_decoder_seed_every_call_draws_its_own_decoder():
  key_net, key_latent = jax.random.split(jax.random.key(1))
  images = _draw(decoder((8, 8, 1), width=8), 1, 4)
  np.testing.assert_allclose(images, _from(key_net, key_latent, (8, 8, 1), 8), atol=1e-5)
  assert not np.allclose(images, _draw(decoder((8, 8, 1), width=8, decoder_seed=7), 1, 4), atol=0.1)


def test_the_gaussian_has_its_deviation_and_is_clipped():
  images = _draw(gaussian((10, 10, 1)), 0, 1000)
  assert images.shape == (1000, 10, 10, 1)
  assert abs(images.std() - 0.3) < 0.003  # clipping at 3.3 deviations takes 0.0004 of it
  assert abs(images.mean()) < 4 * 0.3 / np.sqrt(images.size)
  images = _draw(gaussian((10, 10, 1), std=2.0), 0, 100)
  assert images.min() == -1
  assert images.max() == 1
