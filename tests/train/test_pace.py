"""A signal waits for a part of a call, whose steps follow from the measured seconds of a step."""

import pytest

from genjax.train import pace


@pytest.mark.parametrize(
  ("step_s", "waits", "until"),
  [(0.001, False, 50), (0.1, True, 50), (1.0, True, 10), (4.0, True, 2), (60.0, True, 1)],
)
def test_a_part_takes_ten_seconds_or_one_step(monkeypatch, step_s, waits, until):
  now = [5.0]
  monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
  one = pace.Pace(100, 50)
  assert one.waits
  assert one.until(0) == 1  # the first step is timed
  now[0] += step_s
  one.done(101)
  assert (one.waits, one.until(0)) == (waits, until)
  assert one.until(49) == 50
  one.done(101)  # nothing new is known
  assert one.until(0) == until
