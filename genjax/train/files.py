"""The files of a workdir: a reader sees each whole or not at all, and what the disk refuses is one line that says so.

Checked  tests/train/test_log.py
"""

import io
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from genjax.train.errors import storage_errors

_LOG = logging.getLogger("genjax")
_SHOWN = 5  # damaged lines named in a message


def read_metrics(path: str | os.PathLike) -> list[dict[str, Any]]:
  """All sound lines of a metrics.jsonl, in order.

  A last line cut short by a killed run is left out without a word. Damaged lines before it are left out as well, and
  a warning names them: the checkpoints do not depend on the log.
  """
  lines = [line for line in epath.Path(path).read_bytes().split(b"\n") if line.strip()]
  rows = [_row(line) for line in lines]
  damaged = [number for number, row in enumerate(rows[:-1], start=1) if row is None]
  if damaged:
    some = ", ".join(map(str, damaged[:_SHOWN])) + (", ..." if len(damaged) > _SHOWN else "")
    first = lines[damaged[0] - 1][:60].decode(errors="backslashreplace")
    _LOG.warning("%s: left out %d damaged line(s), number %s, such as %r", path, len(damaged), some, first)
  return [row for row in rows if row is not None]


def _row(line: bytes) -> dict[str, Any] | None:
  """A line of metrics, or None for one that is no JSON object with a whole step."""
  try:
    row = json.loads(line)
  except (ValueError, RecursionError):  # a byte that is no UTF-8 too, and brackets in thousands of brackets
    return None
  return row if isinstance(row, dict) and type(row.get("step")) is int else None


def read_json(path: str | os.PathLike) -> Any:
  """The value in a file that `write_json` wrote, or None if there is no such file."""
  path = epath.Path(path)
  return json.loads(path.read_text()) if path.exists() else None


def write_json(path: str | os.PathLike, value: Any) -> None:
  """Writes a file that a reader sees whole or not at all. Raises StorageError if it cannot."""
  write_whole(path, (json.dumps(value, indent=2, default=_plain) + "\n").encode())


def is_local(path: Any) -> bool:
  """Whether a path is of this machine's own file system: there a file can grow, in a bucket (gs://) it cannot."""
  return "://" not in str(path)


def probe(folder: Any) -> None:
  """Makes and removes a folder in a local folder. Raises OSError where that is refused."""
  Path(tempfile.mkdtemp(prefix=".probe-", dir=str(folder))).rmdir()


def write_whole(path: str | os.PathLike, content: bytes) -> None:
  """Writes a file beside its place and moves it there; makes the folder. Raises StorageError."""
  path = epath.Path(path)
  partial = path.parent / f".{path.name}.partial"
  with storage_errors(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(content)
    partial.replace(path)


def save_png(path: str | os.PathLike, pixels: np.ndarray) -> None:
  """Writes a picture [H, W, 1 or 3] uint8. Raises StorageError."""
  content = io.BytesIO()
  Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(content, format="PNG")
  write_whole(path, content.getvalue())


def _plain(value: Any) -> Any:
  if hasattr(value, "__array__"):  # of numpy or of JAX, which a reader of files need not import
    return np.asarray(value).tolist()
  raise TypeError(f"{type(value).__name__} has no place in a JSON file; use plain dicts, lists, numbers and strings")
