"""`genjax plan`: the programs of a config, compiled for TPU slices on a machine without one.

The programs are those that `genjax train` runs: the training step with the preparation of its data, the sampler, and
the views that the config's metrics call. Data are opened for their shapes; nothing is trained. What was compiled stays
in the cache folder ($GENJAX_CACHE, or ~/.cache/genjax) by the program, the slice and the versions of the software, so
the same plan again takes seconds. The form of --json is in train/plan_report.py.

Checked  tests/test_planning.py
"""

import functools
import json
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from genjax.core import Experiment, System, prepared
from genjax.data.cache import cache_dir
from genjax.experiment import Allow, experiment, metrics_of
from genjax.make import function_of, parameters
from genjax.metrics.generated import batch_of
from genjax.registry import UsageError
from genjax.train.errors import BadSetting
from genjax.train.machine import versions
from genjax.train.mesh import make_mesh
from genjax.train.paths import parameter_count
from genjax.train.plan import Plan, compile_sample, compile_step, compile_view
from genjax.train.plan_report import priced, slice_report, table
from genjax.train.slices import devices_of
from genjax.train.terminal import answer, say

_READ = ("tokens", "image")  # what views of examples are asked about, by its name in a batch
_OF_EXAMPLES = ("score", "classify", "log_prob", "encode")


def command(request: Any) -> None:
  """Runs `genjax plan`: a table, or one JSON object."""
  options = request.options
  if "topology" not in options:
    raise UsageError("--topology is missing; it takes slices such as v4-32,v5e-16")
  names = list(dict.fromkeys(filter(None, options["topology"].replace(" ", "").split(","))))
  report = plan(
    request.config,
    names,
    dollars=options.get("dollars"),
    allow=request.allow,
    trust=request.trust,
    tell=functools.partial(say, to=sys.stderr),
  )
  errors = [one["error"] for one in report["topologies"].values()]
  if all(errors):
    raise UsageError("; ".join(dict.fromkeys(errors)) or "--topology is empty; it takes slices such as v4-32,v5e-16")
  answer(json.dumps(report, indent=2) if options.get("json") else table(report))


