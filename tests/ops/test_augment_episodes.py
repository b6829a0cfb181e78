"""Augmentation of few-shot images: Pillow's colours, the released order, nothing without a key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from genjax.ops.augment import jitter, prepare_episodes

RAW = np.random.default_rng(0).integers(0, 256, (4, 9, 7, 3), np.uint8)


def test_jitter_is_pillows_three_enhancements_in_the_order_that_the_key_draws():
  ours = np.asarray(jax.jit(lambda key, images: jitter(key, images, 0.4))(jax.random.key(3), RAW.astype(np.float32)))
  for index, raw in enumerate(RAW):
    key_order, key_factors = jax.random.split(jax.random.fold_in(jax.random.key(3), index))
    factors = np.asarray(jax.random.uniform(key_factors, (3,), minval=0.6, maxval=1.4))
    picture = Image.fromarray(raw)
    for which in np.asarray(jax.random.permutation(key_order, 3)):
      enhance = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[which]
      picture = enhance(picture).enhance(float(factors[which]))
    # Pillow rounds down to 8 bits three times, its grey levels too; a later factor stretches that by up to 1.4.
    assert np.abs(np.asarray(picture, np.float32) - ours[index]).max() < 1.2 * (1 + 1.4 + 1.4**2)


def test_strength_0_changes_nothing_and_images_do_not_depend_on_each_other():
  images = RAW.astype(np.float32)
  np.testing.assert_allclose(jitter(jax.random.key(0), images, 0.0), images, atol=1e-4)
  np.testing.assert_allclose(
    jitter(jax.random.key(0), images, 0.4)[:2], jitter(jax.random.key(0), images[:2], 0.4), atol=1e-3
  )


def test_grey_images_have_no_saturation_but_brightness_and_contrast():
  grey = RAW[..., :1].astype(np.float32)
  out = jitter(jax.random.key(0), grey, 0.4)
  assert out.shape == grey.shape
  assert jnp.abs(out - grey).max() > 1


def batch():
  return {"support": RAW[None].repeat(2, 0), "query": RAW[None, :2].repeat(2, 0), "support_label": np.zeros((2, 4))}


def test_without_a_key_images_are_only_brought_to_mean_and_deviation():
  prepared = prepare_episodes(None, batch(), mean=(100.0, 110.0, 120.0), std=(50.0, 60.0, 70.0), pad=2, flip=True)
  expected = (RAW - np.array([100.0, 110, 120])) / np.array([50.0, 60, 70])
  np.testing.assert_allclose(prepared["support"][1], expected, rtol=1e-4, atol=1e-5)
  assert prepared["query"].shape == (2, 2, 9, 7, 3)
  np.testing.assert_array_equal(prepared["support_label"], batch()["support_label"])


def test_with_a_key_every_image_is_augmented_in_its_own_way_and_the_key_decides():
  make = jax.jit(lambda key: prepare_episodes(key, batch(), mean=(127.5,), std=(127.5,), pad=2, jitter=0.4, flip=True))
  one, again, other = make(jax.random.key(0)), make(jax.random.key(0)), make(jax.random.key(1))
  np.testing.assert_array_equal(one["support"], again["support"])
  assert not np.array_equal(one["support"], other["support"])
  assert not np.array_equal(one["support"][0], one["support"][1])  # the same images twice
  assert not any(
    np.array_equal(*pair) for pair in zip(one["support"][0][:2], one["query"][0], strict=True)
  )  # and once more


def test_what_jitter_does_not_take_is_refused():
  with pytest.raises(ValueError, match="jitter 2"):
    jitter(jax.random.key(0), RAW.astype(np.float32), 2.0)
  with pytest.raises(ValueError, match="channels"):
    jitter(jax.random.key(0), np.zeros((1, 2, 2, 2), np.float32), 0.4)
