"""A plan as JSON and as a table: every number of the report is that of the plan, or follows from it."""

import itertools
import json
import math
from typing import NamedTuple

import numpy as np
import pytest

from genjax.train.hlo import Collective
from genjax.train.plan import Plan
from genjax.train.plan_report import advice, priced, slice_report, table
from genjax.train.roofline import Seconds

MIB = 2**20


class Device(NamedTuple):
  device_kind: str
  coords: tuple[int, ...]


class Slice(NamedTuple):
  devices: np.ndarray
  size: int


def slice_of(kind, *sizes):
  places = list(itertools.product(*map(range, sizes)))
  devices = np.empty(len(places), object)
  devices[:] = [Device(kind, place) for place in places]
  return Slice(devices, len(places))


STATE = {
  "step": 4,
  "params/critic/kernel": 4 * MIB,
  "optimizer/critic/0/mu": 8 * MIB,
  "ema/generator/kernel": 2 * MIB,
  "pool/images": 16 * MIB,
}
STEP = Plan(
  memory={
    "argument": 31 * MIB + 4,
    "output": 30 * MIB + 4,
    "alias": 30 * MIB + 4,
    "temp": 7 * MIB,
    "code": MIB,
    "peak": 38 * MIB,
  },
  state=STATE,
  collectives=(
    Collective("all-reduce", ("f32[]",), 4, "metrics", times=3.0),
    Collective("all-reduce", ("f32[1024,1024]",), 4 * MIB, "critic/psum (genjax/systems/gan.py:7)", times=5.0),
    Collective("all-reduce", ("f32[8]",), 32, "check", times=0.0),
  ),
  flops=1e9,
  text="",
  passes=2e9,
  bytes=3e9,
  seconds=Seconds(compute=1e-3, memory=2e-3, collectives=1e-3, total=4e-3),
)
TOO_MUCH = Plan({}, STATE, (), math.nan, "", "does not fit 16 x TPU v4: each needs 40GB of 30GB")


def report(plans=None, dollars=2.0):
  one = slice_report(slice_of("TPU v4", 2, 2, 4), plans or {"step": STEP}, batch=128)
  config = {"system": "gan", "data": "mock", "batch": 128, "steps": 900_000, "steps_per_call": 1, "parameters": 7}
  return {"config": config, "versions": {}, "topologies": {"v4-32": priced(one, 900_000, dollars)}}


def test_a_slice_says_what_it_is_made_of():
  one = report()["topologies"]["v4-32"]
  assert (one["chip"], one["chips"], one["devices"], one["grid"]) == ("v4", 16, 16, [2, 2, 4])
  assert one["memory"] == 32 * 2**30


def test_memory_is_told_apart_by_what_takes_it():
  assert report()["topologies"]["v4-32"]["programs"]["step"]["memory"] == {
    "peak": 38 * MIB,
    "parameters": 4 * MIB,
    "optimiser": 8 * MIB,
    "average": 2 * MIB,
    "pool": 16 * MIB,
    "other state": 4,
    "arguments": MIB,
    "temporaries": 7 * MIB,
    "code": MIB,
  }


def test_exchanges_are_summed_by_kind_as_often_as_they_run_and_the_largest_come_first():
  step = report()["topologies"]["v4-32"]["programs"]["step"]
  assert step["collectives"] == {"all-reduce": {"count": 8, "bytes": 20 * MIB + 12}}
  assert [one["source"] for one in step["exchanges"]] == ["critic/psum (genjax/systems/gan.py:7)", "metrics", "check"]


def test_work_a_chip_stays_in_the_scaling_and_more_of_it_is_asked_for_where_exchanges_take_long():
  rows = report()["topologies"]["v4-32"]["scaling"]
  assert [(row["chips"], row["batch"]) for row in rows[:2]] == [(8, 64), (16, 128)]
  last = rows[-1]
  assert (last["chips"], last["batch"]) == (512, 4096)
  sent = last["seconds"] - 3e-3
  assert last["efficiency"] == pytest.approx(3e-3 / last["seconds"])
  assert sent / (last["work"] * 3e-3 + sent) <= 0.05 < sent / max((last["work"] - 1) * 3e-3 + sent, 1e-9)


def test_hours_are_those_of_all_steps_and_dollars_those_of_all_chips():
  one = report()["topologies"]["v4-32"]
  assert (one["hours"], one["dollars"]) == (pytest.approx(1.0), pytest.approx(16 * 2.0))
  assert report(dollars=None)["topologies"]["v4-32"]["dollars"] is None


def test_what_does_not_fit_says_what_to_change_the_largest_part_first():
  words = advice(TOO_MUCH)
  assert [word.split(",")[0] for word in words] == [
    "a smaller capacity of the pool",
    "a narrower net",
    "a smaller batch or more chips",
  ]
  assert advice(STEP) == []
  text = table(report({"step": TOO_MUCH}))
  assert "each needs 40GB of 30GB" in text
  assert "    a smaller capacity of the pool" in text


def test_a_report_is_plain_json():
  for plans in ({"step": STEP}, {"step": TOO_MUCH}, {"step": STEP, "sample 64": TOO_MUCH}):
    assert json.loads(json.dumps(report(plans), allow_nan=False)) == report(plans)


def test_the_table_has_a_line_for_each_slice_and_the_sources_of_what_is_sent():
  whole = report()
  whole["topologies"]["v3-32"] = priced({"error": "batch 8 does not divide", "programs": {}, "scaling": []}, 1, None)
  text = table(whole)
  (line,) = [line for line in text.splitlines() if line.startswith("v4-32  ")]
  for word in ("16", "yes", "38.0 MiB", "32.0 GiB", "1 ms", "2 ms", "4 ms", "20.0 MiB", "32.00"):
    assert f" {word}" in line, word
  assert "v3-32: batch 8 does not divide" in text
  assert "5 x 4.0 MiB  critic/psum (genjax/systems/gan.py:7)" in text
