"""What a workdir holds: the config of its run, and the states of its checkpoints.

    config.json      the config, with the number of this layout
    continued.json   keys that `--continue` changed, with the step at which it did

Checked  tests/test_workdir.py, test_run.py
"""

import fnmatch
import json
import logging
import os
from collections.abc import Mapping
from typing import Any

import jax
from etils import epath
from ml_collections import ConfigDict

from genjax.config import LAYOUT, parsed_config
from genjax.core import Dataset, System, named_key, prepared
from genjax.make import plain
from genjax.registry import UsageError
from genjax.train.checkpoint import BEST, Checkpoints
from genjax.train.files import read_json, read_metrics, write_json
from genjax.train.mesh import make_mesh, place, state_shardings

_LOG = logging.getLogger("genjax")
MAY_DIFFER = (
  "mesh",
  "mesh.*",
  "sample",
  "sample.*",
  "metrics",
  "metrics.*",
  "train.steps",
  "train.*_every",
  "train.keep",
  "train.samples",
  "train.watchdog_s",
)


def as_json(config: ConfigDict) -> Any:
  """A config as JSON gives it back."""
  return json.loads(json.dumps(plain(config)))


def holds(config: ConfigDict, workdir: str | os.PathLike) -> bool:
  """Whether the workdir holds the run of this config; its length, its metrics and its artefacts may differ."""
  theirs = kept(workdir)
  return theirs is not None and not changes(theirs, config)


def kept(workdir: str | os.PathLike) -> dict[str, Any] | None:
  """The config of a workdir, local or gs://, as JSON; None where there is none. Raises UsageError for a damaged one."""
  path = epath.Path(workdir) / "config.json"
  return parsed_config(path.read_bytes(), str(path)) if path.exists() else None


def is_trained(workdir: str | os.PathLike) -> bool:
  """Whether a run has left a line of metrics or a checkpoint; a command that was refused has left neither."""
  log, checkpoints = epath.Path(workdir) / "metrics.jsonl", epath.Path(workdir) / "checkpoints"
  if log.exists() and log.stat().length:
    return True
  return checkpoints.is_dir() and any(path.name.isdigit() for path in checkpoints.iterdir())


def changes(theirs: Mapping[str, Any], config: ConfigDict) -> list[tuple[str, Any, Any]]:
  """Keys in which a run would be another one: (key, value there, value here)."""
  rows = differences(theirs, as_json(config))
  return [row for row in rows if not any(fnmatch.fnmatch(row[0], free) for free in MAY_DIFFER)]


def differences(old: Any, new: Any, at: str = "") -> list[tuple[str, Any, Any]]:
  """Keys in which two configs differ: (key, old value, new value)."""
  if isinstance(old, dict) and isinstance(new, dict):
    keys = sorted({*old, *new})
    return [row for key in keys for row in differences(old.get(key), new.get(key), f"{at}.{key}".lstrip("."))]
  return [] if old == new else [(at, old, new)]


def refuse_another(config: ConfigDict, workdir: str | os.PathLike, *, go_on: bool = False) -> list[tuple]:
  """The keys that `go_on` lets differ from the run in the workdir.

  Raises:
    UsageError: they differ and `go_on` is not set; names them.
  """
  theirs, trained = kept(workdir), is_trained(workdir)
  if theirs is None and trained:
    _LOG.warning("%s was trained before, but has no config.json: that it was with this config is not checked", workdir)
  rows = [] if theirs is None or not trained else changes(theirs, config)
  if rows and not go_on:
    text = "; ".join(f"config.{key} is {old} there and {new} here" for key, old, new in rows)
    raise UsageError(
      f"{workdir} holds another run: {text}; choose another --workdir, the old settings, or say --continue"
    )
  return rows


