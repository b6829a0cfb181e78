import numpy as np
import pytest

from genjax.metrics.modes import modes

CENTRES = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def test_a_sample_is_good_within_three_deviations_of_its_nearest_mode():
  points = [[0.0, 0.0], [0.29, 0.0], [0.31, 0.0], [1.0, 0.2], [0.5, 0.5], [0.22, 0.22], [0.2, 0.2]]
  found = modes(points, CENTRES, 0.1)
  np.testing.assert_array_equal(found.counts, [3, 1, 0, 0])
  assert found.covered == 2
  assert found.good == pytest.approx(4 / 7)


def test_samples_of_the_mixture_itself_are_good_as_often_as_a_gaussian_says():
  rng = np.random.default_rng(0)
  found = modes(CENTRES[rng.integers(0, 4, 40_000)] + 0.05 * rng.normal(size=(40_000, 2)), CENTRES, 0.05)
  assert found.covered == 4
  assert found.good == pytest.approx(1 - np.exp(-4.5), abs=2e-3)
  assert found.balance == pytest.approx(1, abs=1e-3)


def test_balance_is_the_entropy_over_the_modes():
  assert modes(CENTRES[[0, 0, 1, 1]], CENTRES, 0.1).balance == pytest.approx(0.5)
  assert modes(CENTRES[[0]], CENTRES, 0.1).balance == 0
  assert modes([[9.0, 9.0]], CENTRES, 0.1)[1:] == (0, 0.0)


def test_points_of_another_dimension_are_refused():
  with pytest.raises(ValueError, match=r"points have shape \(3, 3\); wanted \[n, 2\]"):
    modes(np.zeros((3, 3)), CENTRES, 0.1)
