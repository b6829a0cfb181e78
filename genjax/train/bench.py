"""How fast a system trains and samples on these devices, and what it costs: seconds, operations, bytes.

The step is the loop's own: compiled the same way, donated, sharded, its batches made while the device works. Numbers
are medians over the calls of one run, with the quartiles beside them. They hold for the machine as it was, busy or not.

Shapes   K steps a call, B batch over P processes. batch(step): {name: numpy [B / P, ...]}, as in `loop.run`.
Checked  tests/train/test_bench.py
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from genjax.core import Array, System
from genjax.train.errors import BadSetting
from genjax.train.flops import Flops, jaxpr_flops, peak_flops
from genjax.train.loop import HostBatch, make_calls, named_key
from genjax.train.mesh import DEFAULT_RULES, Rules, batch_sharding, make_mesh, place, replicated, state_shardings
from genjax.train.paths import named_leaves

_WARM_UP = 2  # calls before the clock starts
_REPEATS = 3  # least number of timed calls, however long they take
_PACKAGES = ("genjax-vision", "jax", "jaxlib", "flax", "optax", "numpy")


class Kernel(NamedTuple):
  """A piece of a system to time alone."""

  fn: Callable[..., Any]  # traceable
  args: tuple[Any, ...]
  work: int  # what one call does, in units: images * moves, say. It must do just that: see that nothing stops early
  unit: str  # "gradient-step": the rate is told in gradient-steps/s


class Timing(NamedTuple):
  """One compiled function, called again and again."""

  compile_s: float  # tracing, lowering, compiling; less if a compilation cache was warm
  call_s: tuple[float, float, float]  # quartiles of the seconds of a call; the middle one is the median
  repeats: int
  seconds: float  # of all timed calls
  work: int  # units of one call
  unit: str
  flops: Flops  # of one call, on all devices together

  @property
  def per_second(self) -> float:
    """Units a second, by the median call."""
    return self.work / self.call_s[1]

  @property
  def flops_per_second(self) -> float:
    """Operations a second, by the median call; as uncertain as `flops`."""
    return self.flops.flops / self.call_s[1]


class Memory(NamedTuple):
  """Bytes. The first four are XLA's plan of the step on one device, None where it tells none."""

  argument: int | None
  output: int | None
  temp: int | None
  alias: int | None  # outputs that take the place of arguments: the donated state
  peak: int | None
  peak_of: str  # "device": most in use on any device of this process; "process": its resident memory on the host
  state: int  # all leaves once, however they are sharded or copied


class Report(NamedTuple):
  """What `bench` found. `table(report)` shows it, `report.to_dict()` is for JSON."""

  platform: str
  device_kind: str
  devices: int
  processes: int
  cpu: str  # the host's, and its number of cores
  load: float | None  # the host's one-minute load average before anything ran
  versions: Mapping[str, str]
  when: str  # UTC
  steps_per_call: int
  images: int  # examples of one step
  step: Timing  # unit: step; batches and dispatch included
  sample: Timing | None  # unit: image
  kernels: Mapping[str, Timing]
  memory: Memory
  parameters: int  # elements below "params" in the state
  device_peak_flops: float | None  # bf16 operations a second of one device, None if not known
  finite: bool  # whether the metrics of every measured step were

  @property
  def images_per_second(self) -> float:
    """Training examples a second, by the median call."""
    return self.step.per_second * self.images

  def share_of_peak(self, timing: Timing) -> float | None:
    """Part of the bf16 peak of all devices; None where the peak is not known."""
    if self.device_peak_flops is None:
      return None
    return timing.flops_per_second / (self.device_peak_flops * self.devices)

  def to_dict(self) -> dict[str, Any]:
    """Plain JSON values, derived numbers included."""
    told = self._asdict() | {
      "versions": dict(self.versions),
      "step": self._timing(self.step) | {"images_per_second": self.images_per_second},
      "sample": None if self.sample is None else self._timing(self.sample),
      "kernels": {name: self._timing(timing) for name, timing in self.kernels.items()},
      "memory": self.memory._asdict(),
      "step_flops": self.step.flops.flops / self.steps_per_call,
      "step_ms": 1e3 / self.step.per_second,
    }
    return json.loads(json.dumps(told))

  def _timing(self, timing: Timing) -> dict[str, Any]:
    low, median, high = timing.call_s
    return timing._asdict() | {
      "call_s": {"quartile_1": low, "median": median, "quartile_3": high},
      "flops": timing.flops.flops,
      "flops_unknown_loops": timing.flops.unknown_loops,
      "per_second": timing.per_second,
      "flops_per_second": timing.flops_per_second,
      "share_of_peak": self.share_of_peak(timing),
    }


