"""What the processes of one run must agree on, since each of them must make the same calls.

Checked  tests/train/test_loop_processes.py
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils


def first_says(flag: bool) -> bool:
  """What process 0 says, on all processes: only it sees the log."""
  if jax.process_count() == 1:
    return flag
  return bool(multihost_utils.broadcast_one_to_all(np.asarray(flag)))


def all_say(flag: bool) -> bool:
  """True if all processes say True."""
  if jax.process_count() == 1:
    return flag
  return bool(multihost_utils.process_allgather(jnp.asarray(flag)).all())


def greatest(number: int) -> int:
  """The greatest of the processes' int32 numbers."""
  if jax.process_count() == 1:
    return number
  return int(multihost_utils.process_allgather(np.asarray(number, np.int32)).max())


def barrier(name: str) -> None:
  """Waits until all processes have come to the barrier of this name."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)
