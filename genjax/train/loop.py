"""The training loop: a system, a stream of batches, a workdir. It knows the system only as its four functions.

One compiled call does `steps_per_call` steps by `lax.scan` over stacked batches, in a donated, sharded state. While the
device works, the next batch is prepared, and the metrics of the call before are looked at. The key of step i is
fold_in(key, i) and the batch of step i is batch(i), so `state.step` alone says where a run is, and a run that was
stopped anywhere and started again ends with the same bits.

At a step where something is due, the order is: line in the log, evaluation, grid, checkpoint. So a checkpoint is never
ahead of the log, and whatever a killed run wrote after its last checkpoint is dropped and made again, equal. With
`best`, the state of the lowest evaluation so far is beside the newest ones, in best/: written before any newer
checkpoint, and chosen by the log alone.

Shapes   K steps a call, B batch over P processes. batch(step): {name: numpy [B / P, ...]}.
Checked  tests/train/test_loop.py, test_loop_processes.py
"""

import logging
import signal as signals
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from genjax.core import Array, State, System
from genjax.train import log as logs
from genjax.train.audit import audit
from genjax.train.calls import Outcome, Sampler, jit_calls, jit_sample, named_key
from genjax.train.checkpoint import BEST, Checkpoints
from genjax.train.errors import BadSetting, Diverged, Interrupted, StorageError
from genjax.train.mesh import DEFAULT_RULES, Rules, make_mesh, place, replicated, state_shardings
from genjax.train.paths import named_leaves
from genjax.train.watch import Clock, Stop, Watchdog, stop_signals

_LOG = logging.getLogger("genjax")

HostBatch = Mapping[str, np.ndarray]
Evaluator = Callable[[Array, State, Sampler], Mapping[str, float]]


class Result(NamedTuple):
  """What a finished run gives back."""

  state: State
  step: int


def run(
  system: System,
  batch: Callable[[int], HostBatch],
  *,
  workdir: str | epath.PathLike,
  key: Array,
  steps: int,
  steps_per_call: int = 1,
  log_every: int = 100,
  checkpoint_every: int = 1000,
  sample_every: int = 0,
  evaluate_every: int = 0,
  samples: int = 64,
  keep: int = 3,
  best: str = "",
  evaluators: Mapping[str, Evaluator] | None = None,
  mesh: Mesh | None = None,
  rules: Rules = DEFAULT_RULES,
  watchdog_s: float | None = None,
  quiet: bool = False,
) -> Result:
  """Trains to `steps`, or goes on from the newest sound checkpoint in the workdir.

  Args:
    system: its state has an int32 `step`; metrics are scalars; every float in the state is always finite.
    batch: the step to this process's share of its batch, {name: [B / P, ...]}; the same step always gives the same.
    workdir: gets metrics.jsonl, samples/, tensorboard/, checkpoints/, curves.png; gs:// works, without TensorBoard.
    key: typed PRNG key; the root of everything random.
    steps: in the whole run, those of earlier attempts included.
    steps_per_call: steps in one compiled call; all of the `_every` must be multiples of it.
    log_every: steps between lines of metrics; a line holds the means over its last call.
    checkpoint_every: steps between checkpoints; the last step always has one.
    sample_every: steps between grids, 0 for none; step 0 and the last step always have one if it is not 0. The latent
      noise is the same each time, so that one sees the same images grow.
    evaluate_every: steps between evaluations, 0 for the last step only.
    samples: images in a grid.
    keep: checkpoints kept.
    best: name of an evaluated metric; the state where it was lowest, of equals the earliest, stays in best/. "": none.
    evaluators: name to (key, state, sample) -> {metric: float}; logged as `eval/<metric>`. `sample` is compiled. Every
      process calls them.
    mesh: from `make_mesh`; by default all devices.
    rules: which leaves of the state are split, see `state_shardings`.
    watchdog_s: seconds that a call may take before all stacks are printed and the process ends; None for no limit.
    quiet: nothing on the terminal.

  Returns:
    The state after `steps` steps.

  Raises:
    BadSetting: before anything is compiled; the message names the setting.
    CheckpointMismatch: if the workdir holds the checkpoints of another model.
    Diverged: if a metric or a leaf is not finite; the last good checkpoint stays.
    StorageError: if the workdir cannot be written; good checkpoints stay.
    Interrupted: after Ctrl-C or SIGTERM, once the call is finished and saved. A second Ctrl-C is not waited for.
  """
  every = _Every(log_every, checkpoint_every, sample_every, evaluate_every)
  _check_settings(system, steps, steps_per_call, every, samples, best, evaluators)
  mesh = make_mesh() if mesh is None else mesh
  with Watchdog(watchdog_s) as watchdog, stop_signals() as stop:
    watchdog.arm(patient=True)
    key = _spread(key, mesh)
    job = _Job(
      system,
      batch,
      _form(batch(0)),
      key,
      steps,
      steps_per_call,
      every,
      samples,
      evaluators or {},
      best,
      mesh,
      watchdog,
      stop,
    )
    workdir = _made(workdir)
    shapes, shardings = _shapes(job, rules)
    checkpoints = Checkpoints(workdir / "checkpoints", keep=keep)
    with _closing(checkpoints), _best_of(job, workdir) as bests:
      state, start = _begin(job, shapes, shardings, checkpoints)
      log = logs.Log(workdir, step=start, total=steps, quiet=quiet)
      with _closing(log):
        state = _train(job, state, start, shardings, checkpoints, bests, log)
    if jax.process_index() == 0:
      logs.curves(workdir)
  return Result(state, steps)


