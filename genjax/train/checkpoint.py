"""Checkpoints that are written in the background, appear whole or not at all, and are verified when read.

Orbax restores flipped bits without a word. So every save carries a record of each leaf (path, shape, dtype, 64-bit
fingerprint of the bits on the device), and a restored state must have the same fingerprints. A checkpoint that fails is
moved to `<directory>_bad/`, never deleted, and the one before it is used. Whoever only reads changes nothing at all:
another process may be writing there at the same time.

Departs  Orbax: the state is saved as a flat {path: leaf}; empty leaves, which Orbax refuses, are made anew; errors of
         background writes come out of `check`, and the manager is rebuilt after one, because it forgets the good steps;
         whether a folder can be made is tried before each save, for Orbax's threads wait minutes for one that cannot.
Checked  tests/train/test_checkpoint.py, test_checkpoint_damage.py, test_checkpoint_readers.py
"""

import contextlib
import gc
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from genjax.core import State
from genjax.train.errors import CheckpointMismatch, StorageError, advice, reason
from genjax.train.files import is_local, probe
from genjax.train.fingerprint import Fingerprints, fingerprints
from genjax.train.paths import named_leaves
from genjax.train.processes import all_say, barrier, first_says
from genjax.train.record import compare, record_of, sealed, unsealed, verified

_LOG = logging.getLogger("genjax")
BEST = "best"  # folder of the state with the best evaluation, beside that of the newest
_RECORD = "fingerprints"  # the part of a checkpoint that holds the record of its leaves
_LOOKS = 20  # of a reader at a folder that changes under its eyes, before the last one, whose error is raised
_DRAIN_S = 0.05  # reads that are still under way when one fails end within this time on a local disk
# Trouble with reading that says nothing of what was written: moving the checkpoint aside would be wrong.
_NOT_ITS_FAULT = (PermissionError, ConnectionError, TimeoutError, MemoryError)


