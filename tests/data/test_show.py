"""A grid keeps order, range and size."""

import numpy as np
import pytest

from genjax.data.show import grid


def test_a_grid_is_nearly_square_and_keeps_the_order():
  values = np.linspace(-1, 1, 5, dtype=np.float32)
  images = np.broadcast_to(values[:, None, None, None], (5, 64, 64, 1))
  pixels = grid(images)
  assert pixels.shape == (2 * 66 + 2, 3 * 66 + 2, 1)
  assert pixels.dtype == np.uint8
  centres = [pixels[2 + 66 * (i // 3) + 30, 2 + 66 * (i % 3) + 30, 0] for i in range(6)]
  assert centres == [0, 64, 128, 191, 255, 255]  # round((x + 1) * 127.5), the last cell is empty


def test_tiny_images_are_enlarged_by_repeating_pixels():
  image = np.array([[-1.0, 1.0], [1.0, -1.0]], np.float32).reshape(1, 2, 2, 1)
  pixels = grid(image)[2:-2, 2:-2, 0]
  np.testing.assert_array_equal(pixels, np.kron(np.array([[0, 255], [255, 0]]), np.ones((32, 32))))


@pytest.mark.parametrize("size", [8, 32, 50, 96, 300])
def test_large_images_keep_their_size(size):
  height = grid(np.zeros((1, size, size, 3), np.float32)).shape[0] - 4
  assert height == size * max(1, round(64 / size))


def test_the_range_is_fixed_and_never_stretched():
  assert grid(np.full((1, 64, 64, 3), 0.5, np.float32))[5, 5].tolist() == [191, 191, 191]
  assert grid(np.full((1, 64, 64, 3), 7.0, np.float32))[5, 5].tolist() == [255, 255, 255]


def test_columns_can_be_chosen():
  assert grid(np.zeros((4, 64, 64, 1)), columns=4).shape[:2] == (68, 4 * 66 + 2)


@pytest.mark.parametrize("shape", [(4, 8, 8), (0, 8, 8, 1), (4, 8, 8, 2)])
def test_what_is_no_image_is_refused(shape):
  with pytest.raises(ValueError, match="wanted"):
    grid(np.zeros(shape))
