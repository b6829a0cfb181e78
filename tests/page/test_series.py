"""Curves: what is thinned keeps its ends and its extremes, and every number of the log has one."""

import numpy as np
import pytest

from genjax.page.series import MOST_POINTS, series, thinned


@pytest.mark.parametrize("n", [1, 99, 100, 101, 12_345])
def test_a_thinned_curve_keeps_its_ends_and_its_extremes(n):
  values = np.random.default_rng(n).normal(size=n)
  values[n // 3] = -50.0
  values[n // 2] = 50.0
  kept = thinned(values, 100)
  assert len(kept) <= 100
  assert (np.diff(kept) > 0).all()
  assert {0, n - 1, int(values.argmin()), int(values.argmax())} <= set(kept.tolist())


def test_a_stretch_without_a_finite_value_stays_a_gap():
  values = np.arange(1000.0)
  values[400:600] = np.nan
  kept = thinned(values, 100)
  assert np.isnan(values[kept]).any()
  assert not np.isnan(values[kept][[0, -1]]).any()


def test_curves_are_counted_rounded_and_in_the_order_of_their_steps():
  rows = [{"step": step, "loss": 1 / 3, "eval/x": 10**400 if step == 7 else step} for step in (*range(1, 5000), 0)]
  (evaluated, loss), left_out = series([rows])
  assert left_out == 0
  assert (evaluated["name"], loss["name"]) == ("eval/x", "loss")
  curve = evaluated["curves"][0]
  assert (curve["points"], curve["gaps"]) == (5000, 1)
  assert len(curve["x"]) <= MOST_POINTS
  assert curve["x"] == sorted(curve["x"])
  assert (curve["x"][0], curve["x"][-1]) == (0, 4999)
  assert set(loss["curves"][0]["y"]) == {0.333333}


def test_more_names_than_a_page_draws_are_counted():
  drawn, left_out = series([[{"step": 1, **{f"n{i}": 1.0 for i in range(400)}}]])
  assert len(drawn) + left_out == 400
  assert left_out == 100
