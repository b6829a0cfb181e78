"""What the commands do: `train` as a function for Python, and all commands by their requests.

Checked  tests/test_run.py, tests/test_winn_digits.py
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from genjax import workdir as workdirs
from genjax.core import Experiment, named_key
from genjax.evaluate import Evaluation, better, cards, in_training, measure
from genjax.experiment import (
  Allow,
  experiment,
  join_hosts,
  mesh_of,
  metrics_of,
  refuse_best_of_test,
  sampler,
  starting_from,
)
from genjax.make import Maker, arguments, function_of, parameters
from genjax.metrics.figure import draw
from genjax.metrics.generated import batches
from genjax.registry import UsageError
from genjax.samples import check as check_samples
from genjax.samples import samples, write
from genjax.train import bench as benches
from genjax.train import loop
from genjax.train.errors import RunError, advice, reason
from genjax.train.files import read_metrics, write_json
from genjax.train.machine import hardware, versions
from genjax.train.mesh import make_mesh, on_mesh
from genjax.train.terminal import answer, say


def train(
  config: ConfigDict,
  workdir: str | os.PathLike,
  *,
  quiet: bool = False,
  go_on: bool = False,
  init_from: str | None = None,
  allow: Allow = None,
  trust: Collection[str] = (),
) -> dict[str, Any]:
  """Trains `config` in `workdir`, or goes on there; returns what summary.json then holds.

  Args:
    config: from config.load_config.
    workdir: local or gs://.
    quiet: nothing on the terminal.
    go_on: keys may differ from those of the run in the workdir; the changes are recorded in continued.json. A longer
      run, other metrics and other intervals need no leave.
    init_from: workdir of another run, whose newest weights a new run starts from.
    allow: packages whose code the config's names may import; None: any.
    trust: further packages, whose code the configs of other runs may import, such as that of `init_from`.

  Raises:
    UsageError: the config is wrong, or the workdir holds another one; nothing was changed.
    RunError: see genjax/train/errors.py.
  """
  join_hosts()
  changed = workdirs.refuse_another(config, workdir, go_on=go_on)
  mesh = mesh_of(config)
  it = experiment(config, allow=allow, trust=trust)
  it = it._replace(system=on_mesh(it.system, mesh))
  evaluation = metrics_of(it)
  logged = in_training(evaluation)
  refuse_best_of_test(it, logged)
  sample = sampler(it.system, mesh)
  values = lambda key, state: {
    name: number.value for name, number in measure(logged, key, state, it.data, it.system.views, sample).items()
  }
  fixed = {
    "system": it.system,
    "data": it.data,
    "workdir": workdir,
    "key": jax.random.key(config.seed),
    "mesh": mesh,
    "quiet": quiet,
    "evaluators": {"samples": values} if logged.metrics else None,
    "better": better(logged),
    "claim": lambda: workdirs.claim(config, workdir, changed),
    "describe": it.facts.get("describe", ""),
  }
  if init_from is not None:
    fixed["initial"] = starting_from(init_from, {*(allow or ()), *trust})
  settings = arguments(loop.train, config.train, Maker(fixed), at="config.train")
  if not logged.metrics:
    settings["evaluate_every"] = 0
  result = loop.train(**settings)
  summary = summary_of(it, evaluation, result.state, workdir)
  if jax.process_index() == 0:
    write_json(os.path.join(workdir, "summary.json"), summary)
    if not quiet:
      say(last_words(summary, workdir))
  return summary


def summary_of(it: Experiment, evaluation: Evaluation, state: Any, workdir: str | os.PathLike) -> dict[str, Any]:
  """What summary.json says of a finished run; leaves figure.png where a Frechet distance of pictures was measured."""
  config, best, mesh = it.config, it.config.train.get("best"), mesh_of(it.config)
  sample = sampler(it.system, mesh)
  key = named_key(jax.random.key(config.seed), "summary")
  of = lambda state: measure(evaluation, key, state, it.data, it.system.views, sample)
  rows = read_metrics(os.path.join(workdir, "metrics.jsonl")) if jax.process_index() == 0 else []
  steps = int(state.step)
  summary: dict[str, Any] = {"steps": steps, "devices": jax.device_count(), "platform": jax.default_backend()}
  summary |= {"hardware": hardware(), "versions": versions()}
  summary["last"] = {
    name: value for row in rows if row["step"] == steps for name, value in row.items() if name not in ("step", "clock")
  }
  if not evaluation.metrics:
    return summary
  numbers = of(state)
  summary["metrics"] = cards(numbers)
  if best:
    chosen, at = workdirs.restored(it.system, it.data, workdir, "best", mesh=mesh)
    summary |= {
      "best_step": at,
      "chosen_by": best,
      "metrics": cards(of(chosen)),
      "metrics_of_last_step": cards(numbers),
    }
  curve = [(row["step"], row["eval/frechet"]) for row in rows if row.get("eval/frechet") is not None]
  if curve:
    summary["median_of_last_three_frechet"] = float(np.median([value for _, value in curve[-3:]]))
  if "frechet" in numbers and jax.process_index() == 0:
    n, real = numbers["frechet"].card.generated, it.data.split(it.facts["train_split"]).examples["image"]
    draw(
      os.path.join(workdir, "figure.png"),
      next(batches(sample, key, state, n, real)),  # the first of those that were measured
      real,
      curve,
      {name.removeprefix("anchors_"): one.value for name, one in numbers.items() if name.startswith("anchors_")},
      numbers["frechet"],
    )
  return summary


def last_words(summary: Mapping[str, Any], workdir: str | os.PathLike) -> str:
  """What the terminal says when a run has ended."""
  figure = "figure.png, samples/, " if "frechet" in summary.get("metrics", {}) else ""
  lines = [f"done: {summary['steps']} steps; {workdir}/{figure}curves.png, summary.json"]
  if "metrics" in summary:
    chosen = (
      f"at step {summary['best_step']}, where {summary['chosen_by']} was best: " if "best_step" in summary else ""
    )
    lines.append(chosen + _values(summary["metrics"]))
  if "metrics_of_last_step" in summary:
    lines.append("at the last step: " + _values(summary["metrics_of_last_step"]))
  if "median_of_last_three_frechet" in summary:
    lines.append(f"frechet, median of the last three evaluations: {summary['median_of_last_three_frechet']:.1f}")
  return "\n".join(lines)


def _values(numbers: Mapping[str, Any]) -> str:
  return ", ".join(f"{name} {number['value']:.4g}" for name, number in numbers.items())


# Commands -------------------------------------------------------------------------------------------------------------


def command(request: Any, function: Callable[[Any], None] | None = None) -> int:
  """Runs what cli.parse read; returns the exit code: 0, 1 failed, 2 wrong usage, 130 and 143 stopped by a signal.

  Args:
    request: from cli.parse.
    function: what runs it; None: the row of COMMANDS.
  """
  from genjax.train.slices import quiet_libtpu

  logging.basicConfig(format="genjax: %(message)s", level=logging.WARNING)
  quiet_libtpu()  # the test extra brings it, and without a TPU it fills the terminal
  try:
    (function or COMMANDS[request.command])(request)
    return 0
  except UsageError as error:
    code, text = 2, str(error)
  except RunError as error:
    code, text = error.exit_code, str(error)
  except OSError as error:
    where = getattr(error, "filename", None)
    if where is None or error.errno is None:  # a bug, not a file that the system refuses
      raise
    code, text = 1, f"{where}: {reason(error)}; {advice(error, where)}"
  say("genjax: " + " ".join(text.split()), to=sys.stderr)
  return code


def _train(request: Any) -> None:
  options = request.options
  train(
    request.config,
    request.workdir,
    quiet=options.get("quiet", False),
    go_on=options.get("continue", False),
    init_from=options.get("init-from"),
    allow=request.allow,
    trust=request.trust,
  )


def _sample(request: Any) -> None:
  options = request.options
  it = experiment(request.config, allow=request.allow, trust=request.trust)
  check_samples(it, options)
  out = options.get("out") or os.path.join(request.workdir, "samples.png" if _is_picture(it) else "samples.txt")
  if not out.endswith((".png", ".npz", ".txt", "/")):
    raise UsageError(f"--out {out!r}; use a name that ends in .png (one picture), .npz (array), .txt or / (a folder)")
  state, step = workdirs.restored(it.system, it.data, request.workdir, options.get("step"), seed=it.config.seed)
  drawn = samples(it, jax.random.key(options.get("seed", 0)), state, options)
  written = write(it, drawn, out)
  answer(f"{len(drawn.examples)} examples of step {step} in {written}")


def _evaluate(request: Any) -> None:
  it, options = experiment(request.config, allow=request.allow, trust=request.trust), request.options
  it = it._replace(config=ConfigDict({**it.config, "metrics": _chosen(it.config, options, request.allow)}))
  seed = options.get("seed", 0)
  evaluation = metrics_of(it, seed=seed)
  if not evaluation.metrics:
    raise UsageError("config.metrics is empty: nothing to measure")
  state, step = workdirs.restored(it.system, it.data, request.workdir, options.get("step"), seed=it.config.seed)
  numbers = measure(
    evaluation, jax.random.key(seed), state, it.data, it.system.views, sampler(it.system, make_mesh(jax.devices()[:1]))
  )
  answer(json.dumps({"step": step, "metrics": cards(numbers)}, indent=2))


def _chosen(config: ConfigDict, options: Mapping[str, Any], allow: Allow) -> dict[str, Any]:
  """Sections of the config's metrics or of --metrics, with the samples of --n, and Inception by --weights."""
  sections = dict(config.get("metrics") or {})
  own = lambda name: isinstance(sections.get(name), ConfigDict) and sections[name].get("name", name) == name
  if "metrics" in options:
    sections = {name: sections[name] if own(name) else ConfigDict() for name in options["metrics"]}
  more = {"samples": options["n"]} if "n" in options else {}
  more |= {"extractor": {"name": "inception", "weights": options["weights"]}} if "weights" in options else {}
  for name, section in sections.items():
    if isinstance(section, ConfigDict) and more:
      call = {"name": section.get("name", name)}
      takes = parameters(function_of("metrics", call, allow, at=f"config.metrics.{name}"))
      sections[name] = ConfigDict({**section, **{key: value for key, value in more.items() if key in takes}})
  return sections