class Checkpoints:
  """A folder of checkpoints, one sub-folder a step, of which the newest `keep` stay.

  Args:
    directory: local path or gs://. A writer makes it if it is missing, and removes the leftovers of a killed save.
    keep: how many to keep, at least 1; 2 or more leave something to fall back on. None: this one only reads.

  Raises:
    StorageError: if the directory cannot be made or written.
  """

  def __init__(self, directory: str | epath.PathLike, *, keep: int | None):
    if keep is not None and keep < 1:
      raise ValueError(f"keep={keep} checkpoints; keep at least 1 (config.train.keep)")
    self._keep = keep
    # A relative local path would make Orbax raise.
    self._directory = epath.Path(directory) if "://" in str(directory) else epath.Path(directory).resolve()
    self._manager = self._open()

  def steps(self) -> list[int]:
    """Steps that have a finished checkpoint, oldest first."""
    return sorted(self._manager.all_steps())

  def save(self, step: int, state: State, known: Fingerprints | None = None) -> None:
    """Starts a save and returns; the state may be donated afterwards.

    Args:
      step: names the checkpoint.
      state: a pytree of arrays.
      known: its fingerprints, where they are computed already.

    Raises:
      StorageError: if this save cannot start or the one before it failed.
    """
    leaves = named_leaves(state)
    record = sealed(record_of(leaves, known or fingerprints(state)))
    kept = {name: leaf for name, leaf in leaves.items() if leaf.size}
    args = ocp.args.Composite(state=ocp.args.StandardSave(kept), **{_RECORD: ocp.args.JsonSave(record)})
    self._probe()
    try:
      self._manager.wait_until_finished()
      started = self._manager.save(step, args=args, force=True)
    except Exception as error:
      raise self._failed(error) from error
    if not started:
      raise StorageError(f"the checkpoint of step {step} was not started by Orbax; {self._state_of_things()}")

  def keep_only(self, step: int) -> None:
    """Removes all finished checkpoints but that of `step`; of a `step` that has none, nothing."""
    steps = self.steps()
    for other in steps if step in steps else ():
      if other != step:
        self._manager.delete(other)

  def check(self) -> None:
    """Raises StorageError if a save in the background has failed by now."""
    if not self._manager.is_saving_in_progress():
      self.wait()

  def wait(self) -> None:
    """Waits until what was saved is on disk. Raises StorageError if that fails."""
    try:
      self._manager.wait_until_finished()
      self._manager.check_for_errors()
    except Exception as error:
      raise self._failed(error) from error

  def close(self) -> None:
    """Waits, then lets go of the folder. Raises StorageError if the last save failed."""
    try:
      self.wait()
    finally:
      self._manager.close()

  def restore(self, abstract_state: State, step: int | None = None) -> tuple[State, int] | None:
    """Reads the newest sound checkpoint, or exactly that of `step`.

    Args:
      abstract_state: tree of `jax.ShapeDtypeStruct`, each with the sharding that is wanted now; it may differ from that
        of the writer, also in the number of devices.
      step: None for the newest that is sound; unsound ones on the way are reported, and moved aside by a writer.

    Returns:
      (state, step), every leaf in a buffer of its own so that it can be donated; None if there is no sound checkpoint.

    Raises:
      CheckpointMismatch: if a sound checkpoint holds other leaves, shapes or dtypes. Nothing is moved.
      StorageError: if `step` is given and missing or unsound, or the folder cannot be read.
    """
    if step is not None and step not in self.steps():
      raise StorageError(f"no checkpoint of step {step} in {self._directory}; there are {self.steps()}")
    for candidate in [step] if step is not None else self.steps()[::-1]:
      state, fault = self._read(candidate, abstract_state)
      if all_say(fault is None):
        return state, candidate
      if self._keep is None and not (self._directory / str(candidate)).exists():
        return self._restore_again(abstract_state, step)
      fault = fault or "another process could not read it"
      moved = "" if self._keep is None else f"; moved to {self._move_aside(candidate)}"
      if step is not None:
        raise StorageError(f"checkpoint of step {step} is damaged ({fault}){moved}")
      _LOG.warning("checkpoint of step %d is damaged (%s)%s, trying the one before", candidate, fault, moved)
    return None

  def _restore_again(self, abstract_state: State, step: int | None) -> tuple[State, int] | None:
    """Reads what is there now: the run that writes here has removed a checkpoint while it was read."""
    _looked(self._manager.reload)
    return self.restore(abstract_state, step)

  def _open(self) -> ocp.CheckpointManager:
    logging.getLogger("absl").addFilter(_is_news)
    if self._keep is None:
      options = ocp.CheckpointManagerOptions(read_only=True, create=False)
      return _looked(lambda: ocp.CheckpointManager(self._directory, options=options))
    _drop_late_calls()
    try:
      _sweep(self._directory)
      remote = not is_local(self._directory)
      options = ocp.CheckpointManagerOptions(max_to_keep=self._keep, create=True, cleanup_tmp_directories=remote)
      return ocp.CheckpointManager(self._directory, options=options)
    except OSError as error:
      raise StorageError(
        f"cannot write checkpoints to {self._directory}: {reason(error)}; {advice(error, self._directory)}"
      ) from error

  def _probe(self) -> None:
    """Raises StorageError, on all processes, where process 0 could not make the folder of a checkpoint."""
    fault: OSError | None = None
    if jax.process_index() == 0 and is_local(self._directory):
      try:
        probe(self._directory)
      except OSError as error:
        fault = error
    if not first_says(fault is None):
      fault = fault or OSError("process 0 may not write")
      raise StorageError(f"a checkpoint could not be written: {self._state_of_things(fault)}") from fault

  def _read(self, step: int, abstract_state: State) -> tuple[State | None, str | None]:
    """Returns (state, None), or (None, what is wrong with the checkpoint in a few words)."""
    wanted = named_leaves(abstract_state)
    if (self._directory / str(step) / "audit").exists():
      raise CheckpointMismatch(
        f"checkpoint {self._directory / str(step)} was written by an earlier genjax, in another layout; "
        "train again in another --workdir"
      )
    try:
      with _hushed():
        read = self._manager.restore(step, args=ocp.args.Composite(**{_RECORD: ocp.args.JsonRestore()}))[_RECORD]
      record = unsealed(read)
    except Exception as error:
      return None, f"its record of leaves cannot be read: {self._fault_of(error)}"
    if record is None:
      return None, "its record of leaves is damaged"
    compare(record, wanted, self._directory / str(step))
    try:
      kept = {name: leaf for name, leaf in wanted.items() if leaf.size}
      with _hushed():
        leaves = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(kept)))["state"]
    except Exception as error:
      return None, f"its arrays cannot be read: {self._fault_of(error)}"
    return verified(record, wanted, leaves, jax.tree.structure(abstract_state))

  def _fault_of(self, error: Exception) -> str:
    if isinstance(error, _NOT_ITS_FAULT) or "RESOURCE_EXHAUSTED" in str(error):
      raise StorageError(f"cannot read a checkpoint in {self._directory}: {reason(error)}") from error
    return reason(error)

  def _move_aside(self, step: int) -> epath.Path:
    source = self._directory / str(step)
    folder = self._directory.parent / f"{self._directory.name}_bad"
    taken = 0
    while (target := folder / (f"{step}_{taken}" if taken else str(step))).exists():
      taken += 1
    barrier(f"genjax_move_aside_{step}")
    if jax.process_index() == 0:
      folder.mkdir(parents=True, exist_ok=True)
      source.rename(target)
    barrier(f"genjax_moved_aside_{step}")
    self._manager.reload()  # or a later save of the same step would be skipped
    return target

  def _failed(self, error: Exception) -> StorageError:
    try:
      self._manager.close()
    except Exception as again:  # of the same failed save once more
      _LOG.debug("closing after a failed save: %s", again)
    self._manager = self._open()
    return StorageError(f"a checkpoint could not be written: {self._state_of_things(error)}")

  def _state_of_things(self, error: Exception) -> str:
    steps = [step for step in self.steps() if (self._directory / str(step)).exists()]
    kept = f"checkpoints of steps {steps} are good" if steps else "there is no checkpoint"
    return f"{reason(error)}; {kept}; {advice(error, self._directory)}; then start the same command again"


