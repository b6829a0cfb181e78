"""A system of each kind compiles for a Cloud TPU slice, and neither memory nor traffic follows the size of its pool.

libtpu compiles without a TPU; nothing is run. The rows are in tests/tpu_rows.py, the reading in genjax/train/plan.py.
"""

import math
import platform
import re
from functools import cache

import pytest
from tpu_rows import ROWS, SHAPE, batch_of

from genjax.train import plan, slices

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason=f"libtpu, which compiles for TPUs, is made for Linux on x86-64 only; this is {platform.platform()}",
  ),
]
every_row = pytest.mark.parametrize("name", ROWS)
every_sampler = pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.in_sample])
rows_with_a_pool = pytest.mark.parametrize("name", [name for name, row in ROWS.items() if len(row.capacities) > 1])
# A TPU holds arrays in tiles of 8 x 128 elements; flat images (ops/pool.py) fill them but for the last.
PADDING = 1.2


@cache
def step_plans(name):
  """One for every capacity of the pool."""
  row = ROWS[name]
  return [plan.compile_step(row.build(size), batch_of(row), slices.topology(row.slice)) for size in row.capacities]


@cache
def sample_plan(name):
  row = ROWS[name]
  return plan.compile_sample(row.build(row.capacities[0]), batch_of(row), slices.topology(row.slice), row.samples)


def devices_of(name):
  return slices.topology(ROWS[name].slice).size


def in_work(row, text):
  """Numbers of images whose activations one device computes together."""
  tail = ",".join(map(str, row.activation))
  leads = re.findall(rf"\b(?:f32|bf16)\[((?:\d+,)+){tail}\]", text)
  return {math.prod(int(size) for size in lead.split(",") if size) for lead in leads}


@every_row
def test_the_step_fits(name):
  assert [planned.error for planned in step_plans(name)] == [None] * len(ROWS[name].capacities)


@every_row
def test_the_step_sends_each_gradient_once_an_update_and_beside_it_batch_statistics_and_scalars(name):
  row, planned = ROWS[name], step_plans(name)[0]
  assert {exchange.name for exchange in planned.collectives} == {"all-reduce"}
  gradients = sum(
    times * sum(size for path, size in planned.state.items() if path.startswith(f"params/{player}"))
    for player, times in row.updates.items()
  )
  sent = sum(exchange.times * exchange.bytes for exchange in planned.collectives)
  assert gradients <= sent <= gradients + row.beside


@every_row
def test_every_product_is_computed_by_one_device(name):
  planned = step_plans(name)[0]
  # Less: what nobody reads is left out, and of WINN's sampler the dearer of two forms is in the program as written.
  assert 0.6 < planned.flops * devices_of(name) / planned.model.flops < 1.02


@every_row
def test_a_step_takes_as_long_as_its_parts(name):
  took = step_plans(name)[0].seconds
  local = took.total - took.collectives
  assert 0 < max(took.compute, took.memory) <= local * (1 + 1e-9) <= (took.compute + took.memory) * (1 + 2e-9)


@every_row
def test_each_device_works_on_only_its_share_of_the_images(name):
  row = ROWS[name]
  assert max(in_work(row, step_plans(name)[0].text)) == row.in_step // devices_of(name)


@every_sampler
def test_the_sampler_fits_divides_its_work_and_sends_only_the_finished_images(name):
  row, planned = ROWS[name], sample_plan(name)
  assert planned.fits, planned.error
  assert max(in_work(row, planned.text)) == row.in_sample // devices_of(name)
  large = [exchange for exchange in planned.collectives if exchange.bytes > 64]
  assert [(exchange.name, exchange.bytes) for exchange in large] == [("all-gather", row.samples * math.prod(SHAPE) * 4)]


@rows_with_a_pool
def test_the_step_gives_every_device_its_share_of_the_pool(name):
  shares = [planned.state["pool/images"] for planned in step_plans(name)]
  assert shares == [size // devices_of(name) * math.prod(SHAPE) * 4 for size in ROWS[name].capacities]


@rows_with_a_pool
def test_the_step_updates_the_pool_in_place_and_keeps_no_copy_of_it(name):
  small, large = step_plans(name)
  grown = {kind: large.memory[kind] - small.memory[kind] for kind in small.memory}
  pool = sum(large.state[path] - small.state[path] for path in small.state if "pool" in path.split("/"))
  assert small.memory["alias"] >= sum(small.state.values())
  assert pool <= grown["argument"] <= PADDING * pool
  assert grown["alias"] == grown["argument"] == grown["output"]
  assert grown["temp"] < grown["argument"] / 4


@rows_with_a_pool
def test_the_step_sends_as_much_whatever_the_capacity_of_the_pool(name):
  small, large = ([exchange[:3] for exchange in planned.collectives] for planned in step_plans(name))
  assert sorted(small) == sorted(large)
