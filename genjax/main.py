"""The `genjax` command: a config's parts meet the loop, a workdir and the terminal.

Checked  tests/test_main.py, tests/test_winn_digits.py
"""

import inspect
import json
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from genjax.build import Judge, ModeJudge, Parts, build, by_latents, judge
from genjax.command import (
  HELP,
  USAGE,
  Request,
  UsageError,
  arguments,
  help_of,
  nearest,
  parse,
  plain,
  shipped_configs,
)


def main(argv: list[str] | None = None) -> int:
  """Runs one command; returns the exit code: 0, 1 failed, 2 wrong usage, 130 and 143 stopped by a signal."""
  argv = sys.argv[1:] if argv is None else argv
  try:
    if not argv or argv[0] in ("-h", "--help", "help"):
      _show(USAGE + ", ".join(shipped_configs()))
      return 0 if argv else 2
    if argv[0] not in HELP:
      raise UsageError(f"no command {argv[0]!r}{nearest(argv[0], HELP)}; there are {', '.join(HELP)}")
    if {"-h", "--help"} & set(argv[1:]):
      _show(help_of(argv[0]))
      return 0
    request = parse(argv)
  except UsageError as error:
    return _fail(error, 2)
  return _objectives() if request.command == "objectives" else _run(request)


def _run(request: Request) -> int:
  logging.basicConfig(format="genjax: %(message)s", level=logging.WARNING)
  from genjax.train.errors import RunError
  from genjax.train.plan import quiet_libtpu

  quiet_libtpu()  # the test extra brings it, and without a TPU it fills the terminal
  try:
    return COMMANDS[request.command](request)
  except UsageError as error:
    return _fail(error, 2)
  except RunError as error:
    return _fail(error, error.exit_code)


def _show(text: str) -> None:
  try:
    print(text, flush=True)
  except BrokenPipeError:  # `genjax --help | head`
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: Exception, code: int) -> int:
  print("genjax: " + " ".join(str(error).split()), file=sys.stderr)
  return code


# Commands -------------------------------------------------------------------------------------------------------------


def train(config: ConfigDict, workdir: str | os.PathLike, *, quiet: bool = False) -> dict[str, Any]:
  """Trains `config` in `workdir`, or goes on there; returns what summary.json then holds.

  Raises:
    UsageError: the config is wrong, or the workdir holds another one; nothing was changed.
    RunError: see genjax/train/errors.py.
  """
  import jax

  from genjax.train import log, loop

  _join_hosts()
  _refuse_another(config, workdir)
  parts = build(config)
  judged = judge(config, parts)
  settings = arguments(config.train, loop.run, "train")
  if not judged:
    settings["evaluate_every"] = 0
  _claim(config, workdir)
  result = loop.run(
    parts.system,
    parts.data.batch,
    workdir=workdir,
    key=jax.random.key(config.seed),
    evaluators={"samples": judged} if judged else None,
    quiet=quiet,
    **settings,
  )
  summary = _summary(config, parts, judged, result.state, workdir)
  if jax.process_index() == 0:
    log.write_json(os.path.join(workdir, "summary.json"), summary)
    if not quiet:
      print(_last_words(summary, workdir))
  return summary


def _train(request: Request) -> int:
  train(request.config, request.workdir, quiet=request.options.get("quiet", False))
  return 0


