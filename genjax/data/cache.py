"""Where genjax keeps what it makes once: $GENJAX_CACHE, or ~/.cache/genjax."""

import os


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
