import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ops import levels as of_levels
from genjax.ops.augment import to_unit
from genjax.ops.levels import to_images, to_levels

binarised = jax.jit(of_levels.binarised)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_images_of_levels_have_these_levels(levels):
  all_levels = jnp.arange(levels)[None, :, None, None]
  images = to_images(all_levels, levels)
  assert (images.min(), images.max()) == (-1, 1)
  np.testing.assert_array_equal(to_levels(images, levels), all_levels)


def test_the_256_levels_are_the_bytes_that_images_were_read_from():
  stored = np.arange(256, dtype=np.uint8)[None, :, None, None]
  np.testing.assert_array_equal(to_levels(to_unit(stored), 256), stored)
  np.testing.assert_array_equal(to_images(to_levels(to_unit(stored), 256), 256), to_unit(stored))


def test_a_pixel_is_white_as_often_as_it_is_light():
  grey = jnp.full((500, 4, 4, 1), 0.4)  # white with probability 0.7
  drawn = binarised(jax.random.key(0), grey)
  assert set(np.unique(drawn)) == {-1, 1}
  assert abs((drawn == 1).mean() - 0.7) < 4 * (0.21 / 8000) ** 0.5
  assert not np.array_equal(drawn, binarised(jax.random.key(1), grey))


def test_the_draw_that_belongs_to_an_image_is_the_same_in_every_batch_and_another_for_every_image():
  images = jnp.asarray(np.random.default_rng(0).uniform(-0.8, 0.8, (200, 8, 8, 1)), jnp.float32)
  drawn = binarised(None, images)
  np.testing.assert_array_equal(binarised(None, images[::-1][:7]), drawn[::-1][:7])
  noise = np.asarray((drawn - images) / jnp.sqrt(1 - images**2)).reshape(200, 64)
  assert abs(noise.mean()) < 4 / noise.size**0.5
  assert np.abs(np.corrcoef(noise.T) - np.eye(64)).max() < 5 / 200**0.5
  slight = images[:1].at[0, 0, 0, 0].add(2 / 255)
  assert not np.array_equal(binarised(None, slight), drawn[:1])


def test_black_and_white_images_stay_as_they_are():
  images = jnp.where(jnp.arange(64).reshape(1, 8, 8, 1) % 3 == 0, 1.0, -1.0)
  for key in (None, jax.random.key(0)):
    np.testing.assert_array_equal(binarised(key, images), images)
