"""Few-shot learning by one recipe: heads beside one another, the shots of training, the iterations of the solver.

Papers   Lee 2021 (thesis), Table 4.3 (heads), figure 4.2 (shots of training), figure 4.3 (iterations of the solver)
Departs  Accuracies are means over seeds with their deviation: the spread of a run is wider than the interval of one.
         Times are medians of interleaved calls on this machine, embedding included, for episodes in batches.
Checked  tests/studies/test_few_shot_study.py
"""

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from genjax import main
from genjax.build import build, judge
from genjax.studies.runs import Run, kept, settings, trained

HEADS = ("svm", "ridge", "r2d2", "proto")
SHOTS = (1, 2, 5, 10, 15)
ITERATIONS = (1, 2, 3, 4, 5, 7, 10, 15)
_CALLS = 7  # of every head, one after the other


def heads(
  workdir: str,
  *,
  seeds: int = 3,
  quiet: bool = False,
  base: str = "metaoptnet_glyphs",
  overrides: Mapping[str, Any] | None = None,
  names: Sequence[str] = HEADS,
) -> str:
  """Table 4.3 as text: test accuracy of every head, and how long an episode takes.

  Args:
    workdir: gets a run per head and seed, and heads.json.
    seeds: 0, 1, ... of each head.
    base: the config that they share, whose argument takes a head.
    overrides: of its keys.
    names: of the heads.
  """
  runs = {name: _runs(workdir, base, name, seeds, overrides, quiet) for name in names}
  times = _times({name: of[0] for name, of in runs.items()})
  tasks = _tasks(next(iter(runs.values()))[0])
  found = {name: {task: _accuracies(of, task) for task in tasks} for name, of in runs.items()}
  kept(workdir, "heads", {"accuracy": found, "seconds": times})
  lines = [
    "| head | " + " | ".join(f"{_told(task)}, %" for task in tasks) + " | " + " | ".join(
      f"{_told(task)}, ms an episode" for task in tasks) + " |",
    "|---" * (1 + 2 * len(tasks)) + "|",
  ]  # fmt: skip
  for name in names:
    cells = [_spread(found[name][task]) for task in tasks] + [f"{1000 * times[name][task]:.2f}" for task in tasks]
    lines.append(f"| {name} | " + " | ".join(cells) + " |")
  lines.append(f"mean ± deviation over {seeds} seeds; each run is known to {_widest(runs, tasks):.1f} % (95 %)")
  return "\n".join(lines)


def shots(
  workdir: str,
  *,
  seeds: int = 1,
  quiet: bool = False,
  base: str = "metaoptnet_glyphs",
  overrides: Mapping[str, Any] | None = None,
  names: Sequence[str] = ("svm", "ridge", "proto"),
  train_shots: Sequence[int] = SHOTS,
) -> str:
  """Figure 4.2 as text, and as shots.png: test accuracy over the shots of training. See `heads`."""
  found: dict[str, dict[str, list]] = {}
  for name in names:
    for shot in train_shots:
      runs = _runs(workdir, base, name, seeds, {**(overrides or {}), "data.shots": shot}, quiet, f"_{shot}shot")
      for task in _tasks(runs[0]):
        found.setdefault(task, {}).setdefault(name, []).append(_accuracies(runs, task))
  kept(workdir, "shots", {"train_shots": list(train_shots), "accuracy": found})
  _draw(os.path.join(workdir, "shots.png"), train_shots, found, "shots of training")
  return _table(found, train_shots, "trained with")


def iterations(
  workdir: str,
  *,
  seeds: int = 1,
  quiet: bool = False,
  base: str = "metaoptnet_glyphs",
  overrides: Mapping[str, Any] | None = None,
  counts: Sequence[int] = ITERATIONS,
) -> str:
  """Figure 4.3 as text, and as iterations.png: accuracy of the trained SVM over the solver's iterations at test.

  The rows are the released solver's rule (`mode="qpth"`, ridge 1) and ours, cut at as many. See `heads`.
  """
  runs = _runs(workdir, base, "svm", seeds, overrides, quiet)
  modes = {"released": {"mode": "qpth", "ridge": 1.0}, "ours": {"mode": "exact"}}
  found: dict[str, dict[str, list]] = {}
  for name, words in modes.items():
    for count in counts:
      each = [_measured(run, {**words, "iterations": count}) for run in runs]
      for task in _tasks(runs[0]):
        found.setdefault(task, {}).setdefault(name, []).append([values[task] for values in each])
  kept(workdir, "iterations", {"iterations": list(counts), "accuracy": found})
  _draw(os.path.join(workdir, "iterations.png"), counts, found, "iterations of the solver at test")
  return _table(found, counts, "iterations")


