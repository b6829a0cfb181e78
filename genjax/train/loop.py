"""The training loop: a system, a data set, a workdir. It knows the system only as its init, its step and its samples.

One compiled call does `steps_per_call` steps by `lax.scan` over stacked batches, in a donated, sharded state. While the
device works, the next batch is prepared, and the metrics of the call before are looked at; a call that takes long is
done in parts, and a signal waits for the part alone (pace.py). The key of step i is
fold_in(key, i) and the batch of step i is batch(i), so `state.step` alone says where a run is, and a run that was
stopped anywhere and started again ends with the same bits. A finished run may go on to more steps, and one that goes on
may log, save, draw and evaluate at other steps than before: the state does not depend on them.

At a step where something is due, the order is: line in the log, evaluation, samples, checkpoint. So a checkpoint is
never ahead of the log, and whatever a killed run wrote after its last checkpoint is dropped and made again, equal. With
`best`, the state of the best evaluation so far is beside the newest ones, in best/: written before any newer
checkpoint, and chosen by the values in the log.

Shapes   K steps a call, B batch over P processes. data.batch(step): {name: numpy [B / P, ...]}.
Checked  tests/train/test_loop.py, test_resume.py, test_signals.py, test_loop_refusals.py, test_longer_runs.py,
         test_best.py, test_loop_processes.py
"""

import signal
import time
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh

from genjax.core import Array, Dataset, Raw, State, System, prepared
from genjax.train import schedule
from genjax.train.checkpoint import Checkpoints
from genjax.train.compiled import Outcome, jit_parts, jit_sample, joined, means, read_outcome, trim_heap
from genjax.train.curves import curves
from genjax.train.due import Run, artefacts, best_of, closing, save
from genjax.train.errors import Interrupted, NoWorkdir, advice
from genjax.train.estimate import brief, first_call, opening
from genjax.train.evaluation import Evaluator
from genjax.train.lock import locked
from genjax.train.log import Log
from genjax.train.mesh import DEFAULT_RULES, Rules, make_mesh, on_mesh, place, spread
from genjax.train.pace import Pace
from genjax.train.paths import named_leaves
from genjax.train.processes import greatest
from genjax.train.schedule import Every, is_due, is_time
from genjax.train.signals import Clock, Watchdog, stop_signals
from genjax.train.start import abstract_state, fresh, restored, shardings_of
from genjax.train.terminal import say


class Result(NamedTuple):
  """What a finished run gives back."""

  state: State
  step: int


