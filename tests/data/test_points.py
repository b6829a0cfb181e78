"""Points: the data sets know their mixture, and a picture shows every point at its place."""

import jax
import numpy as np
import pytest

from genjax.data.mixtures import CENTRES, DEVIATION, mixture
from genjax.data.points import SIDE, grid, ring, scatter


@pytest.mark.parametrize(("make", "name", "modes"), [(ring, "ring", 8), (grid, "grid", 25)])
def test_a_set_of_points_knows_its_modes(make, name, modes):
  data = make(batch=16)
  assert (data.facts["shape"], data.facts["classes"], data.facts["name"]) == ((1, 1, 2), modes, name)
  np.testing.assert_array_equal(data.facts["centres"], CENTRES[name])
  assert data.facts["deviation"] == DEVIATION
  raw = data.batch(2)
  points = np.asarray(data.prepare(jax.random.key(0), raw)["image"]).reshape(16, 2)
  assert np.abs(points - CENTRES[name][raw["label"]]).max() < 6 * DEVIATION
  np.testing.assert_array_equal(data.split("test").examples["image"], mixture(name, split="test").images)


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


def test_bytes_and_floats_are_shown_alike_and_what_is_no_number_breaks_nothing():
  points = np.array([[1.0, 1.0], [-1.0, 1.0]], np.float32).reshape(2, 1, 1, 2)
  np.testing.assert_array_equal(scatter(np.array([255, 255, 0, 255], np.uint8).reshape(2, 1, 1, 2)), scatter(points))
  assert scatter(np.full((3, 1, 1, 2), np.nan)).shape == (SIDE, SIDE, 1)
  with pytest.raises(ValueError, match=r"\(4, 2\); wanted \[n, 1, 1, 2\]"):
    scatter(np.zeros((4, 2)))
