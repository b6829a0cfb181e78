import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.translator import PatchCritic, Translator

IMAGES = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 1)).astype(np.float32)
SMALL = Translator(4, halvings=1, blocks=1, kernel=3)


def number(net, *shape):
  return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(net.init, jax.random.key(0), jnp.zeros(shape))))


def test_published_nets_have_their_number_of_parameters():
  """Those of the released code, whose transposed convolutions are 3x3."""
  assert number(Translator(), 1, 256, 256, 3) == 11_378_179 + (16 - 9) * (256 * 128 + 128 * 64)
  assert number(PatchCritic(), 1, 256, 256, 3) == 2_764_737


def test_patches_of_an_image_of_256_are_30x30():
  critic = PatchCritic()
  shape = lambda key, images: critic.apply(critic.init(key, images), images)[0]
  assert jax.eval_shape(shape, jax.random.key(0), jnp.zeros((1, 256, 256, 3))).shape == (1, 30, 30)


def test_brightness_is_no_matter_even_at_the_edges():
  """Each channel's mean is taken away, and reflected edges leave the image's own brightness beyond them."""
  variables = SMALL.init(jax.random.key(0), IMAGES)
  out = SMALL.apply(variables, IMAGES)
  assert (out.shape, out.dtype) == (IMAGES.shape, jnp.float32)
  assert jnp.abs(out).max() <= 1
  np.testing.assert_allclose(SMALL.apply(variables, IMAGES + 0.3), out, atol=1e-4)
  assert np.abs(SMALL.apply(variables, -IMAGES) - out).max() > 0.1


def test_the_result_has_the_channels_that_are_asked_for():
  net = SMALL.clone(channels=3)
  assert net.apply(net.init(jax.random.key(0), IMAGES), IMAGES).shape == (2, 8, 8, 3)


def test_sides_that_do_not_halve_are_refused():
  with pytest.raises(ValueError, match="images 9x9 are not 2 times a grid"):
    SMALL.init(jax.random.key(0), jnp.zeros((1, 9, 9, 1)))