def train(
  system: System,
  data: Dataset,
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
  better: Mapping[str, Literal["lower", "higher", "neither"]] | None = None,
  initial: Callable[[State], State] | None = None,
  claim: Callable[[], None] | None = None,
  describe: str = "",
  mesh: Mesh | None = None,
  rules: Rules = DEFAULT_RULES,
  watchdog_s: float | None = None,
  quiet: bool = False,
) -> Result:
  """Trains to `steps`, or goes on from the newest sound checkpoint in the workdir.

  Args:
    system: takes what `data.prepare` gives. Its state has an int32 `step`; metrics are scalars; every float in the
      state is always finite.
    data: its `batch` gives this process's share of a step, the same at every call; `show` makes a file of samples.
    workdir: gets metrics.jsonl, samples/, tensorboard/, checkpoints/, curves.png; gs:// works, without TensorBoard and
      without a lock (lock.py). Another system is refused where its state has other leaves; another objective of the
      same state cannot be seen here: genjax.run.train compares the configs, a script of your own has to know.
    key: typed PRNG key; the root of everything random.
    steps: in the whole run, those of earlier attempts included.
    steps_per_call: steps in one compiled call; `steps` and all of the `_every` must be multiples of it.
    log_every: steps between lines of metrics; a line holds the means over its last call.
    checkpoint_every: steps between checkpoints; the last step always has one.
    sample_every: steps between samples, 0 for none; step 0 and the last step always have some if it is not 0. The key
      is the same each time, so that one sees the same samples grow.
    evaluate_every: steps between evaluations, 0 for the last step only.
    samples: how many are drawn each time.
    keep: checkpoints kept.
    best: an evaluated number; the state where it was best, of equals the earliest, stays in best/. "": none.
    evaluators: name to (key, state) -> {number: float}; logged as `eval/<number>`. Every process calls them.
    better: evaluated number to the direction that is better; `best` must be one of them.
    initial: given the fresh state of a new run, the one to start with; not called where a run goes on.
    claim: called once all that can be wrong has been looked at, before anything is compiled; the workdir is locked.
    describe: the data in words, for the first line on the terminal: "digits: 1,297 images of 8x8x1".
    mesh: from `make_mesh`; by default all devices.
    rules: which leaves of the state are split, see `state_shardings`.
    watchdog_s: seconds that a call may take before all stacks are printed and the process ends; None for no limit.
    quiet: nothing on the terminal.

  Returns:
    The state after `steps` steps.

  Raises:
    BadSetting: before anything is compiled; the message names the setting.
    WorkdirInUse: another run is writing in the workdir.
    CheckpointMismatch: if the workdir holds the checkpoints of another model.
    Diverged: if a metric or a leaf is not finite; the last good checkpoint stays.
    StorageError: if the workdir cannot be written; good checkpoints stay.
    Interrupted: after Ctrl-C or SIGTERM, once the part of the call that is under way is finished and saved. A second
      Ctrl-C is not waited for.
  """
  every = Every(log_every, checkpoint_every, sample_every, evaluate_every)
  evaluators, better = evaluators or {}, better or {}
  schedule.check_steps(steps, steps_per_call, every, keep)
  schedule.check_samples(sample_every, samples, drawn="sample" in system.views, shown=data.show is not None)
  schedule.check_evaluation(evaluate_every, evaluators, best, better)
  mesh = make_mesh() if mesh is None else mesh
  system = on_mesh(system, mesh, rules)
  with Watchdog(watchdog_s) as watchdog, stop_signals() as stop:
    watchdog.arm(patient=True)
    first = data.batch(0)
    run = Run(
      system=prepared(system, data.prepare),
      data=data,
      form=_form(first),
      key=spread(key, mesh),
      steps=steps,
      steps_per_call=steps_per_call,
      every=every,
      sample=jit_sample(system.views["sample"], mesh) if "sample" in system.views else None,
      samples=samples,
      evaluators=evaluators,
      best=best,
      better=better.get(best),
      mesh=mesh,
      watchdog=watchdog,
      stop=stop,
    )
    abstract = abstract_state(run.system, run.key, first, mesh, rules)
    workdir = _made(workdir)
    with locked(workdir) as held:
      checkpoints = Checkpoints(workdir / "checkpoints", keep=keep)
      with closing(checkpoints), best_of(run, workdir) as bests:
        state, start = restored(abstract, checkpoints)
        schedule.check_start(start, steps)
        if claim is not None:
          claim()
        if not quiet and jax.process_index() == 0:
          say(opening(mesh, describe, first, abstract))
        if state is None:
          state = fresh(run.system, run.key, first, mesh, abstract, initial)
        log = Log(workdir, step=start, total=steps, quiet=quiet, held=held)
        with closing(log):
          state = _train(run, state, start, shardings_of(abstract), checkpoints, bests, log)
      if jax.process_index() == 0:
        curves(workdir)
  return Result(state, steps)


