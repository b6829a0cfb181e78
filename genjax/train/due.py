"""What a run leaves at a step where something is due: the evaluation, the samples, the checkpoint, the best state.

Checked  tests/train/test_loop.py, test_best.py
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh

from genjax.core import Array, Dataset, State, System, named_key
from genjax.train.checkpoint import BEST, Checkpoints
from genjax.train.compiled import Sampler, diverged
from genjax.train.errors import StorageError
from genjax.train.evaluation import Evaluator, evaluated
from genjax.train.fingerprint import fingerprints
from genjax.train.log import Log
from genjax.train.paths import named_leaves
from genjax.train.processes import first_says
from genjax.train.schedule import Every, is_time
from genjax.train.signals import Stop, Watchdog

_LOG = logging.getLogger("genjax")


class Run(NamedTuple):
  """What does not change during a run."""

  system: System  # takes raw batches
  data: Dataset
  form: dict[str, str]  # dtypes and shapes of a batch
  key: Array
  steps: int
  steps_per_call: int
  every: Every
  sample: Sampler | None
  samples: int
  evaluators: Mapping[str, Evaluator]
  best: str
  better: str | None
  mesh: Mesh
  watchdog: Watchdog
  stop: Stop


def save(run: Run, state: State, step: int, checkpoints: Checkpoints, log: Log) -> None:
  """Starts a checkpoint of a state that is finite; of a step that has one, nothing."""
  if step in checkpoints.steps():
    return
  run.watchdog.arm(patient=True)
  known = fingerprints(state)
  if not known.finite.all():
    raise diverged(step, int(known.finite.argmin()), list(named_leaves(state)), "the state is not finite")
  log.flush()
  checkpoints.save(step, state, known)


def _keep_if_best(run: Run, state: State, step: int, bests: Checkpoints, log: Log) -> None:
  """Keeps the state if its value is better than that of the state kept so far.

  It waits until the state is on disk: no later checkpoint may be there without the best one before it.
  """
  if first_says(log.best(f"eval/{run.best}", run.better, [*bests.steps(), step]) == step):
    save(run, state, step, bests, log)
    bests.wait()
    bests.keep_only(step)


def artefacts(run: Run, state: State, step: int, bests: Checkpoints | None, log: Log, *, only_missing: bool) -> None:
  """The evaluation and the samples that are due at a step; `only_missing` leaves out what an earlier attempt made."""
  due = bool(run.evaluators) and step > 0 and is_time(step, run.every.evaluate, run.steps)
  new = due and not (only_missing and first_says(log.has(step, "eval/")))
  if new:
    run.watchdog.arm(patient=True)
    log.scalars(step, evaluated(run.evaluators, run.key, state, step, run.best))
  if bests is not None and (new or not bests.steps()):
    _keep_if_best(run, state, step, bests, log)
  drawn = run.every.sample > 0 and is_time(step, run.every.sample, run.steps)
  if drawn and not (only_missing and first_says(log.has_samples(step))):
    run.watchdog.arm(patient=True)
    if not step:
      log.say(f"drawing {run.samples} samples before the first step ...")
    examples = run.sample(named_key(run.key, "sample"), state, run.samples)
    log.samples(step, run.data.show(jax.tree.map(np.asarray, examples)))


@contextmanager
def closing(writer: Checkpoints | Log) -> Iterator[None]:
  """Waits for what is being written. When an error is on its way already, that one stays the one that is raised."""
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
def best_of(run: Run, workdir: epath.Path) -> Iterator[Checkpoints | None]:
  """The folder of the best state, two while one takes the place of the other; None where none is asked for."""
  if not run.best:
    yield None
    return
  bests = Checkpoints(workdir / BEST, keep=2)
  with closing(bests):
    yield bests
