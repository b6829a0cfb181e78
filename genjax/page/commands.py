"""The commands that give the numbers and pictures of a run, exactly as one types them.

Checked  tests/page/test_page.py: the command line understands each of them.
"""

import os
import shlex
from typing import Any

from genjax.page.html import flat
from genjax.page.read import Run


def train(run: Run) -> str:
  """What a run that has ended only measures anew, and what goes on with one that has not."""
  return _with_allow(["genjax", "train", "--workdir", run.folder], run)


def evaluate(run: Run, step: int | str) -> str:
  return _with_allow(["genjax", "evaluate", "--workdir", run.folder, "--step", str(step)], run)


def sample(run: Run, step: int | str) -> str:
  return _with_allow(["genjax", "sample", "--workdir", run.folder, "--step", str(step), "--out", "samples.png"], run)


def interpolate(run: Run, across: int, rows: int) -> str:
  words = ["genjax", "sample", "--workdir", run.folder, "--interpolate", str(across), "--n", str(rows)]
  return _with_allow([*words, "--out", "interpolation.png"], run)


def again(run: Run) -> str:
  """The same training from its beginning, in a folder of its own: config.json is all that it needs."""
  new, config = f"runs/{run.name.replace('/', '_')}_again", os.path.join(run.folder, "config.json")
  copy = ["gcloud", "storage", "cp"] if "://" in run.folder else ["cp", "--"]
  fetched = f"mkdir -p {shlex.quote(new)} && {shlex.join([*copy, config, f'{new}/config.json'])}"
  return f"{fetched} && {_with_allow(['genjax', 'train', '--workdir', new], run)}"


def report(runs: list[Run], options: dict[str, Any]) -> str:
  words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
  return shlex.join(["genjax", "report", *(run.folder for run in runs), *words])


def _with_allow(words: list[str], run: Run) -> str:
  """The command, with leave for the code of others that the config names."""
  named = [value for key, value in flat(run.config).items() if key.split(".")[-1] == "name" and isinstance(value, str)]
  packages = sorted({name.partition(":")[0].partition(".")[0] for name in named if ":" in name})
  return shlex.join([*words, *(["--allow", ",".join(packages)] if packages else [])])
