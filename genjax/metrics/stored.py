"""Arrays that cost time and depend on nothing but a recipe: kept on disk, checked when they are read.

The folder is $GENJAX_CACHE, or ~/.cache/genjax. A file that is damaged, or that cannot be written, costs one line of
the log and the work again.

Checked  tests/metrics/test_extractor.py, tests/metrics/test_features.py
"""

import json
import logging
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from genjax.metrics.card import digest

_log = logging.getLogger(__name__)


def kept(
  what: str,
  recipe: Mapping[str, Any],
  make: Callable[[], Mapping[str, np.ndarray]],
  *,
  cache: str | os.PathLike | None = None,
  most: int = 1 << 30,
) -> dict[str, np.ndarray]:
  """What `make` gives, from the cache if it was made before.

  Args:
    what: "extractor", "reference": the folder, with an s, and for messages.
    recipe: JSON values that say all that the arrays depend on; its digest is the file's name.
    make: name -> array.
    cache: folder; $GENJAX_CACHE or ~/.cache/genjax if None.
    most: bytes; what is larger is not written.
  """
  path = _path(what, recipe, cache)
  stored = _load(path, what)
  if stored is None:
    stored = dict(make())
    if sum(array.nbytes for array in stored.values()) <= most:
      _save(path, stored, recipe, what)
  return stored


def content(stored: Mapping[str, np.ndarray]) -> str:
  """sha256 of names and arrays."""
  return digest(*(part for name in sorted(stored) for part in (np.array(name), np.asarray(stored[name]))))


def _path(what: str, recipe: Mapping[str, Any], cache: str | os.PathLike | None) -> str:
  home = os.path.join(os.path.expanduser("~"), ".cache", "genjax")
  folder = os.fspath(cache) if cache is not None else os.environ.get("GENJAX_CACHE") or home
  key = digest(np.array(json.dumps(recipe, sort_keys=True)))
  return os.path.join(folder, f"{what}s", f"{key[:32]}.npz")


def _load(path: str, what: str) -> dict[str, np.ndarray] | None:
  """What `_save` wrote, or None if there is nothing or it is damaged (which is logged)."""
  try:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:  # np.load leaks what it cannot read
      stored = {name: archive[name] for name in archive.files}
    stored.pop("recipe", None)
    if str(stored.pop("digest")) != content(stored):
      raise ValueError("the contents do not match their digest")
    return stored
  except FileNotFoundError:
    return None
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
    _log.warning("the cached %s %s is damaged (%s); making it again", what, path, error)
    return None


def _save(path: str, stored: Mapping[str, np.ndarray], recipe: Mapping[str, Any], what: str) -> None:
  """Writes beside `path` and renames, so that no reader sees half a file; a cache that cannot be written is logged."""
  try:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), suffix=".tmp")
    try:
      with os.fdopen(handle, "wb") as file:
        np.savez(file, **stored, digest=np.array(content(stored)), recipe=np.array(json.dumps(recipe)))
      os.replace(temporary, path)
    except BaseException:
      os.unlink(temporary)
      raise
  except OSError as error:
    _log.warning("the %s was not cached in %s (%s); the next start makes it again", what, path, error)
