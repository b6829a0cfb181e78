"""Every system compiles for Cloud TPU slices, and neither memory nor traffic follows the size of a pool, if it has one.

libtpu compiles without a TPU; nothing is run. The rows are in tests/tpu_rows.py, the reading in genjax/train/plan.py.
"""

import math
import platform
import re
from functools import cache

import pytest
from tpu_rows import ROWS

from genjax.train import plan

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason=f"libtpu, which compiles for TPUs, is made for Linux on x86-64 only; this is {platform.platform()}",
  ),
  pytest.mark.parametrize("slice", ["v3:4x4", "v4:2x2x4"]),  # 32 and 16 devices
]
every_row = pytest.mark.parametrize("name", ROWS)
rows_with_a_pool = pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.capacities])
# A TPU holds arrays in tiles of 8 x 128 elements; flat images (ops/pool.py) fill them but for the last.
PADDING = 1.2


@cache
def step_plan(name, slice, capacity):
  return plan.compile_step(ROWS[name].build(capacity), ROWS[name].batch, plan.topology(slice))


@cache
def sample_plan(name, slice):
  row = ROWS[name]
  return plan.compile_sample(row.build(capacity_of(row)), row.batch, plan.topology(slice), row.samples)


def capacity_of(row):
  return row.capacities[0] if row.capacities else 0


def pool_bytes(planned):
  return sum(size for path, size in planned.state.items() if "pool" in path.split("/"))


def in_work(row, text):
  """Numbers of images whose activations one device computes together."""
  tail = ",".join(map(str, row.activation))
  leads = re.findall(rf"\b(?:f32|bf16)\[((?:\d+,)+){tail}\]", text)
  return {math.prod(int(size) for size in lead.split(",") if size) for lead in leads}


@every_row
def test_the_step_fits(name, slice):
  for capacity in ROWS[name].capacities or (0,):
    planned = step_plan(name, slice, capacity)
    assert planned.fits, planned.error


@rows_with_a_pool
def test_the_step_gives_every_device_its_share_of_the_pool(name, slice):
  row, devices = ROWS[name], plan.topology(slice).size
  for capacity in row.capacities:
    planned = step_plan(name, slice, capacity)
    assert planned.state["pool/images"] == capacity // devices * math.prod(row.image) * 4


@rows_with_a_pool
def test_the_step_updates_the_pool_in_place_and_keeps_no_copy_of_it(name, slice):
  small, large = (step_plan(name, slice, capacity) for capacity in ROWS[name].capacities)
  grown = {kind: large.memory[kind] - small.memory[kind] for kind in small.memory}
  pool = pool_bytes(large) - pool_bytes(small)
  assert small.memory["alias"] >= sum(small.state.values())
  assert pool <= grown["argument"] <= PADDING * pool
  assert grown["alias"] == grown["argument"] == grown["output"]
  assert grown["temp"] < grown["argument"] / 4


@every_row
def test_the_step_sends_sums_of_gradients_and_scalars_and_no_image(name, slice):
  planned = step_plan(name, slice, capacity_of(ROWS[name]))
  assert {exchange.name for exchange in planned.collectives} == {"all-reduce"}
  parameters = sum(size for path, size in planned.state.items() if path.split("/")[0] == "params")
  # One gradient, or the gradients of the loss's summands apart; scalars beside them.
  assert sum(exchange.bytes for exchange in planned.collectives) < 5 * parameters + 1024


@rows_with_a_pool
def test_the_step_sends_as_much_whatever_the_capacity_of_the_pool(name, slice):
  small, large = (step_plan(name, slice, capacity) for capacity in ROWS[name].capacities)
  assert sorted(exchange[:3] for exchange in small.collectives) == sorted(
    exchange[:3] for exchange in large.collectives
  )


@every_row
def test_each_device_generates_only_its_share_of_the_images(name, slice):
  row, devices = ROWS[name], plan.topology(slice).size
  assert max(in_work(row, step_plan(name, slice, capacity_of(row)).text)) == row.ascended // devices


@every_row
def test_the_sampler_fits_divides_its_work_and_sends_only_the_finished_images(name, slice):
  row, devices, planned = ROWS[name], plan.topology(slice).size, sample_plan(name, slice)
  assert planned.fits, planned.error
  assert max(in_work(row, planned.text)) == row.ascended // devices
  large = [exchange for exchange in planned.collectives if exchange.bytes > 64]
  assert [(exchange.name, exchange.bytes) for exchange in large] == [
    ("all-gather", row.samples * math.prod(row.image) * 4)
  ]
