"""INN, WINN-single and WINN with cascades on the bundled digits: the same net, data and number of turns.

Papers   INN  Lazarow, Jin & Tu, ICCV 2017; WINN  Lee et al., CVPR 2018, sections 2.4.1 and 2.4.2 of the dissertation
Checked  tests/studies/test_studies.py
"""

import os
import statistics

from genjax.studies.runs import kept, settings, trained

ROWS = {
  "INN-single": "winn_digits:inn",
  "WINN-single": "winn_digits",
  "WINN, 4 stages": "winn_digits:cascade",
}


def digits(workdir: str, *, seeds: int = 3, quiet: bool = False, overrides: dict | None = None) -> str:
  """The table as text: the median of the last three Frechet distances of each run, then mean and deviation.

  Args:
    workdir: gets a run per row and seed, and digits.json.
    seeds: 0, 1, ... of each row.
    overrides: of config keys, for every run.
  """
  table, anchors = {}, {}
  for row, name in ROWS.items():
    runs = [
      trained(
        settings(name, overrides, seed=seed), os.path.join(workdir, f"{name.replace(':', '_')}_{seed}"), quiet=quiet
      )
      for seed in range(seeds)
    ]
    table[row] = [run.summary["median_of_last_three_frechet"] for run in runs]
    anchors = {key: number["value"] for key, number in runs[0].summary["anchors"].items()}
  kept(workdir, "digits", {"frechet": table, "anchors": anchors})
  lines = ["| Frechet distance | " + " | ".join(f"seed {seed}" for seed in range(seeds)) + " | mean ± deviation |"]
  lines.append("|---" * (seeds + 2) + "|")
  for row, values in table.items():
    spread = f" ± {statistics.stdev(values):.2f}" if seeds > 1 else ""
    cells = " | ".join(f"{value:.2f}" for value in values)
    lines.append(f"| {row} | {cells} | {statistics.mean(values):.2f}{spread} |")
  lines.append("beside it: " + ", ".join(f"{name} {value:.1f}" for name, value in anchors.items()))
  return "\n".join(lines)
