"""The runs of a study: each is trained once, and opened again by later commands.

Checked  tests/studies/test_runs.py
"""

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from genjax import run, workdir
from genjax.config import load_config, override
from genjax.core import Experiment
from genjax.experiment import experiment
from genjax.train.files import read_json, read_metrics, write_json


class Run(NamedTuple):
  """A finished run."""

  config: ConfigDict
  workdir: str
  summary: Mapping[str, Any]


def settings(name: str, overrides: Mapping[str, Any] | None = None, *, seed: int = 0) -> ConfigDict:
  """Config `name[:arg]` with `overrides` of its keys ("train.steps": 10) and a seed."""
  config = load_config(name)
  override(config, [(key, str(value)) for key, value in {**(overrides or {}), "seed": seed}.items()])
  return config


def trained(config: ConfigDict, place: str, *, quiet: bool = False) -> Run:
  """Trains `config` in the workdir `place`, goes on there, or finds it finished."""
  summary = read_json(os.path.join(place, "summary.json"))
  if summary is None or summary["steps"] < config.train.steps or not workdir.holds(config, place):
    summary = run.train(config, place, quiet=quiet)
  return Run(config, place, summary)


def opened(of: Run, step: int | str | None = None) -> tuple[Experiment, Any]:
  """Its experiment and the state of a checkpoint: of `step`, "best", or the newest."""
  it = experiment(of.config)
  return it, workdir.restored(it.system, it.data, of.workdir, step, seed=of.config.seed)[0]


def kept(place: str, name: str, value: Any) -> None:
  """Writes a study's numbers as JSON beside its runs."""
  write_json(os.path.join(place, f"{name}.json"), json.loads(json.dumps(value)))


def home_of(workdir: str, name: str, seed: int | None = None) -> str:
  """The workdir of the run of a config `name[:arg]` and a seed, or the folder of its runs."""
  return os.path.join(workdir, name.replace(":", "_") + ("" if seed is None else f"_{seed}"))


def anchors_of(run: Run) -> dict[str, float]:
  """The Frechet distances that those of a run are read against: real, pixel_gaussian, noise."""
  numbers = run.summary["metrics"].items()
  return {name.removeprefix("anchors_"): one["value"] for name, one in numbers if name.startswith("anchors_")}


def hours_of(run: Run) -> float:
  """What the training steps of a run took, by its log: without compilation, evaluations and checkpoints."""
  rows = [row for row in read_metrics(os.path.join(run.workdir, "metrics.jsonl")) if "clock" in row]
  before = [0, *(row["step"] for row in rows)]
  seconds = [
    (row["step"] - last) / speed
    for row, last in zip(rows, before, strict=False)
    if (speed := row["clock"].get("steps_per_second"))
  ]
  return sum(seconds) / 3600


def spread(values: Sequence[float], form: str) -> str:
  """ "mean ± deviation" over seeds, numbers of this format (".1f"); the mean alone of one seed."""
  mean = format(statistics.mean(values), form)
  return mean if len(values) < 2 else f"{mean} ± {format(statistics.stdev(values), form)}"