def _runs(
  workdir: str,
  base: str,
  head: str,
  seeds: int,
  overrides: Mapping[str, Any] | None,
  quiet: bool,
  more: str = "",
) -> list[Run]:
  name, _, arg = base.partition(":")
  config = f"{name}:{','.join(filter(None, (head, arg)))}"
  place = lambda seed: os.path.join(workdir, f"{head}{more}_{seed}")
  return [trained(settings(config, overrides, seed=seed), place(seed), quiet=quiet) for seed in range(seeds)]


def _tasks(run: Run) -> list[str]:
  return [f"test_{shot}shot" for shot in run.config.metrics.shots]


def _accuracies(runs: Sequence[Run], task: str) -> list[float]:
  return [100 * run.summary["metrics"][f"{task}_accuracy"]["value"] for run in runs]


def _widest(runs: Mapping[str, Sequence[Run]], tasks: Sequence[str]) -> float:
  every = [run for of in runs.values() for run in of]
  return max(100 * run.summary["metrics"][f"{task}_interval"]["value"] for run in every for task in tasks)


def _measured(run: Run, head: Mapping[str, Any]) -> dict[str, float]:
  """Test accuracies of a run's chosen checkpoint in %, with settings of its head changed."""
  config = run.config.copy_and_resolve_references().unlock()
  config.head.update(head)
  parts = build(config)
  judged = judge(config, parts)
  state = main.restored(run.config, run.workdir, parts, "best" if config.train.best else None)[0]
  return {task: 100 * float(judged.accuracies(state, task).mean()) for task in _tasks(run)}


def _times(runs: Mapping[str, Run]) -> dict[str, dict[str, float]]:
  """Seconds that an episode of each test task takes with each head, embedding included."""
  import jax

  calls: dict[tuple[str, str], Any] = {}
  for name, run in runs.items():
    parts = build(run.config)
    judged = judge(run.config, parts)
    state = main.restored(run.config, run.workdir, parts, "best" if run.config.train.best else None)[0]
    for task in judged.tasks["test"]:
      call = jax.jit(judged.answer)
      batch = jax.device_put(task.batch(0))
      calls[name, task.name] = lambda call=call, state=state, batch=batch: jax.block_until_ready(call(state, batch))
      calls[name, task.name]()
  seconds: dict[tuple[str, str], list[float]] = {which: [] for which in calls}
  for _ in range(_CALLS):
    for which, call in calls.items():
      began = time.perf_counter()
      call()
      seconds[which].append((time.perf_counter() - began) / runs[which[0]].config.metrics.batch)
  found: dict[str, dict[str, float]] = {}
  for (name, task), values in seconds.items():
    found.setdefault(name, {})[task] = statistics.median(values)
  return found


def _told(task: str) -> str:
  return task.removeprefix("test_").replace("shot", "-shot")


def _spread(values: Sequence[float]) -> str:
  deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
  return f"{statistics.mean(values):.1f}{deviation}"


def _table(found: Mapping[str, Mapping[str, Sequence]], places: Sequence[int], told: str) -> str:
  lines = [f"| accuracy, %; {told} | " + " | ".join(map(str, places)) + " |", "|---" * (1 + len(places)) + "|"]
  for task, rows in found.items():
    for name, values in rows.items():
      lines.append(f"| {name}, {_told(task)} | " + " | ".join(map(_spread, values)) + " |")
  return "\n".join(lines)


def _draw(path: str, places: Sequence[int], found: Mapping[str, Mapping[str, Sequence]], label: str) -> None:
  import io

  import numpy as np
  from etils import epath
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  figure = Figure(figsize=(4 * len(found), 3.2), layout="constrained")
  FigureCanvasAgg(figure)
  for axis, (task, rows) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
    for name, values in rows.items():
      means, spread = (np.array([of(value) for value in values]) for of in (np.mean, np.std))
      axis.errorbar(places, means, spread, marker=".", capsize=2, label=name)
    axis.set(xlabel=label, ylabel="test accuracy, %", title=_told(task))
    axis.legend(fontsize=8)
  content = io.BytesIO()
  figure.savefig(content, format="png", dpi=100)
  epath.Path(path).write_bytes(content.getvalue())