class _Every(NamedTuple):
  log_every: int
  checkpoint_every: int
  sample_every: int
  evaluate_every: int


class _Job(NamedTuple):
  """What does not change during a run."""

  system: System
  batch: Callable[[int], HostBatch]
  form: dict[str, str]  # dtypes and shapes of a batch
  key: Array
  steps: int
  steps_per_call: int
  every: _Every
  samples: int
  evaluators: Mapping[str, Evaluator]
  best: str
  mesh: Mesh
  watchdog: Watchdog
  stop: Stop


def _train(
  job: _Job,
  state: State,
  start: int,
  shardings: State,
  checkpoints: Checkpoints,
  bests: Checkpoints | None,
  log: logs.Log,
) -> State:
  sample = job.system.sample and jit_sample(job.system.sample, job.mesh)
  if start:
    done = "nothing is left to train" if start == job.steps else f"going on to {job.steps}"
    log.say(f"restored the checkpoint of step {start}; {done}")
  _artefacts(job, state, start, sample, bests, log, only_missing=start > 0)
  if start == job.steps:
    _save(job, state, start, checkpoints, log)
    return state
  names = list(named_leaves(state))
  batches = _placed(job, start)
  log.say("compiling the training step ...")
  began = time.monotonic()
  call = jit_calls(job.system, job.steps_per_call, job.mesh, shardings).lower(job.key, state, batches).compile()
  clock = Clock(compile_s=time.monotonic() - began)
  step, pending = start, None
  while step < job.steps:
    job.watchdog.arm(patient=step == start)
    state, outcome = call(job.key, state, batches)
    step += job.steps_per_call
    if step < job.steps:
      batches = _placed(job, step)  # while the device works
    if pending is not None:
      _read(*pending, names)  # done by now, so this does not wait
      log.tick(pending[0])
    pending = (step, outcome)
    stop = _stop_asked(job, step)
    if not (stop or _due(job, step)):
      continue
    values = _read(*pending, names)
    pending = None
    clock.pause(step - start)
    if _is_time(step, job.every.log_every, job.steps):
      clocked = clock.take()
      log.scalars(step, values, clocked)
      log.progress(step, values, clocked.get("rate"))
      checkpoints.check()
    if stop:
      _save(job, state, step, checkpoints, log)
      checkpoints.wait()
      raise Interrupted(
        f"stopped by {signals.Signals(stop).name} at step {step} of {job.steps}, which is saved; "
        "the same command goes on from there",
        step=step,
        signal=stop,
      )
    _artefacts(job, state, step, sample, bests, log, only_missing=False)
    if _is_time(step, job.every.checkpoint_every, job.steps):
      _save(job, state, step, checkpoints, log)
    clock.go_on()
  return state


def _begin(job: _Job, shapes: State, shardings: State, checkpoints: Checkpoints) -> tuple[State, int]:
  target = jax.tree.map(lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), shapes, shardings)
  restored = checkpoints.restore(target)
  if restored is None:
    init = jax.jit(job.system.init, out_shardings=shardings)
    return init(named_key(job.key, "init"), place(job.mesh, job.batch(0))), 0
  start = int(restored[0].step)
  if start > job.steps or start % job.steps_per_call:
    raise BadSetting(
      f"the workdir is at step {start}; that must be at most config.train.steps={job.steps} and a multiple of "
      f"config.train.steps_per_call={job.steps_per_call}; change them, or choose another --workdir"
    )
  return restored[0], start


