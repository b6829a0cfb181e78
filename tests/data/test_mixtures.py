"""Points of a mixture are as many, as near and as far apart as it says."""

import numpy as np
import pytest

from genjax import data
from genjax.data.mixtures import CENTRES, DEVIATION, mixture


@pytest.mark.parametrize(("name", "modes", "apart"), [("ring", 8, 2 * 0.8 * np.sin(np.pi / 8)), ("grid", 25, 0.4)])
def test_centres_lie_inside_the_square_and_equally_far_from_their_neighbours(name, modes, apart):
  centres = CENTRES[name]
  assert centres.shape == (modes, 2)
  assert np.abs(centres).max() + 5 * DEVIATION < 1
  distance = np.linalg.norm(centres[:, None] - centres, axis=2)
  np.testing.assert_allclose(np.sort(distance, 1)[:, 1], apart)


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_points_are_gaussian_round_their_modes(name):
  """The deviation is 0.01, with that of rounding to 1 / 127.5, uniform: 0.0023."""
  points = mixture(name)
  modes = len(CENTRES[name])
  assert points.images.shape == (100_000, 1, 1, 2)
  assert points.classes == modes
  counts = np.bincount(points.labels)
  assert np.abs(counts - 100_000 / modes).max() < 5 * np.sqrt(100_000 / modes)
  away = points.images.reshape(-1, 2) / 127.5 - 1 - CENTRES[name][points.labels]
  expected = np.hypot(DEVIATION, 1 / 127.5 / np.sqrt(12))
  np.testing.assert_allclose(away.std(0), expected, rtol=0.02)
  np.testing.assert_allclose(away.mean(0), 0, atol=2e-4)
  assert abs(np.corrcoef(away.T)[0, 1]) < 0.02
  rng = np.random.default_rng(0)  # the share far out depends on where the centres lie between the levels
  other = CENTRES[name][points.labels] + DEVIATION * rng.normal(size=away.shape)
  other = np.round((other + 1) * 127.5) / 127.5 - 1 - CENTRES[name][points.labels]
  far = [(np.linalg.norm(part, axis=1) > 3 * expected).mean() for part in (away, other)]
  assert 0.005 < far[1] < 0.015
  np.testing.assert_allclose(*far, rtol=0.15)


def test_splits_differ_and_are_the_same_for_ever():
  train, test = mixture("ring"), mixture("ring", split="test")
  assert len(test.images) == 10_000
  assert not np.array_equal(train.images[:10_000], test.images)
  assert mixture("ring", split="train[:90%]").images.shape[0] == 90_000
  np.testing.assert_array_equal(mixture("ring").images, train.images)
  np.testing.assert_array_equal(train.images[:3].reshape(3, 2), FIRST)


FIRST = [[228, 128], [26, 128], [53, 55]]  # as they came out first


def test_they_take_no_other_size_and_no_path():
  with pytest.raises(ValueError, match=r"leave data\.size and"):
    data.load("ring", size=8)
  with pytest.raises(ValueError, match="takes no path"):
    data.load("ring", path="/tmp")