def claim(config: ConfigDict, workdir: str | os.PathLike, changed: list[tuple]) -> None:
  """Writes config.json; called once all that can be wrong with the config was checked."""
  if jax.process_index():
    return
  try:
    epath.Path(workdir).mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UsageError(f"cannot make the workdir {workdir}: {error.strerror or error}") from error
  if changed:
    path = os.path.join(workdir, "continued.json")
    rows = read_metrics(os.path.join(workdir, "metrics.jsonl"))
    entry = {"step": rows[-1]["step"] if rows else 0, "changed": {key: [old, new] for key, old, new in changed}}
    write_json(path, [*_entries(path), entry])
  write_json(os.path.join(workdir, "config.json"), {**as_json(config), "layout": LAYOUT})


def _entries(path: str) -> list[Any]:
  """What continued.json holds so far; a damaged one is left out with a warning."""
  try:
    entries = read_json(path)
  except ValueError:
    entries = "?"
  if entries is not None and not isinstance(entries, list):
    _LOG.warning("%s was damaged and is written anew, without its former entries", path)
  return entries if isinstance(entries, list) else []


def restored(
  system: System,
  data: Dataset,
  workdir: str | os.PathLike,
  step: int | str | None = None,
  *,
  seed: int = 0,
  mesh: Any = None,
) -> tuple[Any, int]:
  """The state of a run's checkpoint, and its step.

  Args:
    system, data: those of the run.
    workdir: local or gs://.
    step: None: the newest; "best": the one that config.train.best keeps; 0: the state before training, which needs no
      workdir.
    seed: config.seed, for step 0.
    mesh: where the state lies; None: on one device.

  Raises:
    UsageError: there is no such checkpoint.
  """
  system = prepared(system, data.prepare)
  mesh = mesh or make_mesh(jax.devices()[:1])
  first = place(mesh, data.batch(0))
  shapes = jax.eval_shape(system.init, jax.random.key(0), first)
  shardings = state_shardings(mesh, shapes)
  if step == 0:
    init = jax.jit(system.init, out_shardings=shardings)
    return init(named_key(jax.random.key(seed), "init"), first), 0
  best = step == "best"
  folder = os.path.join(workdir, BEST if best else "checkpoints")
  if not os.path.isdir(folder) and "://" not in folder:
    if best and os.path.isdir(os.path.join(workdir, "checkpoints")):
      raise UsageError(f"no best checkpoint in {workdir}: nothing was evaluated yet, or config.train.best is ''")
    raise UsageError(f"no checkpoints in {workdir}; train first: genjax train --workdir {workdir} ...")
  target = jax.tree.map(
    lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes, shardings
  )
  checkpoints = Checkpoints(folder, keep=None)
  try:
    if isinstance(step, int) and step not in checkpoints.steps():
      raise UsageError(f"no checkpoint of step {step} in {folder}; there are {checkpoints.steps()}")
    state = checkpoints.restore(target, None if best else step)
  finally:
    checkpoints.close()
  if state is None:
    raise UsageError(f"no sound checkpoint in {folder}; train first")
  return state


def with_weights_of(other: Any, fresh: Any) -> Any:
  """A fresh state with the params, the other collections and the averages of another run's state.

  Raises:
    UsageError: a leaf is missing or has another shape; names it.
  """
  from genjax.train.paths import named_leaves

  fields = [name for name in ("params", "collections", "ema") if getattr(fresh, name, None) is not None]
  taken = {}
  for name in fields:
    theirs, ours = (named_leaves(getattr(state, name, None)) for state in (other, fresh))
    for path, leaf in ours.items():
      there = theirs.get(path)
      if there is None or there.shape != leaf.shape:
        came = "is missing there" if there is None else f"is {there.shape} there and {leaf.shape} here"
        raise UsageError(f"--init-from: {name}/{path} {came}; the nets must be the same")
    leaves = [jax.device_put(theirs[path].astype(leaf.dtype), leaf.sharding) for path, leaf in ours.items()]
    taken[name] = jax.tree.unflatten(jax.tree.structure(getattr(fresh, name)), leaves)
  return fresh._replace(**taken)
