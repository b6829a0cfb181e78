"""Ranges are exact, augmentation moves pixels and nothing else, and 1 device equals 8."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from genjax.ops.augment import crop, flip, pad_crop, prepare, to_uint8, to_unit

KEY = jax.random.key(0)


def _images(batch=64, height=6, width=5, channels=2):
  """Every pixel spells its place: the value is unique within an image, 1 or more."""
  image = 1 + np.arange(height * width * channels, dtype=np.uint8).reshape(height, width, channels)
  return np.broadcast_to(image, (batch, height, width, channels)).copy()


def test_the_range_is_minus_one_to_one_and_black_is_minus_one():
  levels = jnp.arange(256, dtype=jnp.uint8)
  unit = to_unit(levels)
  np.testing.assert_allclose(unit, np.linspace(-1, 1, 256), atol=1e-7)
  assert unit.dtype == jnp.float32
  assert (float(unit[0]), float(unit[-1])) == (-1.0, 1.0)
  np.testing.assert_array_equal(jax.jit(to_unit)(levels), unit)


def test_quantising_undoes_the_scaling_exactly():
  levels = np.arange(256, dtype=np.uint8)
  for function in (lambda x: to_uint8(to_unit(x)), jax.jit(lambda x: to_uint8(to_unit(x)))):
    np.testing.assert_array_equal(function(levels), levels)
  np.testing.assert_array_equal(jax.jit(to_uint8)(jax.jit(to_unit)(levels)), levels)


def test_quantising_rounds_to_the_nearest_and_clips():
  values = np.array(
    [-7.0, -1.0, (100.4 - 127.5) / 127.5, (100.6 - 127.5) / 127.5, 1.0, 3.0, np.inf, -np.inf], np.float32
  )
  np.testing.assert_array_equal(to_uint8(values), [0, 0, 100, 101, 255, 255, 255, 0])


def test_floats_are_taken_to_be_in_range_already():
  values = jnp.array([-1.0, 0.25, 1.0], jnp.bfloat16)
  np.testing.assert_array_equal(to_unit(values), np.array([-1.0, 0.25, 1.0], np.float32))
  with pytest.raises(TypeError, match="images are int32; wanted uint8"):
    to_unit(jnp.zeros(3, jnp.int32))


def test_about_half_of_the_images_are_mirrored_left_to_right():
  images = _images(2000)
  out = np.asarray(jax.jit(flip)(KEY, images))
  mirrored = (out == images[:, :, ::-1]).all((1, 2, 3))
  assert (mirrored | (out == images).all((1, 2, 3))).all()
  assert abs(mirrored.mean() - 0.5) < 0.06  # 5 standard deviations


def test_crops_are_patches_from_uniform_places():
  images = _images(3000, height=6, width=5)
  out = np.asarray(jax.jit(crop, static_argnums=2)(KEY, images, 4))
  assert out.shape == (3000, 4, 4, 2)
  assert out.dtype == np.uint8
  patches = {(t, left): images[0, t : t + 4, left : left + 4] for t in range(3) for left in range(2)}
  counts = {place: (out == patch).all((1, 2, 3)).sum() for place, patch in patches.items()}
  assert sum(counts.values()) == 3000
  assert all(abs(count - 500) < 5 * np.sqrt(500) for count in counts.values())
  assert crop(KEY, images, (6, 2)).shape == (3000, 6, 2, 2)


def test_a_crop_of_the_whole_image_is_the_image():
  images = _images(4, height=5)
  np.testing.assert_array_equal(crop(KEY, images, 5), images)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_padding_shifts_by_at_most_pad_and_fills_with_black(dtype):
  images = _images(500).astype(dtype)
  out = np.asarray(jax.jit(pad_crop, static_argnums=2)(KEY, images, 2))
  black = 0 if dtype == np.uint8 else -1
  padded = np.pad(images[0], ((2, 2), (2, 2), (0, 0)), constant_values=black)
  shifts = [padded[t : t + 6, left : left + 5] for t in range(5) for left in range(5)]
  result = np.array([[(image == shift).all() for shift in shifts] for image in out])
  assert (result.sum(1) == 1).all()
  assert result.any(0).all()
  np.testing.assert_array_equal(pad_crop(KEY, images, 0), images)


@pytest.mark.parametrize("kind", ["flip", "crop", "pad_crop", "prepare"])
def test_an_image_does_not_depend_on_the_others_of_its_batch(kind):
  function = {
    "flip": flip,
    "crop": lambda key, images: crop(key, images, 3),
    "pad_crop": lambda key, images: pad_crop(key, images, 1),
    "prepare": lambda key, images: prepare(key, {"image": images}, flip=True, pad=1, crop=4)["image"],
  }[kind]
  images = _images(64)
  np.testing.assert_array_equal(function(KEY, images)[:7], function(KEY, images[:7]))
  assert (function(KEY, images) != function(jax.random.key(1), images)).any()


def test_one_device_and_eight_give_the_same():
  images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), np.uint8)
  step = jax.jit(lambda key, batch: prepare(key, batch, flip=True, pad=2, crop=6))
  batch = {"image": images, "label": np.arange(64, dtype=np.int32)}
  alone = step(KEY, jax.device_put(batch, jax.devices()[0]))
  mesh = Mesh(np.array(jax.devices()), ("data",))
  spread = step(KEY, jax.device_put(batch, NamedSharding(mesh, PartitionSpec("data"))))
  assert len(jax.devices()) == 8
  for name in ("image", "label"):
    np.testing.assert_array_equal(alone[name], spread[name])


def test_preparing_scales_the_image_and_leaves_the_rest():
  batch = {"image": _images(4), "label": jnp.arange(4), "weight": jnp.ones(4)}
  out = jax.jit(prepare)(KEY, batch)
  assert set(out) == set(batch)
  np.testing.assert_array_equal(out["image"], to_unit(batch["image"]))
  np.testing.assert_array_equal(out["label"], batch["label"])
  cropped = prepare(KEY, {"image": _images(4)}, flip=True, pad=3, crop=8)
  assert set(cropped) == {"image"}
  assert cropped["image"].shape == (4, 8, 8, 2)
  assert prepare(KEY, {"image": _images(4)}, pad=3)["image"].shape == (4, 6, 5, 2)


def test_the_padding_of_prepare_is_black_in_either_range():
  raw = {"image": np.full((50, 4, 4, 1), 200, np.uint8)}
  unit = {"image": to_unit(raw["image"])}
  one, other = (prepare(KEY, batch, pad=2, flip=True)["image"] for batch in (raw, unit))
  np.testing.assert_array_equal(one, other)
  assert float(one.min()) == -1.0


def test_sizes_that_do_not_fit_are_errors():
  with pytest.raises(ValueError, match="crop 7x7 does not fit in images of 6x5"):
    crop(KEY, _images(), 7)
  with pytest.raises(ValueError, match="pad -1 is negative"):
    pad_crop(KEY, _images(), -1)
  with pytest.raises(ValueError, match=r"wanted \[B, H, W, C\]"):
    flip(KEY, jnp.zeros((4, 4)))
