"""Few-shot learning by one recipe: heads beside one another, the shots of training, the iterations of the solver.

Papers   Lee 2021 (thesis), Table 4.3 (heads), figure 4.2 (shots of training), figure 4.3 (iterations of the solver)
         Omniglot: numbers of their papers, see OMNIGLOT
Departs  Accuracies are means over seeds with their deviation: the spread of a run is wider than the interval of one.
         Times are medians of interleaved calls on this machine, embedding included, for episodes in batches.
Checked  tests/studies/test_few_shot_study.py

A task is an episode of the section `metrics.test` of a config with so many shots: "test_5shot".
"""

import os
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from genjax.experiment import experiment
from genjax.studies.pictures import write
from genjax.studies.runs import Run, kept, opened, settings, spread, trained

HEADS = ("svm", "ridge", "r2d2", "proto")
SHOTS = (1, 2, 5, 10, 15)
ITERATIONS = (1, 2, 3, 4, 5, 7, 10, 15)
TASKS = ("5way,1shot", "5way,5shot", "20way,1shot", "20way,5shot")  # of Omniglot: words of few_shot_omniglot
OMNIGLOT: Mapping[str, Sequence[float] | None] = {  # head -> accuracy in % on TASKS that its paper states
  "svm": None,
  "ridge": None,
  "r2d2": (98.6, 99.7, 94.7, 98.9),  # Bertinetto et al. 2019, arXiv:1805.08136
  "proto": (98.8, 99.7, 96.0, 98.9),  # Snell et al. 2017, arXiv:1703.05175, trained at 60 ways
  "matching": (98.1, 98.9, 93.8, 98.5),  # Vinyals et al. 2016, arXiv:1606.04080
  "relation": (99.6, 99.8, 97.6, 99.1),  # Sung et al. 2018, arXiv:1711.06025
  "maml": (98.7, 99.9, 95.8, 98.9),  # Finn et al. 2017, arXiv:1703.03400
}
SWEEP: Mapping[str, tuple[str, Mapping[str, Any]]] = {  # row -> head, config keys
  "svm": ("svm", {}),
  **{f"svm, C {C}": ("svm", {"head.C": C}) for C in (0.01, 1.0, 10.0)},
  "svm, scale 7 at first": ("svm", {"system.scale": 7.0}),
  "svm, scale 7": ("svm", {"system.scale": 7.0, "system.learn_scale": False}),
  **{f"{head}, 15 shots": (head, {"data.shots": 15}) for head in ("svm", "ridge", "proto")},
  **{f"{head}, 128 features": (head, {"net.width": 128}) for head in ("svm", "ridge", "proto")},
  "ridge": ("ridge", {}),
  "proto": ("proto", {}),
}
_CALLS = 7  # timed calls of every head, one after the other

Accuracies = Mapping[str, Mapping[str, Sequence[Sequence[float]]]]  # task -> row -> place -> of each seed, in %


def heads(
  workdir: str,
  *,
  seeds: int = 3,
  quiet: bool = False,
  base: str = "metaoptnet_glyphs",
  overrides: Mapping[str, Any] | None = None,
  names: Sequence[str] = HEADS,
) -> str:
  """Table 4.3 as text: the test accuracy of every head, and how long an episode takes.

  Args:
    workdir: gets a run of each head and seed, and heads.json.
    seeds: each head is trained with the seeds 0, 1, ...
    quiet: nothing on the terminal.
    base: the config that all runs share, whose argument takes a head.
    overrides: config keys to set in every run.
    names: heads.
  """
  runs = {name: _runs(workdir, base, name, seeds, overrides, quiet) for name in names}
  times = _times({name: of[0] for name, of in runs.items()})
  tasks = _tasks(next(iter(runs.values()))[0])
  accuracy = {name: {task: _accuracies(of, task) for task in tasks} for name, of in runs.items()}
  kept(workdir, "heads", {"accuracy": accuracy, "seconds": times})
  lines = [
    "| head | " + " | ".join(f"{_short(task)}, %" for task in tasks) + " | " + " | ".join(
      f"{_short(task)}, ms an episode" for task in tasks) + " |",
    "|---" * (1 + 2 * len(tasks)) + "|",
  ]  # fmt: skip
  for name in names:
    cells = [_spread(accuracy[name][task]) for task in tasks] + [f"{1000 * times[name][task]:.2f}" for task in tasks]
    lines.append(f"| {name} | " + " | ".join(cells) + " |")
  widest = _widest([run for of in runs.values() for run in of], tasks)
  lines.append(f"mean ± deviation over {seeds} seeds; each run is known to {widest:.1f} % (95 %)")
  return "\n".join(lines)