def plan(
  config: Any,
  slices: Sequence[str],
  *,
  dollars: float | None = None,
  allow: Allow = None,
  trust: Collection[str] = (),
  tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
  """What each program of a config needs on each slice; see train/plan_report.py.

  Args:
    config: from config.load_config.
    slices: "v4-32", "v5e-16" ..., see slices.devices_of.
    dollars: a chip-hour.
    allow, trust: see experiment.experiment.
    tell: gets a line before each program that is compiled.

  Raises:
    UsageError: the config is wrong.
    BadSetting: libtpu is missing, or there is no such slice.
  """
  meshes = {name: make_mesh(devices_of(name), **(config.get("mesh") or {})) for name in slices}
  folder = os.path.join(cache_dir(), "plans")
  whole: dict[str, Any] = {"config": {}, "versions": versions(), "topologies": {}}
  for name, mesh in meshes.items():
    it = experiment(config, allow=allow, trust=trust, devices=mesh.size)
    first = _shapes(it.data.batch(0))
    batch = next(iter(first.values())).shape[0]
    try:
      system = prepared(it.system, it.data.prepare)
      whole["config"] = whole["config"] or _facts(it, system, first, batch)
      plans = {}
      for program, compile_it in programs(it, system, first, mesh, folder).items():
        tell(f"{name}: {program} ...")
        plans[program] = compile_it()
      report = slice_report(mesh, plans, batch)
    except BadSetting as error:
      report = {"error": str(error), "programs": {}, "scaling": []}
    whole["topologies"][name] = priced(report, config.train.steps, dollars)
  return whole


def programs(
  it: Experiment, system: System, first: Mapping[str, Any], mesh: Any, folder: str | None
) -> dict[str, Callable[[], Plan]]:
  """Name -> the function that compiles it: "step", then what samples and what evaluates.

  Args:
    it: from `experiment`.
    system: its system with the preparation of the data.
    first: shapes of a step's raw batch.
    mesh: the slice.
    folder: of what was compiled before.
  """
  train = it.config.train
  steps = train.get("steps_per_call", 1)
  made: dict[str, Callable[[], Plan]] = {
    "step": lambda: compile_step(system, first, mesh, steps_per_call=steps, at_step=train.steps - 1, cache=folder)
  }
  for n in _draws(it):
    made[f"sample {n}"] = lambda n=n: compile_sample(system, first, mesh, n, cache=folder)
  seen = []
  for name, view, raw, split in _evaluations(it):
    form = (view, sorted((key, leaf.shape, str(leaf.dtype)) for key, leaf in raw.items()))
    if form in seen:
      continue
    seen.append(form)
    call = _call(it, view)
    made[name if name not in made else f"{name} ({len(seen)})"] = lambda call=call, raw=raw, split=split: compile_view(
      system, first, mesh, call, raw, split=split, cache=folder
    )
  return made


def _facts(it: Experiment, system: System, first: Mapping[str, Any], batch: int) -> dict[str, Any]:
  state = jax.eval_shape(system.init, jax.random.key(0), dict(first))
  return {
    "system": it.config.system.name,
    "data": it.config.data.name,
    "batch": batch,
    "steps": it.config.train.steps,
    "steps_per_call": it.config.train.get("steps_per_call", 1),
    "parameters": parameter_count(state),
  }


def _shapes(raw: Mapping[str, Any]) -> dict[str, jax.ShapeDtypeStruct]:
  arrays = {name: np.asarray(value) for name, value in raw.items()}
  return {name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in arrays.items()}


# What evaluates -------------------------------------------------------------------------------------------------------


def _draws(it: Experiment) -> list[int]:
  """How many samples a call of the sampler makes: those on the way, and those of each metric."""
  if "sample" not in it.system.views:
    return []
  train, counts = it.config.train, set()
  if train.get("sample_every", 0):
    counts.add(train.get("samples", 64))
  for metric, settings in _metrics(it):
    if "sample" in metric.needs:
      n = metric.samples or settings.get("samples", 0)
      counts |= {batch_of(n, tuple(it.facts["shape"])) if metric.samples and it.facts.get("shape") else n}
  return sorted(counts - {0})


def _evaluations(it: Experiment) -> list[tuple[str, str, dict[str, jax.ShapeDtypeStruct], bool]]:
  """(name, view, shapes of raw examples, whether these are split over the devices) of each call of a metric."""
  calls = []
  for metric, settings in _metrics(it):
    for view in metric.needs:
      if view == "adapt":
        asked = {key: settings[key] for key in ("batch", "queries")}
        episodes = it.data.split(settings["split"]).episodes
        for shots in settings["shots"]:
          raw = _shapes(episodes(**asked, shots=shots, seed=0)(0))
          calls.append((f"{shots} shot", "solve" if "solve" in it.system.views else "adapt", raw, True))
      elif view in _OF_EXAMPLES:
        examples = it.data.split(settings["split"]).examples
        raw = {
          name: jax.ShapeDtypeStruct((settings["batch"], *np.shape(rows)[1:]), rows.dtype)
          for name, rows in examples.items()
        }
        calls.append((view, view, raw, False))
  return calls


def _metrics(it: Experiment) -> list[tuple[Any, dict[str, Any]]]:
  """Each metric of the config, and all arguments of its function."""
  evaluation, rows = metrics_of(it, check=False), []
  for section, metric in evaluation.metrics.items():
    call = {**it.config.metrics[section], "name": evaluation.names[section]}
    call.pop("final", None)
    function = function_of("metrics", call, it.maker.allow, at=f"config.metrics.{section}")
    given = {name: value for name, value in call.items() if name != "name"}
    rows.append((metric, {name: p.default for name, p in parameters(function).items()} | given))
  return rows


def _call(it: Experiment, view: str) -> Callable[[Any, Any], Any]:
  """(state, raw examples) -> what a view says of them."""

  def call(state: Any, raw: Any) -> Any:
    batch = it.data.prepare(None, raw)
    if view in _OF_EXAMPLES:
      return it.system.views[view](state, batch[next(name for name in _READ if name in batch)])
    return it.system.views[view](state, batch)

  return call
