"""The command `genjax report`: reads workdirs, writes one page. It imports no JAX unless interpolations are drawn.

Checked  tests/page/test_page.py
"""

import logging
import os
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from genjax.page.build import ROWS, page
from genjax.page.read import names, read
from genjax.registry import UsageError
from genjax.train.errors import StorageError, reason
from genjax.train.files import is_local, write_whole

_DEFAULT = "report.html"  # in the current folder

Drawer = Callable[[str, int, int, Collection[str]], np.ndarray | str]  # workdir, rows, across, allow -> picture, or why


def report(request: Any, draw: Drawer | None = None) -> str:
  """Writes the page that a request of cli.parse asks for; returns what to say of it.

  Args:
    request: its options are workdirs, and perhaps out, interpolate and allow.
    draw: draws the interpolations; None: none are asked for.

  Raises:
    UsageError: a folder is no workdir, or the page has no place; nothing was written.
    StorageError: the page cannot be written.
  """
  logging.basicConfig(format="genjax: %(message)s", level=logging.ERROR)  # what is left out, the page itself says
  options = dict(request.options)
  folders = list(dict.fromkeys(options.pop("workdirs")))
  runs = [read(folder, name) for folder, name in zip(folders, names(folders), strict=True)]
  out = _place(options, folders)
  drawn = {}
  if draw is not None:
    allow = request.allow or frozenset()
    drawn = {run.folder: draw(run.folder, ROWS, options["interpolate"], allow) for run in runs}
  content = page(runs, options=options, drawn=drawn)
  try:
    write_whole(out, content)
  except StorageError as error:
    raise StorageError(f"cannot write {out}: {reason(error)}; say where with --out") from error
  said = f"{len(runs)} run{'s' if len(runs) > 1 else ''} in {out}, {len(content) / 1e6:.1f} MB"
  return said.encode("utf-8", "replace").decode()


def _place(options: dict[str, Any], folders: list[str]) -> str:
  """Where the page goes. Raises UsageError: only a user's own word writes into a workdir."""
  out = options.get("out")
  if out is None:
    inside = [folder for folder in folders if is_local(folder) and _within(os.getcwd(), folder)]
    if inside:
      raise UsageError(
        f"the current folder is in the workdir {inside[0]}, which report only reads; say --out PAGE.html"
      )
    return _DEFAULT
  if not out.endswith((".html", ".htm")):
    raise UsageError(f"--out {out!r}; use a name that ends in .html")
  return out


def _within(folder: str, other: str) -> bool:
  inner, outer = os.path.realpath(folder), os.path.realpath(other)
  return inner == outer or inner.startswith(outer.rstrip(os.sep) + os.sep)
