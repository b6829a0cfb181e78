"""The curves of runs: every number of metrics.jsonl by name, thinned where there are more points than a screen shows.

Checked  tests/page/test_series.py
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

MOST_POINTS = 1_000  # of a curve: more than the pixels that it is drawn on
_MOST_IN_ALL = 120_000  # points of all curves of a page
_MOST_SERIES = 300
_DIGITS = 6  # significant ones that the page keeps


def series(runs: Sequence[list[dict[str, Any]]]) -> tuple[list[dict[str, Any]], int]:
  """Curves for the page's script, and how many more names there are than a page draws.

  Args:
    runs: the rows of each run.

  Returns:
    [{"name", "curves": [{"run", "x", "y", "points", "gaps"}]}], evaluations first. y is None where a value was not
    finite; `points` is how many were logged, `gaps` how many of them were not finite.
  """
  by_name: dict[str, dict[int, tuple[list[int], list[float]]]] = {}
  for run, rows in enumerate(runs):
    for step, name, value in _values(rows):
      steps, values = by_name.setdefault(name, {}).setdefault(run, ([], []))
      steps.append(step)
      values.append(value)
  ordered = sorted(by_name, key=lambda name: (_group(name), name))[:_MOST_SERIES]
  most = max(20, min(MOST_POINTS, _MOST_IN_ALL // max(1, sum(len(by_name[name]) for name in ordered))))
  drawn = [
    {"name": name[:200], "curves": [_curve(run, *points, most) for run, points in by_name[name].items()]}
    for name in ordered
  ]
  return drawn, len(by_name) - len(ordered)


def _group(name: str) -> int:
  """Evaluations, then what a step gives, then what depends on the clock."""
  return 0 if name.startswith("eval/") else 2 if name.startswith("clock/") else 1


def _values(rows: list[dict[str, Any]]) -> Iterator[tuple[int, str, float]]:
  """(step, name, value) of everything in the rows that is a number, or None, as which the log writes what is not."""
  for row in rows:
    clock = row.get("clock")
    named = {f"clock/{name}": value for name, value in clock.items()} if isinstance(clock, dict) else {}
    for name, value in {**row, **named}.items():
      if name not in ("step", "clock") and (value is None or type(value) in (int, float)):
        yield row["step"], name, _float(value)


def _float(value: float | None) -> float:
  try:
    return float("nan") if value is None else float(value)
  except OverflowError:  # a whole number of hundreds of digits
    return float("inf")


def _curve(run: int, steps: list[int], values: list[float], most: int) -> dict[str, Any]:
  x, y = np.asarray(steps, np.int64), np.asarray(values, np.float64)
  order = np.argsort(x, kind="stable")
  x, y = x[order], y[order]
  finite = np.isfinite(y)
  kept = thinned(np.where(finite, y, np.nan), most)
  return {
    "run": run,
    "x": x[kept].tolist(),
    "y": [float(f"{y[i]:.{_DIGITS}g}") if finite[i] else None for i in kept],
    "points": len(x),
    "gaps": int((~finite).sum()),
  }


def thinned(values: np.ndarray, most: int) -> np.ndarray:
  """Indices of at most `most` values: the first, the last, and the least and greatest of even stretches between.

  A stretch without a finite value keeps one, which is a gap of the curve.
  """
  n = len(values)
  if n <= most:
    return np.arange(n)
  count = (most - 2) // 2
  length = -(-(n - 2) // count)
  inside = np.full(count * length, np.nan)
  inside[: n - 2] = values[1:-1]
  inside, starts = inside.reshape(count, length), 1 + length * np.arange(count)
  least = np.where(np.isnan(inside), np.inf, inside).argmin(1)  # 0 where nothing is finite
  greatest = np.where(np.isnan(inside), -np.inf, inside).argmax(1)
  kept = np.concatenate([[0, n - 1], starts + least, starts + greatest])
  return np.unique(kept[kept < n])