def _encode(request: Any) -> None:
  it, options = experiment(request.config, allow=request.allow, trust=request.trust), request.options
  if "encode" not in it.system.views:
    raise UsageError(f"system {it.config.system.name} has no view 'encode'; it has {', '.join(it.system.views)}")
  out = options.get("out") or os.path.join(request.workdir, "features.npz")
  if not out.endswith(".npz"):
    raise UsageError(f"--out {out!r}; use a name that ends in .npz")
  try:
    split = it.data.split(options.get("split", "test"))
  except (ValueError, OSError) as error:
    raise UsageError(str(error)) from error
  state, step = workdirs.restored(it.system, it.data, request.workdir, options.get("step"), seed=it.config.seed)
  features = encoded(it, state, split.examples)
  os.makedirs(os.path.dirname(out) or ".", exist_ok=True)
  np.savez_compressed(out, features=features, **{k: v for k, v in split.examples.items() if k == "label"})
  answer(f"{features.shape[0]} features of {features.shape[1:]} of step {step}, {split.name}, in {out}")


def _is_picture(it: Experiment) -> bool:
  return "vocabulary" not in it.facts


def encoded(it: Experiment, state: Any, examples: Mapping[str, np.ndarray], *, batch: int = 250) -> np.ndarray:
  """Features [N, ...] of raw examples, by the view "encode"; the last batch is filled up and cut."""
  encode = jax.jit(
    lambda state, image: it.system.views["encode"](state, it.data.prepare(None, {"image": image})["image"])
  )
  images, parts = examples["image"], []
  for start in range(0, len(images), batch):
    part = images[start : start + batch]
    filled = np.concatenate([part, np.repeat(part[:1], batch - len(part), 0)])
    parts.append(np.asarray(encode(state, filled))[: len(part)])
  return np.concatenate(parts)


def _bench(request: Any) -> None:
  if request.options.get("metrics"):
    from genjax.metrics import speed

    n = request.options["n"]
    answer(speed.table(speed.speeds(n), n))
    return
  it = experiment(request.config, allow=request.allow, trust=request.trust)
  report = benches.bench(
    it.system,
    it.data,
    key=jax.random.key(request.config.seed),
    mesh=mesh_of(request.config),
    steps_per_call=request.config.train.steps_per_call,
    seconds=request.options.get("seconds", 10.0),
    samples=request.config.train.get("samples", 64),
  )
  answer(json.dumps(report.to_dict(), indent=2) if request.options.get("json") else benches.table(report))


def _convert(request: Any) -> None:
  from genjax.convert import convert

  answer(convert(*(request.options[key] for key in ("from", "net", "out"))))


COMMANDS = {
  "train": _train,
  "sample": _sample,
  "evaluate": _evaluate,
  "encode": _encode,
  "bench": _bench,
  "convert": _convert,
}