def omniglot(
  workdir: str,
  *,
  seeds: int = 1,
  quiet: bool = False,
  base: str = "few_shot_omniglot",
  overrides: Mapping[str, Any] | None = None,
  names: Sequence[str] = tuple(OMNIGLOT),
) -> str:
  """Omniglot's table as text: accuracies in % of every head, trained and tested at the same ways and shots.

  See `heads`. The files: --config.data.path=FOLDER.
  """
  accuracy: dict[str, dict[str, list[float]]] = {name: {} for name in names}
  widest = 0.0
  for words in TASKS:
    task = f"test_{words.partition(',')[2]}"
    for name in names:
      runs = _runs(workdir, f"{base}:{words}", name, seeds, overrides, quiet, f"_{words.replace(',', '_')}")
      accuracy[name][words] = _accuracies(runs, task)
      widest = max(widest, _widest(runs, [task]))
  kept(workdir, "omniglot", {"accuracy": accuracy, "papers": OMNIGLOT})
  lines = ["| head | " + " | ".join(words.replace(",", ", ") for words in TASKS) + " |", "|---" * 5 + "|"]
  for name in names:
    stated = OMNIGLOT.get(name) or (None,) * len(TASKS)
    cells = [
      _spread(accuracy[name][words]) + (f" [{value}]" if value else "")
      for words, value in zip(TASKS, stated, strict=True)
    ]
    lines.append(f"| {name} | " + " | ".join(cells) + " |")
  lines.append(f"%, mean over {seeds} seeds, each run known to {widest:.1f} (95 %); in brackets what the paper states")
  return "\n".join(lines)


