"""Measures several metrics of one state, from one draw of samples, a batch of them at a time (metrics/generated.py).

The numbers of a section of config.metrics that is named after its metric keep their own names. The name of any other
section is put before them: "validation": {"name": "error"} gives validation_error.

Checked  tests/test_run.py
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from genjax.core import Array, Dataset, Metric, Number, State
from genjax.metrics.samples import Samples


class Evaluation(NamedTuple):
  """Metrics by section. `final` sections are measured at the end of a run, and never choose a checkpoint."""

  metrics: Mapping[str, Metric]
  names: Mapping[str, str]  # section -> name of its metric
  final: frozenset[str] = frozenset()


def in_training(evaluation: Evaluation) -> Evaluation:
  """The metrics that a run measures while it trains."""
  chosen = {key: metric for key, metric in evaluation.metrics.items() if key not in evaluation.final}
  return evaluation._replace(metrics=chosen)


def named(evaluation: Evaluation, section: str, number: str) -> str:
  """What a section's number is called."""
  return number if evaluation.names[section] == section else f"{section}_{number}"


def better(evaluation: Evaluation) -> dict[str, str]:
  """Every number by name: "lower", "higher" or "neither" is better."""
  return {
    named(evaluation, section, number): direction
    for section, metric in evaluation.metrics.items()
    for number, direction in metric.better.items()
  }


def measure(
  evaluation: Evaluation,
  key: Array,
  state: State,
  data: Dataset,
  views: Mapping[str, Callable],
  sample: Callable[[Array, State, int], Array] | None,
) -> dict[str, Number]:
  """All numbers of a state. `sample` is the compiled view; metrics that ask for as many samples share them."""
  gathers: dict[int, frozenset[str]] = {}
  for metric in evaluation.metrics.values():
    gathers[metric.samples] = gathers.get(metric.samples, frozenset()) | frozenset(metric.gathers)
  shared = dict(views) if sample is None else {**views, "sample": Samples(sample, gathers)}
  numbers = {}
  for section, metric in evaluation.metrics.items():
    for name, number in metric.measure(key, shared, state, data).items():
      numbers[named(evaluation, section, name)] = number
  return numbers


def cards(numbers: Mapping[str, Number]) -> dict[str, Any]:
  """Numbers as JSON."""
  return {name: number.to_dict() for name, number in numbers.items()}