def _sample(request: Request) -> int:
  import jax
  import numpy as np

  from genjax.ops.augment import to_uint8
  from genjax.train import log
  from genjax.train.mesh import make_mesh, replicated

  out = request.options.get("out") or os.path.join(request.workdir, "samples.png")
  if not out.endswith((".png", ".npz")):
    raise UsageError(f"--out {out!r}; use a name that ends in .png (one grid) or .npz (array 'images')")
  count = request.options.get("n", 1 if "sample" in request.config else 64)
  if count < 1:
    raise UsageError(f"--n {count}; at least 1")
  parts = build(request.config)
  if parts.system.sample is None:
    raise UsageError(f"system {request.config.system.name} has no samples")
  chosen = {"truncation", "interpolate", "mix"} & set(request.options)
  if chosen and "latents" not in parts.views:
    raise UsageError(f"--{min(chosen)} is for generators with latents; system {request.config.system.name} has none")
  state, step = restored(request.config, request.workdir, parts, request.options.get("step"))
  key = jax.random.key(request.options.get("seed", 0))
  columns = None
  if chosen:
    picture, columns, count = by_latents(parts.views["latents"](state), request.options)
    images = jax.jit(picture)(key)
  elif parts.canvas is None:
    images = jax.jit(parts.system.sample, static_argnums=2)(key, state, count)
  else:
    mesh = make_mesh()
    images = jax.jit(parts.canvas, static_argnums=(2, 3))(key, jax.device_put(state, replicated(mesh)), count, mesh)
  images = np.asarray(to_uint8(images))
  if out.endswith(".npz"):
    np.savez_compressed(out, images=images)
  else:
    log.save_png(out, images[0] if count == 1 and parts.canvas else log.grid(images, columns))
  print(f"{count} images of step {step} in {out}")
  return 0


def _evaluate(request: Request) -> int:
  import jax

  parts = build(request.config)
  judged = judge(request.config, parts)
  if judged is None:
    raise UsageError("config.metrics.name is empty: nothing to measure")
  state, step = restored(request.config, request.workdir, parts, request.options.get("step"))
  seed = request.options.get("seed", 0)
  sample = parts.system.sample and jax.jit(parts.system.sample, static_argnums=2)
  numbers = judged._replace(seed=seed).numbers(jax.random.key(seed), state, sample)
  print(json.dumps({"step": step, "metrics": _cards(numbers), "anchors": _cards(judged.anchors)}, indent=2))
  return 0


def _bench(request: Request) -> int:
  import jax

  from genjax.train import bench

  parts = build(request.config)
  key = jax.random.key(request.config.seed)
  report = bench.bench(
    parts.system,
    parts.data.batch,
    key=key,
    steps_per_call=request.config.train.steps_per_call,
    seconds=request.options.get("seconds", 10.0),
    samples=request.config.train.samples,
    kernels=parts.kernels(key),
  )
  print(json.dumps(report.to_dict(), indent=2) if request.options.get("json") else bench.table(report))
  return 0


def _study(request: Request) -> int:
  from genjax.parts import resolve
  from genjax.studies import STUDIES

  home, seeds, _ = STUDIES[request.options["name"]]
  seeds = request.options.get("seeds", seeds)
  if seeds < 1:
    raise UsageError(f"--seeds {seeds}; at least 1")
  study, more = resolve(home), {}
  for option, name in (("config", "base"), ("overrides", "overrides")):
    if option in request.options:
      if "base" not in inspect.signature(study).parameters:
        raise UsageError(f"study {request.options['name']} has configs of its own; it takes no --config")
      more[name] = request.options[option]
  _show(study(request.workdir, seeds=seeds, quiet=request.options.get("quiet", False), **more))
  return 0


def _objectives() -> int:
  from genjax.objectives.rows import table  # no JAX

  _show(table())
  return 0


def _convert(request: Request) -> int:
  from genjax.convert import convert

  print(convert(*(request.options[key] for key in ("from", "net", "out"))))
  return 0


COMMANDS = {
  "train": _train,
  "sample": _sample,
  "evaluate": _evaluate,
  "bench": _bench,
  "study": _study,
  "convert": _convert,
}


# Workdirs -------------------------------------------------------------------------------------------------------------


def _join_hosts() -> None:
  """On a slice of several hosts, all of them meet before the first array is made."""
  import jax

  hosts = os.environ.get("TPU_WORKER_HOSTNAMES", "")
  several = "," in hosts or {"JAX_COORDINATOR_ADDRESS", "GENJAX_SEVERAL_HOSTS"} & set(os.environ)
  if several and not jax.distributed.is_initialized():
    try:
      jax.distributed.initialize(initialization_timeout=300)
    except Exception as error:
      raise UsageError(f"the hosts did not meet ({error}); was the command started with --worker=all?") from error