def _sweep(directory: epath.Path) -> None:
  """Removes what a killed save left, at once (Orbax does it some time later), and tries whether one can write."""
  if jax.process_index() == 0:
    directory.mkdir(parents=True, exist_ok=True)
    for left in directory.glob("*.orbax-checkpoint-tmp*"):
      left.rmtree()
    if is_local(directory):
      probe(directory)
  barrier("genjax_swept")


def _looked(look: Callable[[], Any]) -> Any:
  """What a look at a folder gives; again where the run that writes there removed a checkpoint while Orbax looked."""
  for _ in range(_LOOKS):
    try:
      return look()
    except FileNotFoundError as gone:
      _LOG.debug("looking again: %s", gone)
  return look()


def _is_news(line: logging.LogRecord) -> bool:
  """Orbax logs a trace of every failure that it also raises, and a warning that a reader will not write."""
  return not ("orbax" in line.pathname and (line.exc_info or "read only" in str(line.msg).replace("_", " ")))


def _drop_late_calls() -> None:
  """Keeps off the terminal what the other writes of a failed save call back when its event loop is closed already."""
  before = sys.unraisablehook
  if getattr(before, "drops_late_calls", False):
    return

  def hook(lost):
    if str(lost.exc_value) == "Event loop is closed":
      _LOG.debug("after a save had failed: %s", lost.exc_value)
    else:
      before(lost)

  hook.drops_late_calls = True
  sys.unraisablehook = hook


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
  """Keeps off the terminal what Orbax's other reads say after one has failed: our own line says it once."""
  chatter, hook = logging.getLogger("asyncio"), sys.unraisablehook

  def drop(lost):
    _LOG.debug("while a checkpoint was read: %s", getattr(lost, "exc_value", lost))
    return False

  chatter.addFilter(drop)
  sys.unraisablehook = drop
  try:
    yield
  except BaseException:
    time.sleep(_DRAIN_S)
    gc.collect()
    raise
  finally:
    sys.unraisablehook = hook
    chatter.removeFilter(drop)
