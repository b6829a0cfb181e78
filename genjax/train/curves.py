"""The curves of a run: every scalar of metrics.jsonl over the steps, in one picture.

Checked  tests/train/test_log.py
"""

import io
import math
import os
from typing import Any

from etils import epath

from genjax.train.files import read_metrics, write_whole

_WIDTH, _HEIGHT = 4.5, 2.8  # of one curve with its margins, in inches
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.75, 0.15, 0.5, 0.35  # its margins, in inches


def curves(workdir: str | os.PathLike) -> epath.Path | None:
  """Draws every scalar of a workdir's metrics.jsonl into curves.png; None if there is nothing to draw."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and needed once a run
  from matplotlib.figure import Figure

  workdir = epath.Path(workdir)
  lines = _series(read_metrics(workdir / "metrics.jsonl")) if (workdir / "metrics.jsonl").exists() else {}
  if not lines:
    return None
  columns = min(3, len(lines))
  rows = math.ceil(len(lines) / columns)
  figure = Figure(figsize=(_WIDTH * columns, _HEIGHT * rows))
  FigureCanvasAgg(figure)
  axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw=_margins(rows, columns)).ravel()
  for axis, (name, (steps, values)) in zip(axes, lines.items(), strict=False):
    axis.plot(steps, values, marker="." if len(steps) < 30 else None, linewidth=1)
    axis.set_title(name, fontsize=9)
    axis.set_xlabel("step", fontsize=8)
    axis.grid(alpha=0.3)
  for axis in axes[len(lines) :]:
    axis.set_visible(False)
  content = io.BytesIO()
  figure.savefig(content, format="png", dpi=100)
  write_whole(workdir / "curves.png", content.getvalue())
  return workdir / "curves.png"


def _margins(rows: int, columns: int) -> dict[str, float]:
  """Where the axes stand. A layout that matplotlib works out from the text takes longer than all the drawing."""
  across, high = _WIDTH * columns, _HEIGHT * rows
  around = {"left": _LEFT / across, "right": 1 - _RIGHT / across, "bottom": _BOTTOM / high, "top": 1 - _TOP / high}
  between = (_LEFT + _RIGHT) / (_WIDTH - _LEFT - _RIGHT), (_BOTTOM + _TOP) / (_HEIGHT - _BOTTOM - _TOP)
  return around | dict(zip(("wspace", "hspace"), between, strict=True))


def _series(rows: list[dict[str, Any]]) -> dict[str, tuple[list[int], list[float]]]:
  """Every name's steps and values."""
  series: dict[str, tuple[list[int], list[float]]] = {}
  for row in rows:
    for name, value in row.items():
      if name != "step" and isinstance(value, int | float):
        steps, values = series.setdefault(name, ([], []))
        steps.append(row["step"])
        values.append(value)
  return series