def _train(
  run: Run,
  state: State,
  start: int,
  shardings: State,
  checkpoints: Checkpoints,
  bests: Checkpoints | None,
  log: Log,
) -> State:
  """From step `start` to the last one; all that is left to do where they are the same."""
  if start:
    done = "nothing is left to train" if start == run.steps else f"going on to {run.steps}"
    log.say(f"restored the checkpoint of step {start}; {done}")
  artefacts(run, state, start, bests, log, only_missing=start > 0)
  if start == run.steps:
    save(run, state, start, checkpoints, log)
    return state
  names, size = list(named_leaves(state)), run.steps_per_call
  batches = _placed(run, start)
  log.say("compiling the training step ...")
  began = time.monotonic()
  bounds = np.int32(0), np.int32(size)
  call = jit_parts(run.system, size, run.mesh, shardings).lower(run.key, state, batches, *bounds).compile()
  trim_heap()
  clock = Clock(compile_s=time.monotonic() - began)
  log.say(f"compiled in {brief(time.monotonic() - began)}")
  step, pending, values, pace = start, None, log.part(start), Pace(start, size)
  with first_call(log.say, start=start, steps=run.steps, steps_per_call=size) as speed:
    while step < run.steps:
      run.watchdog.arm(patient=step == start)
      at = step % size
      until = pace.until(at)
      state, outcome = call(run.key, state, batches, np.int32(at), np.int32(until))
      step += until - at
      whole = until == size
      if whole and step < run.steps:
        batches = _placed(run, step)  # while the device works
      if pending is not None:
        values = joined(values, read_outcome(*pending), pending.at)  # done by now, so this does not wait
        log.tick(pending.step, speed())
      pending = _Pending(step, outcome, names, at, until)
      due = whole and is_due(step, run.every, run.steps)
      stop = _stop_asked(run, step, pace)
      if not (stop or due or pace.waits):
        continue
      values = joined(values, read_outcome(*pending), at)
      pending, steps_per_second = None, speed() if whole else None
      pace.done(step)
      clock.pause(step - start)
      if whole and is_time(step, run.every.log, run.steps):
        clocked = clock.take()
        log.scalars(step, means(values), clocked)
        log.progress(step, means(values), clocked["steps_per_second"])
        checkpoints.check()
      else:
        log.tick(step, steps_per_second)
      stop = stop or _stop_asked(run, step, pace)  # the read may have taken long
      if due and not stop:
        artefacts(run, state, step, bests, log, only_missing=False)
        if is_time(step, run.every.checkpoint, run.steps):
          save(run, state, step, checkpoints, log)
        stop = _stop_asked(run, step, pace)
      if stop:
        log.keep_part(step, {} if whole else values)
        save(run, state, step, checkpoints, log)
        checkpoints.wait()
        raise Interrupted(
          f"stopped by {signal.Signals(stop).name} at step {step} of {run.steps}, which is saved; "
          "the same command goes on from there",
          step=step,
          signal=stop,
        )
      pace.go_on()
      clock.go_on()
  return state


class _Pending(NamedTuple):
  """A part of a call that is under way."""

  step: int  # finished steps after it
  outcome: Outcome
  names: list[str]
  at: int
  until: int


def _placed(run: Run, step: int) -> dict[str, Array]:
  """The batches of the call that does the step after `step`, on the devices: {name: [K, B, ...]}."""
  first = step - step % run.steps_per_call
  rows = [run.data.batch(first + i) for i in range(run.steps_per_call)]
  for i, row in enumerate(rows):
    if _form(row) != run.form:
      raise ValueError(f"the batch of step {first + i} is {_form(row)}, that of step 0 {run.form}; keep one form")
  stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
  return place(run.mesh, stacked, stacked=True)


def _form(batch: Raw) -> dict[str, str]:
  return {name: f"{np.asarray(value).dtype}{list(np.shape(value))}" for name, value in sorted(batch.items())}


def _stop_asked(run: Run, step: int, pace: Pace) -> int:
  """The signal to stop for after this step, or 0; several processes agree on it where they wait or log."""
  if jax.process_count() > 1 and not (pace.waits or is_time(step, run.every.log, run.steps)):
    return 0
  return greatest(run.stop.signal)


def _made(workdir: str | epath.PathLike) -> epath.Path:
  path = epath.Path(workdir)
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise NoWorkdir(f"cannot make workdir {path}: {error.strerror or error}; {advice(error, path)}") from error
  return path
