import numpy as np

from genjax.train.log import grid
from genjax.train.points import SIDE, scatter


def test_a_point_is_a_dark_square_at_its_place_x_to_the_right_and_y_upwards():
  picture = scatter(np.array([[-1.0, -1.0], [0.5, 1.0]], np.float32).reshape(2, 1, 1, 2))
  assert picture.shape == (SIDE, SIDE, 1)
  dark = {tuple(place) for place in np.argwhere(picture[..., 0] < 200)}
  right = round(0.75 * (SIDE - 1))
  low = {(SIDE - 1 - i, j) for i in (0, 1) for j in (0, 1)}
  high = {(i, right + j) for i in (0, 1) for j in (-1, 0, 1)}
  assert dark == low | high


def test_many_points_at_a_place_are_darker_and_points_outside_stay_at_the_edge():
  points = np.zeros((5, 1, 1, 2), np.float32)
  points[4] = 7.0
  picture = scatter(points)[..., 0]
  assert picture[0, SIDE - 1] == 128
  assert picture.min() == 16  # four times half


def test_the_grid_of_points_is_their_scatter_plot_whether_they_are_bytes_or_floats():
  points = np.array([[0.0, 0.0], [1.0, 1.0]], np.float32).reshape(2, 1, 1, 2)
  np.testing.assert_array_equal(grid(points), scatter(points))
  np.testing.assert_array_equal(grid(np.array([128, 128, 255, 255], np.uint8).reshape(2, 1, 1, 2)), scatter(points))
