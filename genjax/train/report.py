"""The result of a measurement of speed: numbers with what they depend on, for a person and as JSON.

Checked  tests/train/test_bench.py
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from genjax.train.flops import Flops


class Timing(NamedTuple):
  """One compiled function, called again and again."""

  compile_s: float  # tracing, lowering, compiling; less if a compilation cache was warm
  call_s: tuple[float, float, float]  # quartiles of the seconds of a call; the middle one is the median
  repeats: int
  seconds: float  # of all timed calls
  work: int  # units of one call
  unit: str  # plural: "steps"
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
  """Bytes. The first four are XLA's plan of the step on one device, None where it gives none."""

  argument: int | None
  output: int | None
  temp: int | None
  alias: int | None  # outputs that take the place of arguments: the donated state
  peak: int | None
  peak_of: str  # "device": most in use on any device of this process; "process": its resident memory on the host
  state: int  # all leaves once, however they are sharded or copied


class Report(NamedTuple):
  """What `bench` measured. `table(report)` shows it, `report.to_dict()` is for JSON."""

  platform: str
  device_kind: str
  devices: int
  processes: int
  cpu: str  # the host's, and its number of cores
  load: float | None  # the host's one-minute load average before anything ran
  versions: Mapping[str, str]
  when: str  # UTC, at the end
  steps_per_call: int
  examples: int  # in the batch of one step
  step: Timing  # unit: steps; batches and dispatch included
  sample: Timing | None  # unit: examples
  kernels: Mapping[str, Timing]
  memory: Memory
  parameters: int  # elements below "params" in the state
  device_peak_flops: float | None  # bf16 operations a second of one device, None if not known
  finite: bool  # whether the metrics of every measured step were
  gradients_used: float | None = None  # share of a sampler's gradients that moved an image, in the last measured call

  @property
  def examples_per_second(self) -> float:
    """Training examples a second, by the median call."""
    return self.step.per_second * self.examples

  def share_of_peak(self, timing: Timing) -> float | None:
    """Part of the bf16 peak of all devices; None where the peak is not known."""
    if self.device_peak_flops is None:
      return None
    return timing.flops_per_second / (self.device_peak_flops * self.devices)

  def to_dict(self) -> dict[str, Any]:
    """Plain JSON values, derived numbers included."""
    values = self._asdict() | {
      "versions": dict(self.versions),
      "step": self._timing(self.step) | {"examples_per_second": self.examples_per_second},
      "sample": None if self.sample is None else self._timing(self.sample),
      "kernels": {name: self._timing(timing) for name, timing in self.kernels.items()},
      "memory": self.memory._asdict(),
      "step_flops": self.step.flops.flops / self.steps_per_call,
      "step_ms": 1e3 / self.step.per_second,
    }
    return json.loads(json.dumps(values))

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


def table(report: Report) -> str:
  """The report for a person: plain text, aligned."""
  timings = {"step": report.step, "sample": report.sample, **report.kernels}
  rows = [("", "speed", "ms a call", "quartiles", "calls", "compile s", "FLOP a call", "FLOP/s", "of bf16 peak")]
  rows += [_row(name, timing, report) for name, timing in timings.items() if timing is not None]
  facts = [
    ("devices", f"{report.devices} x {report.device_kind} ({report.platform}), {report.processes} process(es)"),
    ("host", report.cpu + ("" if report.load is None else f", load {report.load:.1f} before the run")),
    ("versions", ", ".join(f"{name} {version}" for name, version in report.versions.items())),
    ("training", _training(report)),
    ("model", f"{report.parameters:,} parameters, state {in_bytes(report.memory.state)}"),
    ("step memory", _plan(report.memory)),
    ("peak memory", f"{in_bytes(report.memory.peak)} ({report.memory.peak_of})"),
    *_sampler(report.gradients_used),
    ("", "FLOP: of products, every loop in full and the dearest branch; an upper bound where work stops early"),
  ]
  unknown = sum(timing.flops.unknown_loops for timing in timings.values() if timing is not None)
  if unknown:
    facts.append(
      ("", f"{unknown} loop(s) have a length that the program does not hold: counted once, so maybe too low")
    )
  if not report.finite:
    facts.append(("warning", "a metric was not finite: this is the speed of a run that diverged"))
  return "\n".join([*aligned(rows, str.rjust), "", *aligned(facts, str.ljust)])


def _row(name: str, timing: Timing, report: Report) -> tuple[str, ...]:
  low, median, high = (1e3 * value for value in timing.call_s)
  share = report.share_of_peak(timing)
  return (
    name,
    f"{timing.per_second:,.1f} {timing.unit}/s",
    f"{median:,.3f}",
    f"{low:,.3f} - {high:,.3f}",
    f"{timing.repeats}",
    f"{timing.compile_s:.2f}",
    in_units(timing.flops.flops),
    in_units(timing.flops_per_second),
    "-" if share is None else f"{100 * share:.2f} %",
  )


def _training(report: Report) -> str:
  milliseconds = 1e3 / report.step.per_second
  return (
    f"{report.examples_per_second:,.1f} examples/s, {milliseconds:,.3f} ms a step of {report.examples} examples, "
    f"{report.steps_per_call} step(s) a call"
  )


def _sampler(used: float | None) -> list[tuple[str, str]]:
  return [] if used is None else [("sampler", f"{100 * used:.0f} % of the computed gradients moved an image")]


def _plan(memory: Memory) -> str:
  return ", ".join(f"{name} {in_bytes(getattr(memory, name))}" for name in ("argument", "output", "temp", "alias"))


def in_units(value: float) -> str:
  """A number with the letter of its thousands: 2.50 G."""
  for size, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
    if value >= size:
      return f"{value / size:.2f} {prefix}"
  return f"{value:.0f}"


def in_bytes(value: float | None) -> str:
  """2.5 GiB."""
  if value is None:
    return "not known"
  for size, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
    if value >= size:
      return f"{value / size:.1f} {unit}"
  return f"{value:.0f} B"


def aligned(rows: list[tuple[str, ...]], pad: Callable[[str, int], str]) -> list[str]:
  """Columns of one width, the first one to the left, the others as `pad` has it."""
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = []
  for first, *others in rows:
    cells = [first.ljust(widths[0]), *(pad(cell, width) for cell, width in zip(others, widths[1:], strict=True))]
    lines.append("  ".join(cells).rstrip())
  return lines