def holds(config: ConfigDict, workdir: str | os.PathLike) -> bool:
  """Whether the workdir holds the run of this very config."""
  from genjax.train import log

  theirs = log.read_json(os.path.join(workdir, "config.json"))
  return theirs is not None and not _differences(_trained(theirs), _trained(_as_json(config)))


def _refuse_another(config: ConfigDict, workdir: str | os.PathLike) -> None:
  """Raises UsageError, with the differences, if the workdir holds the run of another config."""
  from genjax.train import log

  theirs = log.read_json(os.path.join(workdir, "config.json"))
  rows = [] if theirs is None else _differences(_trained(theirs), _trained(_as_json(config)))
  if rows:
    changed = "; ".join(f"config.{key} is {old} there and {new} here" for key, old, new in rows)
    raise UsageError(f"{workdir} holds another run: {changed}; choose another --workdir, or the old settings")


def _claim(config: ConfigDict, workdir: str | os.PathLike) -> None:
  """Writes config.json; called when all that can be wrong with the config has been looked at."""
  import jax
  from etils import epath

  from genjax.train import log

  if jax.process_index():
    return
  try:
    epath.Path(workdir).mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UsageError(f"cannot make the workdir {workdir}: {error.strerror or error}") from error
  log.write_json(os.path.join(workdir, "config.json"), _as_json(config))


def _trained(config: Mapping[str, Any]) -> dict[str, Any]:
  """What training depends on: not on how pictures are drawn from its weights."""
  return {key: value for key, value in config.items() if key != "sample"}


def _as_json(config: ConfigDict) -> Any:
  return json.loads(json.dumps(plain(config)))


def _differences(old: Any, new: Any, at: str = "") -> list[tuple[str, Any, Any]]:
  if isinstance(old, dict) and isinstance(new, dict):
    keys = sorted({*old, *new})
    return [row for key in keys for row in _differences(old.get(key), new.get(key), f"{at}.{key}".lstrip("."))]
  return [] if old == new else [(at, old, new)]


def restored(
  config: ConfigDict,
  workdir: str | os.PathLike,
  parts: Parts,
  step: int | str | None = None,
  *,
  mesh: Any = None,
) -> tuple[Any, int]:
  """The state of a run's checkpoint and its step: the newest unless told a number or "best". Raises UsageError.

  It lies on one device, or on those of a mesh as in training.
  """
  import jax

  from genjax.train.checkpoint import BEST, Checkpoints
  from genjax.train.mesh import make_mesh, place, state_shardings

  best = step == "best"
  folder = os.path.join(workdir, BEST if best else "checkpoints")
  if not os.path.isdir(folder) and "://" not in folder:
    if best and os.path.isdir(os.path.join(workdir, "checkpoints")):
      raise UsageError(f"no best checkpoint in {workdir}: nothing was evaluated yet, or config.train.best is ''")
    raise UsageError(f"no checkpoints in {workdir}; train first: genjax train --workdir {workdir} ...")
  mesh = mesh or make_mesh(jax.devices()[:1])
  shapes = jax.eval_shape(parts.system.init, jax.random.key(0), place(mesh, parts.data.batch(0)))
  target = jax.tree.map(
    lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
    shapes,
    state_shardings(mesh, shapes),
  )
  checkpoints = Checkpoints(folder, keep=2 if best else config.train.keep)
  try:
    found = checkpoints.restore(target, None if best else step)
  finally:
    checkpoints.close()
  if found is None:
    raise UsageError(f"no sound checkpoint in {folder}; train first")
  return found