def _shapes(job: _Job, rules: Rules) -> tuple[State, State]:
  shapes = jax.eval_shape(job.system.init, job.key, place(job.mesh, job.batch(0)))
  if getattr(getattr(shapes, "step", None), "shape", None) != ():
    raise ValueError(f"the state of a system has an int32 scalar `step`; this {type(shapes).__name__} has none")
  return shapes, state_shardings(job.mesh, shapes, rules)


def _placed(job: _Job, step: int) -> dict[str, Array]:
  rows = [job.batch(step + i) for i in range(job.steps_per_call)]
  for i, row in enumerate(rows):
    if _form(row) != job.form:
      raise ValueError(f"the batch of step {step + i} is {_form(row)}, that of step 0 {job.form}; keep one form")
  stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
  return place(job.mesh, stacked, stacked=True)


def _form(batch: HostBatch) -> dict[str, str]:
  return {name: f"{np.asarray(value).dtype}{list(np.shape(value))}" for name, value in sorted(batch.items())}


def _read(step: int, outcome: Outcome, names: list[str]) -> dict[str, float]:
  """Means over the K steps of a call that ended at `step`, after making sure that all of it is finite."""
  metrics = {name: np.asarray(values, np.float64) for name, values in outcome.metrics.items()}
  counted, calls = int(outcome.step), len(outcome.leaf)
  if counted != step:
    raise ValueError(f"state.step is {counted} after {step} steps; a system adds 1 to it in every step")
  for k in range(calls):
    for name, values in metrics.items():
      if not np.isfinite(values[k]):
        raise _diverged(step - calls + k + 1, name, values[k], int(outcome.leaf[k]), names)
  return {name: float(values.mean()) for name, values in metrics.items()}


def _diverged(step: int, metric: str | None, value: float | None, leaf: int, names: list[str]) -> Diverged:
  what = f"{metric} is {value}" if metric else "the state is not finite"
  where = f"first non-finite leaf of the state: {names[leaf]}" if leaf >= 0 else "the state itself is finite"
  return Diverged(
    f"diverged at step {step}: {what}; {where}; the last good checkpoint stays; lower the learning rate",
    step=step,
    metric=metric,
    leaf=names[leaf] if leaf >= 0 else None,
  )


def _save(job: _Job, state: State, step: int, checkpoints: Checkpoints, log: logs.Log) -> None:
  if step in checkpoints.steps():
    return
  job.watchdog.arm(patient=True)
  audited = audit(state)
  if not audited.finite.all():
    raise _diverged(step, None, None, int(audited.finite.argmin()), list(named_leaves(state)))
  log.flush()
  checkpoints.save(step, state, audited)


def _keep_if_best(job: _Job, state: State, step: int, bests: Checkpoints, log: logs.Log) -> None:
  """Waits until the state is on disk: no later checkpoint may be there without the best one before it."""
  if _first_says(log.lowest(f"eval/{job.best}") == step):
    _save(job, state, step, bests, log)
    bests.wait()
    bests.keep_only(step)


def _artefacts(
  job: _Job,
  state: State,
  step: int,
  sample: Sampler | None,
  bests: Checkpoints | None,
  log: logs.Log,
  *,
  only_missing: bool,
) -> None:
  """The evaluation and the grid that are due at a step; `only_missing` leaves out what an earlier attempt made."""
  evaluation = bool(job.evaluators) and step > 0 and _is_time(step, job.every.evaluate_every, job.steps)
  if evaluation and not (only_missing and _first_says(log.has(step, "eval/"))):
    job.watchdog.arm(patient=True)
    log.scalars(step, _evaluated(job, state, step, sample))
    if bests is not None:
      _keep_if_best(job, state, step, bests, log)
  picture = job.every.sample_every > 0 and _is_time(step, job.every.sample_every, job.steps)
  if picture and not (only_missing and _first_says(log.sample_path(step).exists())):
    job.watchdog.arm(patient=True)
    log.images(step, np.asarray(sample(named_key(job.key, "sample"), state, job.samples)))


