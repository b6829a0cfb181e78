"""One rounding rule at the door of every metric, and errors that say what came."""

import jax.numpy as jnp
import numpy as np
import pytest

from genjax.metrics.pixels import as_uint8, paired


def test_floats_are_rounded_to_the_nearest_of_256_levels_and_clipped():
  values = np.array([-1.5, -1.0, -0.999, 0.0, 0.5, 1.0, 1.01], np.float32)
  wanted = [0, 0, 0, 128, 191, 255, 255]  # (0 + 1) * 127.5 rounds half to even
  np.testing.assert_array_equal(as_uint8(values.reshape(7, 1, 1, 1)).ravel(), wanted)


def test_all_256_levels_come_back_from_the_unit_range():
  levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
  np.testing.assert_array_equal(as_uint8(jnp.asarray(levels / np.float32(127.5) - 1)), levels)
  np.testing.assert_array_equal(as_uint8(levels), levels)


def test_bfloat16_images_are_images():
  assert as_uint8(jnp.ones((1, 2, 2, 1), jnp.bfloat16)).max() == 255


@pytest.mark.parametrize(
  ("images", "message"),
  [
    (np.zeros((2, 8, 8), np.uint8), r"shape \(2, 8, 8\); wanted \[N, H, W, C\]"),
    (np.zeros((0, 8, 8, 1), np.uint8), "at least one image"),
    (np.zeros((2, 8, 8, 1), np.int32), "are int32; wanted uint8"),
    (np.full((3, 8, 8, 1), np.nan, np.float32), "3 of 3 things hold NaN"),
  ],
)
def test_what_is_no_image_is_refused(images, message):
  with pytest.raises(ValueError, match=message):
    as_uint8(images, name="things")


def test_images_of_another_size_are_refused():
  with pytest.raises(ValueError, match="samples are 4x4x1 and the real images 8x8x1"):
    paired(np.zeros((2, 4, 4, 1), np.uint8), np.zeros((5, 8, 8, 1), np.uint8), name="samples")
