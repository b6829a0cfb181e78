import numpy as np
import pytest

from genjax.core import Dataset
from genjax.metrics.modes import coverage, modes

CENTRES = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def test_a_sample_is_good_within_three_deviations_of_its_nearest_mode():
  points = [[0.0, 0.0], [0.29, 0.0], [0.31, 0.0], [1.0, 0.2], [0.5, 0.5], [0.22, 0.22], [0.2, 0.2]]
  result = coverage(points, CENTRES, 0.1)
  np.testing.assert_array_equal(result.counts, [3, 1, 0, 0])
  assert result.covered == 2
  assert result.good == pytest.approx(4 / 7)


def test_samples_of_the_mixture_itself_are_good_as_often_as_a_gaussian_says():
  rng = np.random.default_rng(0)
  result = coverage(CENTRES[rng.integers(0, 4, 40_000)] + 0.05 * rng.normal(size=(40_000, 2)), CENTRES, 0.05)
  assert result.covered == 4
  assert result.good == pytest.approx(1 - np.exp(-4.5), abs=2e-3)
  assert result.balance == pytest.approx(1, abs=1e-3)


def test_balance_is_the_entropy_over_the_modes():
  assert coverage(CENTRES[[0, 0, 1, 1]], CENTRES, 0.1).balance == pytest.approx(0.5)
  assert coverage(CENTRES[[0]], CENTRES, 0.1).balance == 0
  assert coverage([[9.0, 9.0]], CENTRES, 0.1)[1:] == (0, 0.0)


def test_points_of_another_dimension_are_refused():
  with pytest.raises(ValueError, match=r"points have shape \(3, 3\); wanted \[n, 2\]"):
    coverage(np.zeros((3, 3)), CENTRES, 0.1)


def test_the_mixture_is_that_of_the_data():
  points = np.concatenate([CENTRES[[0, 1, 1]], [[9.0, 9.0]]]).reshape(4, 1, 1, 2)
  metric = modes(samples=4, seed=2, ema=False)
  data = Dataset(lambda step: {}, facts={"centres": CENTRES, "deviation": 0.1, "name": "square"})
  numbers = metric.measure(None, {"sample": lambda key, state, n: points[:n]}, None, data)
  entropy = (np.log(3) / 3 + np.log(1.5) * 2 / 3) / np.log(4)
  assert {name: number.value for name, number in numbers.items()} == pytest.approx(
    {"modes": 2, "good": 0.75, "balance": entropy}
  )
  card = numbers["good"].card
  assert (card.metric, card.split, card.generated, card.reference) == (
    "good, within 3 deviations", "centres of square", 4, 4,
  )  # fmt: skip


def test_data_without_known_centres_are_refused():
  with pytest.raises(ValueError, match="data digits say no centres and no deviation"):
    modes().check(Dataset(lambda step: {}, facts={"name": "digits"}))
  with pytest.raises(ValueError, match=r"centres have shape \(4, 2\) and deviation is 0"):
    modes().check(Dataset(lambda step: {}, facts={"centres": CENTRES, "deviation": 0}))