def bench(
  system: System,
  batch: Callable[[int], HostBatch],
  *,
  mesh: Mesh | None = None,
  rules: Rules = DEFAULT_RULES,
  key: Array,
  steps_per_call: int = 1,
  seconds: float = 10.0,
  samples: int = 64,
  kernels: Mapping[str, Kernel] | None = None,
) -> Report:
  """Times the training step, sampling and `kernels`, each for about `seconds`, from a fresh state.

  A step whose work depends on what was learnt is measured as it is in the first steps.

  Args:
    system: as for `loop.run`.
    batch: the step to this process's share of its batch, {name: [B / P, ...]}.
    mesh: from `make_mesh`; by default all devices.
    rules: which leaves of the state are split, see `state_shardings`.
    key: typed PRNG key.
    steps_per_call: steps in one compiled call.
    seconds: for each timed piece; at least three calls are timed, however long they take.
    samples: images of one call of `system.sample`; 0 to leave it out.
    kernels: name to a piece to time alone.

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
  key = jax.device_put(key, replicated(mesh))
  first = place(mesh, batch(0))
  shardings = state_shardings(mesh, jax.eval_shape(system.init, key, first), rules)
  state = jax.jit(system.init, out_shardings=shardings)(named_key(key, "init"), first)
  leaves = named_leaves(state)
  parameters = sum(leaf.size for name, leaf in leaves.items() if name.split("/")[0] == "params")
  state_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves.values())
  del leaves  # they are donated to the first step
  trained = _trained(system, batch, mesh, shardings, key, state, steps_per_call, seconds)
  memory = _memory(trained.analysis, mesh, state_bytes)
  sample = None
  if system.sample is not None and samples:
    sample = _sampled(system.sample, mesh, named_key(key, "sample"), trained.state, samples, seconds)
  device = mesh.devices.flat[0]
  return Report(
    platform=device.platform,
    device_kind=device.device_kind,
    devices=mesh.size,
    processes=jax.process_count(),
    cpu=_cpu(),
    load=load,
    versions=_versions(),
    when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    steps_per_call=steps_per_call,
    images=next(iter(first.values())).shape[0],
    step=trained.timing,
    sample=sample,
    kernels={name: _alone(kernel, seconds) for name, kernel in (kernels or {}).items()},
    memory=memory,
    parameters=parameters,
    device_peak_flops=peak_flops(device.device_kind),
    finite=trained.finite,
  )


def table(report: Report) -> str:
  """The report for a person: plain text, aligned."""
  timings = {"step": report.step, "sample": report.sample, **report.kernels}
  rows = [("", "rate", "ms a call", "quartiles", "calls", "compile s", "FLOP a call", "FLOP/s", "of bf16 peak")]
  rows += [_row(name, timing, report) for name, timing in timings.items() if timing is not None]
  facts = [
    ("devices", f"{report.devices} x {report.device_kind} ({report.platform}), {report.processes} process(es)"),
    ("host", report.cpu + ("" if report.load is None else f", load {report.load:.1f} before the run")),
    ("versions", ", ".join(f"{name} {version}" for name, version in report.versions.items())),
    (
      "training",
      f"{report.images_per_second:,.1f} images/s, {1e3 / report.step.per_second:,.3f} ms a step of {report.images} images, "
      f"{report.steps_per_call} step(s) a call",
    ),
    ("model", f"{report.parameters:,} parameters, state {_bytes(report.memory.state)}"),
    ("step memory", _plan(report.memory)),
    ("peak memory", f"{_bytes(report.memory.peak)} ({report.memory.peak_of})"),
    ("", "FLOP: of products, every loop in full and the dearest branch; an upper bound where work stops early"),
  ]
  unknown = sum(timing.flops.unknown_loops for timing in timings.values() if timing is not None)
  if unknown:
    facts.append(
      ("", f"{unknown} loop(s) have a length that the program does not tell: counted once, so maybe too low")
    )
  if not report.finite:
    facts.append(("warning", "a metric was not finite: this is the speed of a run that diverged"))
  return "\n".join([*_aligned(rows, right=True), "", *_aligned(facts, right=False)])


class _Trained(NamedTuple):
  timing: Timing
  state: Any
  analysis: Any  # of memory, by XLA
  finite: bool


def _trained(system, batch, mesh, shardings, key, state, steps_per_call, seconds) -> _Trained:
  """The turns of `loop._train`: dispatch, make the next batches, read what the call before reports."""

  def placed(step: int) -> dict[str, Array]:
    rows = [batch(step + i) for i in range(steps_per_call)]
    return place(mesh, {name: np.stack([row[name] for row in rows]) for name in rows[0]}, stacked=True)

  jitted = jax.jit(
    make_calls(system, steps_per_call),
    donate_argnums=1,
    in_shardings=(replicated(mesh), shardings, batch_sharding(mesh, stacked=True)),
    out_shardings=(shardings, replicated(mesh)),
  )
  batches = placed(0)
  call, compile_s, flops = _compiled(jitted, key, state, batches)
  state, pending = call(key, state, batches)
  step, finite = steps_per_call, True
  batches = placed(step)

  def turn():
    nonlocal state, batches, pending, step, finite
    state, outcome = call(key, state, batches)
    step += steps_per_call
    batches = placed(step)
    jax.block_until_ready(pending)
    finite = finite and all(np.isfinite(value).all() for value in pending.metrics.values())
    pending = outcome

  times = _timed(turn, seconds)
  jax.block_until_ready(state)
  timing = _timing(times, compile_s, steps_per_call, "step", flops)
  return _Trained(timing, state, call.memory_analysis(), bool(finite))


def _sampled(sample, mesh: Mesh, key: Array, state: Any, samples: int, seconds: float) -> Timing:
  """As the loop samples: each device makes its share where that is possible, all get all."""

  def images(key, state):
    made = sample(key, state, samples)
    return made if samples % mesh.size else lax.with_sharding_constraint(made, batch_sharding(mesh))

  call, compile_s, flops = _compiled(jax.jit(images, out_shardings=replicated(mesh)), key, state)
  times = _timed(lambda: jax.block_until_ready(call(key, state)), seconds)
  return _timing(times, compile_s, samples, "image", flops)


def _alone(kernel: Kernel, seconds: float) -> Timing:
  call, compile_s, flops = _compiled(jax.jit(kernel.fn), *kernel.args)
  times = _timed(lambda: jax.block_until_ready(call(*kernel.args)), seconds)
  return _timing(times, compile_s, kernel.work, kernel.unit, flops)


def _compiled(jitted: Any, *args: Any) -> tuple[Any, float, Flops]:
  began = time.perf_counter()
  traced = jitted.trace(*args)
  call = traced.lower().compile()
  return call, time.perf_counter() - began, jaxpr_flops(traced.jaxpr)


def _timed(turn: Callable[[], Any], seconds: float) -> list[float]:
  """Seconds of each call after the warm-up, until they add up to `seconds`."""
  warm = [_seconds(turn) for _ in range(_WARM_UP)]
  planned = None
  if jax.process_count() > 1:  # all must make as many calls, and reading a clock together would disturb them
    guess = np.asarray(max(_REPEATS, round(seconds / warm[-1])), np.int32)
    planned = int(multihost_utils.broadcast_one_to_all(guess))
  times: list[float] = []
  while len(times) < planned if planned else len(times) < _REPEATS or sum(times) < seconds:
    times.append(_seconds(turn))
  return times


def _seconds(turn: Callable[[], Any]) -> float:
  began = time.perf_counter()
  turn()
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
  """Most memory that this process has had resident, in bytes; None where the system does not tell."""
  if sys.platform == "win32":
    return None
  import resource

  unit = 1 if sys.platform == "darwin" else 1024
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _cpu() -> str:
  try:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
  except (OSError, StopIteration):
    model = platform.processor() or platform.machine()
  return f"{model}, {os.cpu_count()} cores"


def _versions() -> dict[str, str]:
  known = {"python": platform.python_version()}
  for name in _PACKAGES:
    try:
      known[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
      continue
  return known


def _row(name: str, timing: Timing, report: Report) -> tuple[str, ...]:
  low, median, high = (1e3 * value for value in timing.call_s)
  share = report.share_of_peak(timing)
  return (
    name,
    f"{timing.per_second:,.1f} {timing.unit}s/s",
    f"{median:,.3f}",
    f"{low:,.3f} - {high:,.3f}",
    f"{timing.repeats}",
    f"{timing.compile_s:.2f}",
    _metric(timing.flops.flops),
    _metric(timing.flops_per_second),
    "-" if share is None else f"{100 * share:.2f} %",
  )


def _plan(memory: Memory) -> str:
  return ", ".join(f"{name} {_bytes(getattr(memory, name))}" for name in ("argument", "output", "temp", "alias"))


def _metric(value: float) -> str:
  for size, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
    if value >= size:
      return f"{value / size:.2f} {prefix}"
  return f"{value:.0f}"


def _bytes(value: int | None) -> str:
  if value is None:
    return "not told"
  for size, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
    if value >= size:
      return f"{value / size:.1f} {unit}"
  return f"{value} B"


def _aligned(rows: list[tuple[str, ...]], *, right: bool) -> list[str]:
  """Columns of one width; the first to the left, the others to the right if so wanted."""
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  pads = [str.ljust] + [str.rjust if right else str.ljust] * (len(widths) - 1)
  return [
    "  ".join(pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True)).rstrip() for row in rows
  ]
