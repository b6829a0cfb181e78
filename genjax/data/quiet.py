"""Silence for libraries that talk while they work: absl's log, progress bars, prints and the warnings of others.

What a caller must hear is raised or goes through the "genjax" logger.
"""

import contextlib
import io
import logging
import threading
import warnings
from collections.abc import Iterator

_one_at_a_time = threading.RLock()  # stdout and the warning filters belong to the whole process


def _below_error(record: logging.LogRecord) -> bool:
  return record.levelno >= logging.ERROR


@contextlib.contextmanager
def quiet() -> Iterator[None]:
  """Swallow prints, warnings and absl log lines below ERROR; one thread at a time."""
  logger = logging.getLogger("absl")
  with _one_at_a_time, warnings.catch_warnings():
    warnings.simplefilter("ignore")
    logger.addFilter(_below_error)
    try:
      with contextlib.redirect_stdout(io.StringIO()):
        yield
    finally:
      logger.removeFilter(_below_error)