def sweep(
  workdir: str,
  *,
  seeds: int = 1,
  quiet: bool = False,
  base: str = "metaoptnet_glyphs",
  overrides: Mapping[str, Any] | None = None,
  rows: Mapping[str, tuple[str, Mapping[str, Any]]] = SWEEP,
) -> str:
  """What decides how good the SVM is: C, the scale of its logits, shots of training, features. See `heads`.

  Each row is measured on the validation classes, by which a setting may be chosen, and on those of the test.
  """
  accuracy: dict[str, dict[str, list[float]]] = {}
  for row, (head, keys) in rows.items():
    more = row.removeprefix(head).replace(", ", "_").replace(" ", "_")
    runs = _runs(workdir, base, head, seeds, {**(overrides or {}), **keys}, quiet, more)
    tasks = [task.replace("test", split) for split in ("validation", "test") for task in _tasks(runs[0])]
    accuracy[row] = {task: _accuracies(runs, task) for task in tasks}
  kept(workdir, "sweep", {"accuracy": accuracy})
  heading = " | ".join(task.replace("_", ", ").replace("shot", "-shot") for task in tasks)
  lines = [f"| accuracy, % | {heading} |", "|---" * (1 + len(tasks)) + "|"]
  lines += [f"| {row} | " + " | ".join(map(_spread, of.values())) + " |" for row, of in accuracy.items()]
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
  accuracy: dict[str, dict[str, list]] = {}
  for name in names:
    for shot in train_shots:
      runs = _runs(workdir, base, name, seeds, {**(overrides or {}), "data.shots": shot}, quiet, f"_{shot}shot")
      for task in _tasks(runs[0]):
        accuracy.setdefault(task, {}).setdefault(name, []).append(_accuracies(runs, task))
  kept(workdir, "shots", {"train_shots": list(train_shots), "accuracy": accuracy})
  write(os.path.join(workdir, "shots.png"), draw(train_shots, accuracy, "shots of training"))
  return _table(accuracy, train_shots, "trained with")


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

  The rows are the released solver's rule (`mode="qpth"`, ridge 1) and ours, stopped after as many. See `heads`.
  """
  runs = _runs(workdir, base, "svm", seeds, overrides, quiet)
  modes = {"released": {"mode": "qpth", "ridge": 1.0}, "ours": {"mode": "exact"}}
  accuracy: dict[str, dict[str, list]] = {}
  for name, head in modes.items():
    for count in counts:
      each = [_measured(run, {**head, "iterations": count}) for run in runs]
      for task in _tasks(runs[0]):
        accuracy.setdefault(task, {}).setdefault(name, []).append([values[task] for values in each])
  kept(workdir, "iterations", {"iterations": list(counts), "accuracy": accuracy})
  write(os.path.join(workdir, "iterations.png"), draw(counts, accuracy, "iterations of the solver at test"))
  return _table(accuracy, counts, "iterations")


def _runs(
  workdir: str,
  base: str,
  head: str,
  seeds: int,
  overrides: Mapping[str, Any] | None,
  quiet: bool,
  more: str = "",
) -> list[Run]:
  """The runs of a head, one for each seed; `more` in their names separates those of other settings."""
  name, _, arg = base.partition(":")
  config = f"{name}:{','.join(filter(None, (head, arg)))}"
  place = lambda seed: os.path.join(workdir, f"{head}{more}_{seed}")
  return [trained(settings(config, overrides, seed=seed), place(seed), quiet=quiet) for seed in range(seeds)]


# Measuring ------------------------------------------------------------------------------------------------------------


def _tasks(run: Run) -> dict[str, int]:
  """Name -> number of shots."""
  return {f"test_{shot}shot": shot for shot in run.config.metrics.test.shots}


def _accuracies(runs: Sequence[Run], task: str) -> list[float]:
  """In %, as the runs measured them."""
  return [100 * run.summary["metrics"][f"{task}_accuracy"]["value"] for run in runs]


def _widest(runs: Sequence[Run], tasks: Iterable[str]) -> float:
  """Half the width of the widest 95 % interval, in %."""
  return max(100 * run.summary["metrics"][f"{task}_interval"]["value"] for run in runs for task in tasks)


def _chosen(run: Run) -> tuple[Any, Any]:
  """The experiment of a run, and the state that validation chose, or else the last one."""
  return opened(run, "best" if run.config.train.best else None)


def _measured(run: Run, head: Mapping[str, Any]) -> dict[str, float]:
  """Test accuracies in % of the chosen state of a run, with other settings of its head."""
  from genjax.metrics.few_shot import accuracies

  _, state = _chosen(run)
  config = run.config.copy_and_resolve_references().unlock()
  config.get("evaluate_head", config.head).update(head)
  it = experiment(config)
  asked = {key: config.metrics.test[key] for key in ("split", "queries", "episodes", "batch")}
  adapt = it.system.views["adapt"]
  return {
    task: 100 * float(accuracies(adapt, state, it.data, shots=shot, **asked).mean())
    for task, shot in _tasks(run).items()
  }


def _times(runs: Mapping[str, Run]) -> dict[str, dict[str, float]]:
  """Seconds that an episode of each test task takes with each head, embedding included."""
  import jax

  calls: dict[tuple[str, str], Any] = {}
  for name, run in runs.items():
    it, state = _chosen(run)
    test = run.config.metrics.test
    split, adapt, prepare = it.data.split(test.split), it.system.views["adapt"], it.data.prepare
    for task, shot in _tasks(run).items():
      call = jax.jit(lambda state, raw, adapt=adapt, prepare=prepare: adapt(state, prepare(None, raw)))
      raw = split.episodes(batch=test.batch, shots=shot, queries=test.queries, seed=0)(0)
      raw = jax.device_put(raw)
      calls[name, task] = lambda call=call, state=state, raw=raw: jax.block_until_ready(call(state, raw))
      calls[name, task]()
  seconds: dict[tuple[str, str], list[float]] = {which: [] for which in calls}
  for _ in range(_CALLS):
    for which, call in calls.items():
      began = time.perf_counter()
      call()
      seconds[which].append((time.perf_counter() - began) / runs[which[0]].config.metrics.test.batch)
  medians: dict[str, dict[str, float]] = {}
  for (name, task), values in seconds.items():
    medians.setdefault(name, {})[task] = statistics.median(values)
  return medians


# Showing --------------------------------------------------------------------------------------------------------------


def _short(task: str) -> str:
  return task.removeprefix("test_").replace("shot", "-shot")


def _spread(values: Sequence[float]) -> str:
  return spread(values, ".1f")


def _table(accuracy: Accuracies, places: Sequence[int], heading: str) -> str:
  """A line for each row and task, a column for each place."""
  lines = [f"| accuracy, %; {heading} | " + " | ".join(map(str, places)) + " |", "|---" * (1 + len(places)) + "|"]
  for task, rows in accuracy.items():
    for name, values in rows.items():
      lines.append(f"| {name}, {_short(task)} | " + " | ".join(map(_spread, values)) + " |")
  return "\n".join(lines)


def draw(places: Sequence[int], accuracy: Accuracies, label: str) -> Any:
  """A matplotlib Figure: a panel for each task, a curve for each row, means and deviations over the seeds."""
  import numpy as np
  from matplotlib.figure import Figure

  figure = Figure(figsize=(4 * len(accuracy), 3.2), layout="constrained")
  for axis, (task, rows) in zip(figure.subplots(1, len(accuracy), squeeze=False)[0], accuracy.items(), strict=True):
    for name, values in rows.items():
      means, deviations = (np.array([of(value) for value in values]) for of in (np.mean, np.std))
      axis.errorbar(places, means, deviations, marker=".", capsize=2, label=name)
    axis.set(xlabel=label, ylabel="test accuracy, %", title=_short(task))
    axis.legend(fontsize=8)
  return figure
