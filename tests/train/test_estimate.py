"""The first lines of a run: what it trains on, and how long that will take."""

import time

import jax
import numpy as np
import pytest
import train_toy as toy

from genjax.train import estimate
from genjax.train.mesh import make_mesh

SHAPES = jax.eval_shape(toy.system().init, jax.random.key(0), toy.batch(0))


def test_the_first_line_holds_devices_data_batch_and_parameters():
  line = estimate.opening(make_mesh(), "digits: 1,297 images of 8x8x1", toy.batch(0), SHAPES)
  assert line == "8 cpu devices; digits: 1,297 images of 8x8x1, 16 a step; 208 parameters"  # 2 * 16 * 6 + 16


def test_data_without_a_description_and_a_state_without_parameters_are_described_by_their_arrays():
  one = make_mesh(jax.devices()[:1])
  line = estimate.opening(one, "", {"image": np.zeros((4, 3, 2), np.uint8)}, {"step": np.int32(0), "w": np.zeros(9)})
  assert line == "1 cpu device; image uint8[3, 2], 4 a step; a state of 10 numbers"


@pytest.mark.parametrize(
  ("seconds", "calls_of", "line"),
  [
    (140.0, 10, "10 steps took 140 s, 14 s a step, about 31 h of training to step 8,000"),
    (14.0, 1, "14 s a step, about 31 h of training to step 8,000"),
    (3.2, 1, "3.2 s a step, about 7.1 h of training to step 8,000"),
    (2.0, 10, "10 steps took 2 s, 0.2 s a step, about 27 min of training to step 8,000"),
    (0.05, 10, "a step takes less than 5 ms: less than 40 s of training to step 8,000"),
  ],
)
def test_after_the_first_call_the_rest_is_its_time_for_every_step_that_is_left(seconds, calls_of, line):
  assert estimate.about(seconds, start=0, steps=8000, steps_per_call=calls_of) == line


def test_a_run_that_goes_on_counts_the_steps_that_are_left():
  assert "about 60 s of" in estimate.about(1.0, start=939, steps=1000, steps_per_call=1)


@pytest.mark.parametrize(
  ("calls_of", "line"),
  [
    (10, "the first call, of 10 steps, has run for 30 s: more than 3 s a step, more than 6.7 h of training to "),
    (1, "the first step has run for 30 s: more than 30 s a step, more than 2.8 days of training to "),
  ],
)
def test_while_the_first_call_runs_its_seconds_are_a_bound_from_below(calls_of, line):
  assert estimate.at_least(30.0, start=0, steps=8000, steps_per_call=calls_of) == line + "step 8,000"


def test_the_bound_is_said_whenever_it_has_doubled_and_the_estimate_once(monkeypatch):
  monkeypatch.setattr(estimate, "_REMIND_S", 0.1)
  monkeypatch.setattr(estimate, "_SHORT_S", 0.1)
  lines = []
  with estimate.first_call(lines.append, start=0, steps=100, steps_per_call=10) as speed:
    time.sleep(0.6)
    first = speed()
    time.sleep(0.5)
    assert speed() is None
  assert 5 < first <= 10 / 0.6
  assert [line.split()[:2] for line in lines] == [["the", "first"]] * (len(lines) - 1) + [["10", "steps"]]
  assert 3 <= len(lines) <= 4  # at 0.1, 0.2 and 0.4 s, and the last


def test_the_last_call_needs_no_estimate():
  lines = []
  with estimate.first_call(lines.append, start=90, steps=100, steps_per_call=10) as speed:
    assert speed() > 0
  assert lines == []


def test_a_duration_has_two_figures_and_the_unit_that_fits():
  spans = [0.2, 45, 99.4, 100, 43 * 60, 2 * 3600, 31 * 3600, 4.5 * 86400]
  assert [estimate.duration(span) for span in spans] == [
    "1 s", "45 s", "99 s", "2 min", "43 min", "2.0 h", "31 h", "4.5 days",
  ]  # fmt: skip
  assert [estimate.brief(span) for span in (0.0042, 0.32, 3.21, 14.2)] == ["4.2 ms", "0.32 s", "3.2 s", "14 s"]
