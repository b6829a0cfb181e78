from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.unet import UNet, embedded

NET = UNet((4, 8), blocks=1, attention=(1,), groups=2, dropout=0.5)
IMAGES = np.random.default_rng(0).uniform(-1, 1, (3, 4, 4, 1)).astype(np.float32)
TIME = np.array([0, 3, 900], np.int32)


@cache
def wild():
  """Variables without the zeros that a new net ends with."""
  rng, shapes = np.random.default_rng(0), jax.eval_shape(NET.init, jax.random.key(0), IMAGES, TIME)
  return jax.tree.map(lambda leaf: 0.3 * rng.normal(size=leaf.shape).astype(np.float32), shapes)


def test_the_published_net_has_the_published_number_of_parameters():
  shapes = jax.eval_shape(UNet().init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)), jnp.zeros((1,)))
  assert round(sum(leaf.size for leaf in jax.tree.leaves(shapes)) / 1e6, 1) == 35.7


def test_a_new_net_sees_no_noise():
  net = UNet((2,), blocks=1, attention=(), groups=2)
  new = jax.jit(lambda key: net.init_with_output(key, IMAGES, TIME)[0])(jax.random.key(0))
  np.testing.assert_array_equal(new, jnp.zeros_like(IMAGES))


def test_every_image_is_seen_at_its_own_time():
  apply = jax.jit(NET.apply)
  out = apply(wild(), IMAGES, TIME)
  assert (out.shape, out.dtype) == (IMAGES.shape, jnp.float32)
  changed = np.abs(apply(wild(), IMAGES, TIME + np.array([0, 1, 0], np.int32)) - out).max((1, 2, 3))
  assert changed[1] > 1e-3
  np.testing.assert_allclose(changed[[0, 2]], 0, atol=1e-5)


def test_times_are_embedded_as_sines_and_cosines():
  frequencies = 10_000.0 ** -(np.arange(4) / 3)
  angles = TIME[:, None] * frequencies
  wanted = np.concatenate([np.sin(angles), np.cos(angles)], 1)
  np.testing.assert_allclose(embedded(TIME, 8), wanted, atol=1e-3)


def test_a_label_moves_its_own_image_and_the_result_has_as_many_channels_as_are_asked_for():
  net, labels = NET.clone(classes=3, outputs=5), np.array([0, 1, 3], np.int32)
  rng, shapes = np.random.default_rng(0), jax.eval_shape(net.init, jax.random.key(0), IMAGES, TIME, labels)
  variables = jax.tree.map(lambda leaf: 0.3 * rng.normal(size=leaf.shape).astype(np.float32), shapes)
  apply = jax.jit(net.apply)
  out = apply(variables, IMAGES, TIME, labels)
  assert out.shape == (3, 4, 4, 5)
  changed = np.abs(apply(variables, IMAGES, TIME, np.array([0, 2, 3], np.int32)) - out).max((1, 2, 3))
  assert changed[1] > 1e-3
  np.testing.assert_allclose(changed[[0, 2]], 0, atol=1e-5)


def test_it_drops_in_training_alone():
  drop = jax.jit(lambda key: NET.apply(wild(), IMAGES, TIME, train=True, rngs={"dropout": key}))
  assert not np.allclose(drop(jax.random.key(0)), drop(jax.random.key(1)))


def test_sizes_that_do_not_divide_are_refused():
  with pytest.raises(ValueError, match="images 5x5 are not 2 times a grid"):
    NET.init(jax.random.key(0), jnp.zeros((1, 5, 5, 1)), TIME[:1])
  with pytest.raises(ValueError, match="4 is not a multiple of groups 3"):
    NET.clone(groups=3).init(jax.random.key(0), IMAGES, TIME)
