"""The files of a workdir: a reader sees each whole or not at all, and what the disk refuses is one line that says so.

Checked  tests/train/test_log.py
"""

import io
import json
import os
from typing import Any

import jax
import numpy as np
from etils import epath
from PIL import Image

from genjax.train.storage import storage_errors


def read_metrics(path: str | os.PathLike) -> list[dict[str, Any]]:
  """All complete lines of a metrics.jsonl, in order; a last line cut short by a killed run is left out.

  Raises:
    ValueError: if a line before the last is not JSON.
  """
  lines = epath.Path(path).read_text().splitlines()
  rows = []
  for number, line in enumerate(lines, start=1):
    try:
      row = json.loads(line)
      rows.append({"step": int(row["step"]), **row})
    except (ValueError, KeyError, TypeError) as error:
      if number < len(lines):
        raise ValueError(f"line {number} of {path} is not a JSON object with a step: {line[:80]!r}") from error
  return rows


def read_json(path: str | os.PathLike) -> Any:
  """The value in a file that `write_json` wrote, or None if there is no such file."""
  path = epath.Path(path)
  return json.loads(path.read_text()) if path.exists() else None


def write_json(path: str | os.PathLike, value: Any) -> None:
  """Writes a file that a reader sees whole or not at all. Raises StorageError if it cannot."""
  write_whole(path, (json.dumps(value, indent=2, default=_plain) + "\n").encode())


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
  if isinstance(value, np.ndarray | np.generic | jax.Array):
    return np.asarray(value).tolist()
  raise TypeError(f"{type(value).__name__} has no place in a JSON file; use plain dicts, lists, numbers and strings")
