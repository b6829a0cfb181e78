"""INN, WINN-single and WINN with cascades on the bundled digits: the same net, data and number of steps.

Papers   INN  Lazarow, Jin & Tu, ICCV 2017; WINN  Lee et al., CVPR 2018, sections 2.4.1 and 2.4.2 of the dissertation
Checked  tests/studies/test_runs.py
"""

import statistics
from collections.abc import Mapping
from typing import Any

from genjax.studies.runs import anchors_of, home_of, kept, settings, trained

ROWS = {
  "INN-single": "winn_digits:inn",
  "WINN-single": "winn_digits",
  "WINN, 4 stages": "winn_digits:cascade",
}


def digits(workdir: str, *, seeds: int = 3, quiet: bool = False, overrides: Mapping[str, Any] | None = None) -> str:
  """Trains every row with every seed, or finds its run; returns the table as text.

  The table holds the median of the last three Frechet distances of each run, then their mean and deviation.

  Args:
    workdir: gets a run of each row and seed, and digits.json.
    seeds: each row is trained with the seeds 0, 1, ...
    quiet: nothing on the terminal.
    overrides: config keys to set in every run.
  """
  distances, anchors = {}, {}
  for row, name in ROWS.items():
    runs = [
      trained(settings(name, overrides, seed=seed), home_of(workdir, name, seed), quiet=quiet) for seed in range(seeds)
    ]
    distances[row] = [run.summary["median_of_last_three_frechet"] for run in runs]
    anchors = anchors_of(runs[0])
  kept(workdir, "digits", {"frechet": distances, "anchors": anchors})
  return table(distances, anchors)


def table(distances: Mapping[str, list[float]], anchors: Mapping[str, float]) -> str:
  """One line for each row, with a column for each seed."""
  seeds = len(next(iter(distances.values())))
  lines = ["| Frechet distance | " + " | ".join(f"seed {seed}" for seed in range(seeds)) + " | mean ± deviation |"]
  lines.append("|---" * (seeds + 2) + "|")
  for row, values in distances.items():
    deviation = f" ± {statistics.stdev(values):.2f}" if seeds > 1 else ""
    cells = " | ".join(f"{value:.2f}" for value in values)
    lines.append(f"| {row} | {cells} | {statistics.mean(values):.2f}{deviation} |")
  lines.append("beside it: " + ", ".join(f"{name} {value:.1f}" for name, value in anchors.items()))
  return "\n".join(lines)
