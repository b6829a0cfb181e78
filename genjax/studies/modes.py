"""Modes covered and share of good samples on two mixtures, for every objective that has a generator.

All seeds of a row train together, as one program over a leading axis: the nets are small. Every row is written down
when it is done, so that the same command goes on where it stopped.

Papers   Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761: the two measures
Departs  Same nets, data, rate and number of critic updates for all rows; the rest is what a row needs (rows.py).
Checked  tests/studies/test_modes_study.py
"""

import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from genjax.objectives.rows import ROWS
from genjax.studies.runs import kept, settings

MIXTURES = {"ring": 8, "grid": 25}
PLAYED = tuple(name for name, row in ROWS.items() if row.needs)


def modes(
  workdir: str,
  *,
  seeds: int = 5,
  quiet: bool = False,
  rows: Sequence[str] = PLAYED,
  overrides: Mapping[str, Any] | None = None,
) -> str:
  """The table as text: for each row and mixture mean and deviation of the modes covered and of the good samples.

  Args:
    workdir: gets <mixture>_<row>.json of each row, and modes_<mixture>.png, samples of seed 0.
    seeds: 0, 1, ... of each row.
    quiet: nothing on the terminal.
    rows: names of the zoo.
    overrides: of config keys, for every run.
  """
  from genjax.train.log import read_json

  os.makedirs(workdir, exist_ok=True)
  found: dict[str, dict[str, Any]] = {mixture: {} for mixture in MIXTURES}
  for mixture in MIXTURES:
    for row in rows:
      name = f"{mixture}_{row}"
      value = read_json(os.path.join(workdir, f"{name}.json"))
      if value is None or len(value["modes"]) < seeds:
        value = measured(f"gan_{mixture}:{row}", seeds=seeds, overrides=overrides)
        kept(workdir, name, value)
        if not quiet:
          print(f"{name}: modes {value['modes']}, good {value['good']}", flush=True)
      found[mixture][row] = value
    _draw(os.path.join(workdir, f"modes_{mixture}.png"), mixture, found[mixture])
  return table(found)


def measured(name: str, *, seeds: int, overrides: Mapping[str, Any] | None = None) -> dict[str, list]:
  """Trains all seeds of config `name` together; modes and good of each, and some samples of the first."""
  import jax
  import numpy as np

  from genjax.build import build
  from genjax.data.mixtures import CENTRES, DEVIATION
  from genjax.metrics.modes import modes as covered

  config = settings(name, overrides)
  built = [build(settings(name, overrides, seed=seed)) for seed in range(seeds)]
  system, at = built[0].system, [parts.data.batch for parts in built]
  turns = config.train.steps_per_call

  def together(first: int, count: int) -> dict[str, np.ndarray]:
    """[count, seeds, B, ...]."""
    steps = [[batch(step) for batch in at] for step in range(first, first + count)]
    return {key: np.stack([[seed[key] for seed in step] for step in steps]) for key in steps[0][0]}

  @jax.jit
  def call(keys, states, batches):
    def body(states, batch):
      folded = jax.vmap(jax.random.fold_in)(keys, states.step)
      return jax.vmap(system.step)(folded, states, batch)[0], None

    return jax.lax.scan(body, states, batches)[0]

  keys = jax.vmap(jax.random.key)(np.arange(seeds, dtype=np.uint32))
  first = jax.tree.map(lambda leaf: leaf[0], together(0, 1))
  states = jax.jit(jax.vmap(system.init))(keys, first)
  for step in range(0, config.train.steps, turns):
    states = call(keys, states, together(step, min(turns, config.train.steps - step)))
  draw = jax.jit(jax.vmap(lambda key, state: system.sample(key, state, config.metrics.samples)))
  points = np.asarray(draw(jax.vmap(lambda key: jax.random.fold_in(key, 2**31))(keys), states)).reshape(seeds, -1, 2)
  results = [covered(each, CENTRES[config.data.name], DEVIATION) for each in points]
  return {
    "modes": [result.covered for result in results],
    "good": [result.good for result in results],
    "points": np.round(np.nan_to_num(points[0, :500]), 4).tolist(),
  }


def table(found: Mapping[str, Mapping[str, Mapping[str, list]]]) -> str:
  """A line for every row: mean and deviation over its seeds."""

  def spread(values: list, form: str) -> str:
    mean = format(statistics.mean(values), form)
    return mean if len(values) < 2 else f"{mean} ± {format(statistics.stdev(values), form)}"

  titles = [f"{mixture}: {what}" for mixture in found for what in (f"modes of {MIXTURES[mixture]}", "good samples")]
  lines = ["| objective | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
  for row in next(iter(found.values())):
    cells = [
      cell
      for values in found.values()
      for cell in (spread(values[row]["modes"], ".1f"), spread(values[row]["good"], ".0%"))
    ]
    lines.append(f"| {row} | " + " | ".join(cells) + " |")
  return "\n".join(lines)


def _draw(path: str, mixture: str, found: Mapping[str, Mapping[str, list]]) -> None:
  import io

  import numpy as np
  from etils import epath
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  from genjax.data.mixtures import CENTRES

  columns = min(8, len(found))
  rows = -(-len(found) // columns)
  figure = Figure(figsize=(1.5 * columns, 1.7 * rows), layout="constrained")
  FigureCanvasAgg(figure)
  axes = figure.subplots(rows, columns, squeeze=False).ravel()
  for axis in axes:
    axis.axis("off")
  for axis, (row, values) in zip(axes, found.items(), strict=False):
    axis.plot(*CENTRES[mixture].T, "+", color="tab:red", markersize=4, linewidth=0.5)
    axis.plot(*np.asarray(values["points"]).T, ".", color="black", markersize=1, alpha=0.5)
    axis.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
    axis.set_title(row, fontsize=6)
  content = io.BytesIO()
  figure.savefig(content, format="png", dpi=100)
  epath.Path(path).write_bytes(content.getvalue())
