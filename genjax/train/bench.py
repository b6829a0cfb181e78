"""How fast a system trains and samples on these devices, and what it costs: seconds, operations, bytes.

The step is the loop's own: compiled the same way, donated, sharded, its batches made while the device works. Numbers
are medians over the calls of one run, with the quartiles beside them. They hold for the machine as it was, busy or not.

Shapes   K steps a call, B batch over P processes. data.batch(step): {name: numpy [B / P, ...]}, as in `loop.train`.
Checked  tests/train/test_bench.py
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from genjax.core import Array, Dataset, Kernel, Raw, System, named_key, prepared
from genjax.train.compiled import Outcome, Sampler, jit_calls, jit_sample, trim_heap
from genjax.train.errors import BadSetting
from genjax.train.flops import Flops, jaxpr_flops, peak_flops
from genjax.train.machine import after, cpu, versions
from genjax.train.mesh import DEFAULT_RULES, Rules, make_mesh, on_mesh, place, spread
from genjax.train.paths import named_leaves, parameter_count
from genjax.train.report import Memory, Report, Timing, table
from genjax.train.start import abstract_state, fresh, shardings_of

__all__ = ["Memory", "Report", "Timing", "bench", "table"]

_WARM_UP = 1  # calls before the clock starts; a step has had one more by then
_REPEATS = 3  # least number of timed calls, however long they take


def bench(
  system: System,
  data: Dataset,
  *,
  mesh: Mesh | None = None,
  rules: Rules = DEFAULT_RULES,
  key: Array,
  steps_per_call: int = 1,
  seconds: float = 10.0,
  samples: int = 64,
) -> Report:
  """Times the training step, sampling and the system's kernels, each for about `seconds`, from a fresh state.

  A step whose work depends on what was learnt is measured as it is in the first steps.

  Args:
    system, data: as for `loop.train`. The kernels are those of `system.kernels(key, batch)`, on one device.
    mesh: from `make_mesh`; by default all devices.
    rules: which leaves of the state are split, see `state_shardings`.
    key: typed PRNG key.
    steps_per_call: steps in one compiled call.
    seconds: for each timed piece; at least three calls are timed, however long they take.
    samples: examples of one call of the view `sample`; 0 to leave it out.

  Raises:
    BadSetting: before anything is compiled.
  """
  if steps_per_call < 1:
    raise BadSetting(f"config.train.steps_per_call={steps_per_call}; use at least 1")
  if not seconds > 0 or samples < 0:
    raise BadSetting(
      f"bench of {seconds} seconds and {samples} samples; use more than 0 seconds and at least 0 samples"
    )
  load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
  mesh = make_mesh() if mesh is None else mesh
  system = on_mesh(system, mesh, rules)
  system, first, alone, key = prepared(system, data.prepare), data.batch(0), key, spread(key, mesh)
  abstract = abstract_state(system, key, first, mesh, rules)
  state = fresh(system, key, first, mesh, abstract)
  parameters = parameter_count(abstract)
  state_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in named_leaves(state).values())
  trained = _trained(system, data.batch, mesh, shardings_of(abstract), key, state, steps_per_call, seconds)
  memory = _memory(trained.analysis, mesh, state_bytes)
  sample = None
  if samples and "sample" in system.views:
    sample = _sampled(system.views["sample"], mesh, named_key(key, "sample"), trained.state, samples, seconds)
  kernels = system.kernels(alone, jax.tree.map(jnp.asarray, dict(first))) if system.kernels else {}
  device = mesh.devices.flat[0]
  return Report(
    platform=device.platform,
    device_kind=device.device_kind,
    devices=mesh.size,
    processes=jax.process_count(),
    cpu=cpu(),
    load=load,
    versions=versions(),
    when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    steps_per_call=steps_per_call,
    examples=len(next(iter(first.values()))) * jax.process_count(),
    step=trained.timing,
    sample=sample,
    kernels={name: _alone(kernel, seconds) for name, kernel in kernels.items()},
    memory=memory,
    parameters=parameters,
    device_peak_flops=peak_flops(device.device_kind),
    finite=trained.finite,
    gradients_used=trained.gradients_used,
  )


class _Trained(NamedTuple):
  timing: Timing
  state: Any
  analysis: Any  # of memory, by XLA
  finite: bool
  gradients_used: float | None  # the mean of the last call's metric of that name, where the system has one


def _trained(
  system: System,
  batch: Callable[[int], Raw],
  mesh: Mesh,
  shardings: Any,
  key: Array,
  state: Any,
  steps_per_call: int,
  seconds: float,
) -> _Trained:
  """The order of `loop.train`: dispatch a call, make the next batches, read the outcome of the call before."""

  def placed(step: int) -> dict[str, Array]:
    rows = [batch(step + i) for i in range(steps_per_call)]
    return place(mesh, {name: np.stack([row[name] for row in rows]) for name in rows[0]}, stacked=True)

  jitted = jit_calls(system, steps_per_call, mesh, shardings)
  batches = placed(0)
  call, compile_s, flops = _compiled(jitted, key, state, batches)
  state, pending = call(key, state, batches)
  step, finite = steps_per_call, True
  batches = placed(step)

  def one_call():
    nonlocal state, batches, pending, step, finite
    state, outcome = call(key, state, batches)
    step += steps_per_call
    batches = placed(step)
    finite = _finite(pending) and finite  # waits for it
    pending = outcome

  times = _timed(one_call, seconds)
  timing = _timing(times, compile_s, steps_per_call, "steps", flops)
  used = pending.metrics.get("gradients_used")
  used = None if used is None else float(np.mean(used))
  return _Trained(timing, state, call.memory_analysis(), _finite(pending) and finite, used)


def _finite(outcome: Outcome) -> bool:
  jax.block_until_ready(outcome)
  return all(np.isfinite(value).all() for value in outcome.metrics.values())


def _sampled(sample: Sampler, mesh: Mesh, key: Array, state: Any, samples: int, seconds: float) -> Timing:
  jitted = jit_sample(sample, mesh)
  call, compile_s, flops = _compiled(jax.jit(lambda key, state: jitted(key, state, samples)), key, state)
  times = _timed(lambda: jax.block_until_ready(call(key, state)), seconds)
  return _timing(times, compile_s, samples, "examples", flops)


def _alone(kernel: Kernel, seconds: float) -> Timing:
  call, compile_s, flops = _compiled(jax.jit(kernel.fn), *kernel.args)
  times = _timed(lambda: jax.block_until_ready(call(*kernel.args)), seconds)
  return _timing(times, compile_s, kernel.work, kernel.unit, flops)


def _compiled(jitted: Any, *args: Any) -> tuple[Any, float, Flops]:
  began = time.perf_counter()
  traced = jitted.trace(*args)
  call = traced.lower().compile()
  took = time.perf_counter() - began
  trim_heap()
  return call, took, jaxpr_flops(traced.jaxpr)


def _timed(call: Callable[[], Any], seconds: float) -> list[float]:
  """Seconds of each call after the warm-up, until they add up to `seconds`."""
  warm = [_seconds(call) for _ in range(_WARM_UP)]
  planned = None
  if jax.process_count() > 1:  # all must make as many calls, and reading a clock together would disturb them
    guess = np.asarray(max(_REPEATS, round(seconds / warm[-1])), np.int32)
    planned = int(multihost_utils.broadcast_one_to_all(guess))
  times, total = [], 0.0
  while len(times) < planned if planned else len(times) < _REPEATS or total < seconds:
    times.append(_seconds(call))
    total += times[-1]
  return times


def _seconds(call: Callable[[], Any]) -> float:
  began = time.perf_counter()
  call()
  return time.perf_counter() - began


def _timing(times: list[float], compile_s: float, work: int, unit: str, flops: Flops) -> Timing:
  low, median, high = (float(value) for value in np.quantile(times, (0.25, 0.5, 0.75)))
  return Timing(compile_s, (low, median, high), len(times), float(sum(times)), work, unit, flops)


def _memory(analysis: Any, mesh: Mesh, state: int) -> Memory:
  plan = [getattr(analysis, f"{name}_size_in_bytes", None) for name in ("argument", "output", "temp", "alias")]
  peaks = [(device.memory_stats() or {}).get("peak_bytes_in_use") for device in mesh.local_devices]
  if None not in peaks:
    return Memory(*plan, peak=max(peaks), peak_of="device", state=state)
  return Memory(*plan, peak=_resident(), peak_of="process", state=state)


def _resident() -> int | None:
  """Most memory that this process has had resident, in bytes; None where the system does not give it."""
  if sys.platform == "win32":
    return None
  # Linux: a process starts with the peak of the one that started it in getrusage, but not here.
  peak = after("/proc/self/status", "VmHWM")
  if peak is not None:
    return int(peak.split()[0]) * 1024
  import resource

  unit = 1 if sys.platform == "darwin" else 1024
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