def _summary(
  config: ConfigDict,
  parts: Parts,
  judged: Any,
  state: Any,
  workdir: str | os.PathLike,
) -> dict[str, Any]:
  import statistics

  import jax

  from genjax.metrics.figure import draw
  from genjax.train import calls, log, mesh

  rows = log.read_metrics(os.path.join(workdir, "metrics.jsonl")) if jax.process_index() == 0 else []
  summary: dict[str, Any] = {"steps": int(state.step), "devices": jax.device_count(), "platform": jax.default_backend()}
  summary["last"] = {
    k: v for row in rows if row["step"] == summary["steps"] for k, v in row.items() if k not in ("step", "clock")
  }
  if judged and not isinstance(judged, Judge | ModeJudge):  # a model is chosen on validation data
    summary |= _errors(config, parts, judged, state, workdir)
    return summary
  key = calls.named_key(jax.random.key(config.seed), "summary")
  if isinstance(judged, ModeJudge):
    summary["metrics"] = _cards(judged.numbers(key, state, calls.jit_sample(parts.system.sample, mesh.make_mesh())))
  elif judged:
    images, measured = judged.measure(key, state, calls.jit_sample(parts.system.sample, mesh.make_mesh()))
    curve = [(row["step"], row["eval/frechet"]) for row in rows if row.get("eval/frechet") is not None]
    summary["metrics"] = _cards(measured.numbers)
    summary["anchors"] = _cards(judged.metrics.anchors)
    if curve:
      summary["median_of_last_three_frechet"] = statistics.median(value for _, value in curve[-3:])
    if jax.process_index() == 0:
      draw(
        os.path.join(workdir, "figure.png"),
        images,
        judged.real,
        measured.copies.nearest,
        curve,
        {name: number.value for name, number in judged.metrics.anchors.items()},
        measured.numbers["frechet"],
      )
  return summary


def _errors(config: ConfigDict, parts: Parts, judged: Any, state: Any, workdir: str | os.PathLike) -> dict[str, Any]:
  """Errors of the best checkpoint, chosen on validation data, and of the last one beside it."""
  from genjax.train import mesh

  last = _cards(judged.numbers(None, state, None))
  if not config.train.get("best"):
    return {"metrics": last}
  best, step = restored(config, workdir, parts, "best", mesh=mesh.make_mesh())
  numbers = _cards(judged.numbers(None, best, None))
  return {"best_step": step, "chosen_by": config.train.best, "metrics": numbers, "metrics_of_last_step": last}


def _cards(numbers: Mapping[str, Any]) -> dict[str, Any]:
  return {name: number.to_dict() for name, number in numbers.items()}


def _last_words(summary: dict[str, Any], workdir: str | os.PathLike) -> str:
  figure = "figure.png, samples/, " if "frechet" in summary.get("metrics", {}) else ""
  lines = [f"done: {summary['steps']} steps; {workdir}/{figure}curves.png, summary.json"]
  if "test_error" in summary.get("metrics", {}):
    test = lambda of: f"test error {100 * summary[of]['test_error']['value']:.2f} %"
    lines.append(test("metrics"))
    if "best_step" in summary:
      lines[-1] += f" at step {summary['best_step']}, where {summary['chosen_by']} was lowest"
      lines[-1] += f"; {test('metrics_of_last_step')} at the last step"
  elif any(name.endswith("_interval") for name in summary.get("metrics", {})):
    found = {name: number["value"] for name, number in summary["metrics"].items()}
    tasks = [name.removesuffix("_interval") for name in found if name.endswith("_interval") and "test" in name]
    told = (f"{task} {100 * found[f'{task}_accuracy']:.1f} ± {100 * found[f'{task}_interval']:.1f} %" for task in tasks)
    chosen = f" at step {summary['best_step']}, chosen by {summary['chosen_by']}" if "best_step" in summary else ""
    lines.append(f"accuracy {', '.join(told)}{chosen}")
  elif "modes" in summary.get("metrics", {}):
    found = {name: number["value"] for name, number in summary["metrics"].items()}
    lines.append(
      f"modes covered {found['modes']:.0f}, good samples {found['good']:.1%}, balance {found['balance']:.2f}"
    )
  elif "metrics" in summary:
    anchors = {name: round(number["value"], 1) for name, number in summary["anchors"].items()}
    lines.append(
      f"Frechet distance {summary['metrics']['frechet']['value']:.1f}, median of the last three evaluations "
      f"{summary.get('median_of_last_three_frechet', float('nan')):.1f}; beside it {anchors}"
    )
  return "\n".join(lines)


if __name__ == "__main__":
  sys.exit(main())