def _evaluated(job: _Job, state: State, step: int, sample: Sampler | None) -> dict[str, float]:
  values: dict[str, float] = {}
  for name, evaluator in job.evaluators.items():
    key = jax.random.fold_in(named_key(job.key, f"evaluate/{name}"), step)
    for metric, value in evaluator(key, state, sample).items():
      if f"eval/{metric}" in values:
        raise ValueError(f"two evaluators give {metric!r}; name one otherwise")
      values[f"eval/{metric}"] = float(value)
      if not np.isfinite(values[f"eval/{metric}"]):
        _LOG.warning("evaluator %s: %s is %s at step %d", name, metric, value, step)
  if job.best and f"eval/{job.best}" not in values:
    known = ", ".join(name.removeprefix("eval/") for name in values)
    raise BadSetting(f"config.train.best={job.best!r} is not evaluated; use one of {known}, or ''")
  return values


def _is_time(step: int, every: int, last: int) -> bool:
  return step == last or bool(every and step % every == 0)


def _due(job: _Job, step: int) -> bool:
  return any(_is_time(step, every, job.steps) for every in job.every)


def _check_settings(
  system: System,
  steps: int,
  steps_per_call: int,
  every: _Every,
  samples: int,
  best: str,
  evaluators: Mapping[str, Evaluator] | None,
) -> None:
  if steps < 1 or steps_per_call < 1:
    raise BadSetting(f"config.train.steps={steps} and config.train.steps_per_call={steps_per_call}; both start at 1")
  for name, value in {"steps": steps, **every._asdict()}.items():
    if value < 0 or value % steps_per_call:
      low = value // steps_per_call * steps_per_call
      raise BadSetting(
        f"config.train.{name}={value} is not a multiple of config.train.steps_per_call={steps_per_call}; "
        f"use {max(low, 0)} or {max(low, 0) + steps_per_call}"
      )
  for name in ("log_every", "checkpoint_every"):
    if not getattr(every, name):
      raise BadSetting(f"config.train.{name}=0; use at least config.train.steps_per_call={steps_per_call}")
  if system.sample is None and every.sample_every:
    raise BadSetting("this system has no samples; set config.train.sample_every=0")
  if every.sample_every and samples < 1:
    raise BadSetting(f"config.train.samples={samples}; use at least 1, or config.train.sample_every=0")
  if every.evaluate_every and not evaluators:
    raise BadSetting(f"config.train.evaluate_every={every.evaluate_every}, but there is nothing to evaluate; use 0")
  if best and not evaluators:
    raise BadSetting(f"config.train.best={best!r}, but there is nothing to evaluate; use ''")


def _made(workdir: str | epath.PathLike) -> epath.Path:
  path = epath.Path(workdir)
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise StorageError(f"cannot make workdir {path}: {error.strerror or error}; choose another --workdir") from error
  return path


@contextmanager
def _closing(writer: Checkpoints | logs.Log) -> Iterator[None]:
  """Waits for what is being written. When an error is on its way already, that one stays the one that is told."""
  try:
    yield
  except BaseException as first:
    if not (isinstance(first, KeyboardInterrupt) and isinstance(writer, Checkpoints)):  # a second Ctrl-C does not wait
      try:
        writer.close()
      except StorageError as second:
        _LOG.debug("%s", second)
    raise
  writer.close()


@contextmanager
def _best_of(job: _Job, workdir: epath.Path) -> Iterator[Checkpoints | None]:
  """The folder of the best state, two while one takes the place of the other; None where none is asked for."""
  if not job.best:
    yield None
    return
  bests = Checkpoints(workdir / BEST, keep=2)
  with _closing(bests):
    yield bests


def _spread(key: Array, mesh: Mesh) -> Array:
  """The same key on every device of every process."""
  data, implementation = np.asarray(jax.random.key_data(key)), jax.random.key_impl(key)
  copies = replicated(mesh)
  spread = jax.make_array_from_callback(data.shape, copies, lambda index: data[index])
  return jax.random.wrap_key_data(spread, impl=implementation)


def _first_says(flag: bool) -> bool:
  """What process 0 says, on all processes; only it sees the log."""
  if jax.process_count() == 1:
    return flag
  return bool(multihost_utils.broadcast_one_to_all(np.asarray(flag)))


def _stop_asked(job: _Job, step: int) -> int:
  """The signal to stop for after this step, or 0; several processes agree on it whenever they log."""
  mine = job.stop.signal
  if jax.process_count() == 1:
    return mine
  if not _is_time(step, job.every.log_every, job.steps):
    return 0
  return int(multihost_utils.process_allgather(np.asarray(mine, np.int32)).max())
