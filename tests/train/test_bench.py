"""What bench reports of the toy, whose sizes are worked out by hand; how fast it is, no test says."""

import json
import math
import resource
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import train_toy
from jax import lax

from genjax.core import Kernel
from genjax.train import bench as benches
from genjax.train.bench import bench, table
from genjax.train.compiled import trim_heap
from genjax.train.errors import BadSetting
from genjax.train.flops import Flops
from genjax.train.mesh import make_mesh

PIXELS, CODE, BATCH, STEPS, SAMPLES = 16, train_toy.CODE, train_toy.BATCH, 4, 24
PARAMETERS = PIXELS * CODE + CODE * PIXELS + PIXELS
POOL_BYTES = 4 * train_toy.SLOTS * PIXELS
# step, parameters and their momentum, pool, three bfloat16, a key of two words
STATE_BYTES = 4 + 2 * 4 * PARAMETERS + POOL_BYTES + 3 * 2 + 2 * 4


def run(system=None, **settings):
  settings = {"key": jax.random.key(0), "seconds": 0.02, "samples": 0, **settings}
  return bench(system or train_toy.system(), train_toy.data(prepare=doubled), **settings)


def doubled(key, raw):
  """A preparation: of every image two, so that one sees who takes raw batches and who prepared ones."""
  del key
  return {"image": jnp.concatenate([raw["image"][: BATCH // 2]] * 2)}


@pytest.fixture(scope="module")
def traces():
  return []


@pytest.fixture(scope="module")
def batches():
  """Arguments with which the kernels were made."""
  return []


@pytest.fixture(scope="module")
def report(traces, batches):
  def kernels(key, batch):
    batches.append((key, batch["image"]))
    return {"sampler": Kernel(lambda x: x @ x, (jnp.ones((8, 8)),), work=640, unit="gradient-steps")}

  toy = train_toy.system(traces=traces)

  def step(key, state, batch):
    state, metrics = toy.step(key, state, batch)
    return state, {**metrics, "gradients_used": jnp.float32(0.44)}

  return run(toy._replace(kernels=kernels, step=step), steps_per_call=STEPS, samples=SAMPLES)


@pytest.fixture(scope="module")
def other():
  """One device, no samples, a state that becomes NaN, no time, and a kernel whose length nobody knows."""

  def fn(x):
    return lax.while_loop(lambda x: x.sum() < 9, lambda x: x @ x, x)

  kernels = lambda key, batch: {"loop": Kernel(fn, (jnp.ones((3, 3)),), 1, "loops")}
  system = train_toy.system(poison_step=2)._replace(views={}, kernels=kernels)
  return run(system, samples=8, mesh=make_mesh(jax.devices()[:1]), seconds=1e-9)


def timings(report):
  return {"step": report.step, "sample": report.sample, **report.kernels}


def test_every_measured_number_is_positive_and_finite(report):
  for timing in timings(report).values():
    for number in (timing.compile_s, *timing.call_s, timing.seconds, timing.per_second, timing.flops_per_second):
      assert 0 < number < math.inf
  assert 0 < report.examples_per_second < math.inf
  assert report.memory.peak > 2**20
  assert report.memory.peak_of == "process"


def test_each_piece_is_timed_for_its_seconds_and_at_least_three_times(report, other):
  for timing in timings(report).values():
    assert timing.repeats >= 3
    assert timing.seconds >= 0.02
  assert other.step.repeats == other.kernels["loop"].repeats == 3


def test_the_quartiles_are_in_order_and_within_the_time_that_was_measured(report):
  for timing in timings(report).values():
    low, median, high = timing.call_s
    assert low <= median <= high
    assert median * timing.repeats / 2 <= timing.seconds


def test_a_speed_is_work_over_the_median_time(report):
  works = {name: (timing.work, timing.unit) for name, timing in timings(report).items()}
  assert works == {"step": (STEPS, "steps"), "sample": (SAMPLES, "examples"), "sampler": (640, "gradient-steps")}
  for timing in timings(report).values():
    assert timing.per_second * timing.call_s[1] == pytest.approx(timing.work, rel=1e-12)
    assert timing.flops_per_second * timing.call_s[1] == pytest.approx(timing.flops.flops, rel=1e-12)
  assert report.examples_per_second == pytest.approx(STEPS * BATCH / report.step.call_s[1], rel=1e-12)


def test_the_operations_of_the_toy_are_those_worked_out_by_hand(report):
  product = 2 * BATCH * PIXELS * CODE
  # Two products forward; back, both kernels and the code, but not the images.
  assert report.step.flops == Flops(STEPS * 5 * product, 0)
  assert report.sample.flops == Flops(2 * SAMPLES * CODE * PIXELS, 0)
  assert report.kernels["sampler"].flops == Flops(2 * 8**3, 0)
  assert report.to_dict()["step_flops"] == 5 * product


def test_the_parameters_and_the_bytes_of_the_state_are_counted(report):
  assert report.parameters == PARAMETERS
  assert report.memory.state == STATE_BYTES


def test_the_measured_step_gives_its_state_away_and_splits_the_pool_over_the_devices(report):
  assert report.memory.alias == STATE_BYTES - POOL_BYTES + POOL_BYTES // 8
  batch, key = STEPS * BATCH * PIXELS * 4 // 8, 8
  assert report.memory.argument == report.memory.alias + batch + key


def test_the_step_is_traced_once(report, traces):
  assert len(traces) == 1


def test_the_kernels_are_made_of_a_prepared_batch_on_one_device_by_the_key_that_was_given(report, batches):
  ((key, image),) = batches
  assert key == jax.random.key(0)
  assert len(image.sharding.device_set) == 1
  half = train_toy.batch(0)["image"][: BATCH // 2]
  np.testing.assert_array_equal(image, np.concatenate([half, half]))


def test_the_conditions_are_in_the_report(report):
  assert (report.platform, report.device_kind, report.devices, report.processes) == ("cpu", "cpu", 8, 1)
  assert (report.examples, report.steps_per_call, report.device_peak_flops) == (BATCH, STEPS, None)
  assert report.versions["jax"] == jax.__version__
  assert report.finite


def test_one_device_can_be_measured_too(other):
  assert other.devices == 1
  assert other.memory.alias == STATE_BYTES


def test_a_report_survives_json(report):
  values = report.to_dict()
  assert json.loads(json.dumps(values, allow_nan=False)) == values
  assert values["step"]["per_second"] == report.step.per_second
  assert values["step"]["call_s"]["median"] == report.step.call_s[1]
  assert values["step"]["examples_per_second"] == report.examples_per_second
  assert values["kernels"]["sampler"]["unit"] == "gradient-steps"
  assert values["step"]["share_of_peak"] is None
  assert values["memory"]["state"] == STATE_BYTES


def test_the_table_has_a_row_for_each_piece_and_its_columns_stand_in_line(report):
  lines = table(report).splitlines()
  rows = lines[: lines.index("")]
  assert [row.split()[0] for row in rows[1:]] == ["step", "sample", "sampler"]
  assert len({len(row) for row in rows}) == 1
  assert "gradient-steps/s" in rows[3]
  assert f"{PARAMETERS} parameters" in table(report)
  assert "diverged" not in table(report)


def test_the_share_of_peak_is_of_all_devices_together(report):
  known = report._replace(
    device_peak_flops=1e12, step=report.step._replace(call_s=(1.0, 2.0, 3.0), flops=Flops(4e12, 0))
  )
  assert known.share_of_peak(known.step) == pytest.approx(0.25)
  assert known.to_dict()["step"]["share_of_peak"] == pytest.approx(0.25)
  assert "25.00 %" in table(known)


def test_a_system_without_samples_is_measured_without_them(other):
  assert other.sample is None
  assert other.to_dict()["sample"] is None
  assert "sample" not in table(other)


def test_the_share_of_gradients_that_moved_an_image_is_stated(report, other):
  assert report.to_dict()["gradients_used"] == pytest.approx(0.44)
  assert "44 % of the computed gradients moved an image" in table(report)
  assert other.gradients_used is None
  assert "gradients moved" not in table(other)


def test_a_run_that_diverges_says_so(other):
  assert not other.finite
  assert "diverged" in table(other)


def test_a_loop_of_unknown_length_is_owned_up_to(other):
  assert other.kernels["loop"].flops == Flops(2 * 27, 1)
  assert "1 loop(s) have a length that the program does not hold" in table(other)


def test_memory_that_nobody_knows_is_shown_as_such(report):
  memory = report.memory._replace(peak=None, temp=None)
  assert table(report._replace(memory=memory)).count("not known") == 2


@pytest.mark.parametrize(
  ("settings", "said"),
  [
    ({"steps_per_call": 0}, "config.train.steps_per_call=0"),
    ({"seconds": 0.0}, "0.0 seconds"),
    ({"seconds": math.nan}, "nan seconds"),
    ({"samples": -1}, "-1 samples"),
  ],
)
def test_a_setting_that_cannot_work_is_named_before_anything_is_compiled(settings, said):
  with pytest.raises(BadSetting, match=said):
    run(**settings)


def test_a_batch_that_does_not_divide_is_refused_as_in_the_loop():
  with pytest.raises(BadSetting, match="batch 12 does not divide over 8 devices"):
    bench(train_toy.system(), train_toy.data(lambda step: train_toy.batch(step, rows=12)), key=jax.random.key(0))


def test_resident_memory_is_in_bytes_and_no_more_than_the_system_says():
  most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
  assert 2**26 < benches._resident() <= most * 1.05


@pytest.mark.skipif(sys.platform != "linux", reason="the heap of glibc")
def test_what_compiling_left_free_on_the_heap_goes_back_to_the_system():
  blocks = [b"x" * 60_000 for _ in range(1000)]
  del blocks[:-1]  # the last one holds the end of the heap, so that free does not give it back by itself
  resident = lambda: int(benches._after("/proc/self/status", "VmRSS").split()[0])
  before = resident()
  trim_heap()
  assert before - resident() > 40_000  # KiB
