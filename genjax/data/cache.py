"""Where genjax keeps what it makes once: $GENJAX_CACHE, or ~/.cache/genjax.

Checked  tests/data/test_digits.py, tests/data/test_cifar100.py
"""

import logging
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping

import numpy as np

_LOG = logging.getLogger("genjax")


def cache_dir() -> str:
  """The folder of prepared data; made when it is missing.

  Raises:
    OSError: it cannot be written to.
  """
  path = os.environ.get("GENJAX_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "genjax")
  try:
    os.makedirs(path, exist_ok=True)
    writable = os.access(path, os.W_OK | os.X_OK)
  except OSError:
    writable = False
  if not writable:
    raise OSError(f'the cache folder "{path}" cannot be written to; set GENJAX_CACHE to one that can')
  return path


def kept_arrays(file: str, make: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
  """The arrays of an .npz file; made and written there where it is missing or damaged.

  It is written elsewhere and then renamed: several processes may do this at once. Where it cannot be written (a full
  disk), a warning says so, and the arrays are made anew the next time.
  """
  try:
    with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as opened:
      return dict(opened)
  except (OSError, ValueError, EOFError, zipfile.BadZipFile):  # not there, or not as it was written
    arrays = dict(make())
  try:
    _keep(file, arrays)
  except OSError as error:
    _LOG.warning("%s is not kept and will be made again: %s", file, error.strerror or error)
  return arrays


def _keep(file: str, arrays: Mapping[str, np.ndarray]) -> None:
  handle, scratch = tempfile.mkstemp(prefix=".keeping-", dir=os.path.dirname(file))
  try:
    with os.fdopen(handle, "wb") as opened:
      np.savez(opened, **arrays)
    os.replace(scratch, file)
  except BaseException:
    os.unlink(scratch)
    raise
