"""Modes covered and share of good samples on two mixtures, for every objective that has a generator.

Both mixtures and all seeds of a row train together, as one program over a leading axis of lanes: the nets are small,
and one compilation serves all. A row is written down when it is done, so that the same command goes on where it
stopped.

Papers   Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761: the two measures
Departs  Same nets, data, rate and number of critic updates for all rows; the rest is what a row needs (rows.py).
Checked  tests/studies/test_modes_study.py
"""

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
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
    workdir: gets <row>.json of each row, and modes_<mixture>.png, samples of seed 0.
    seeds: 0, 1, ... of each row.
    quiet: nothing on the terminal.
    rows: names of the zoo.
    overrides: of config keys, for every run.
  """
  from genjax.train.log import read_json

  os.makedirs(workdir, exist_ok=True)
  found: dict[str, dict[str, Any]] = {mixture: {} for mixture in MIXTURES}
  for row in rows:
    value = read_json(os.path.join(workdir, f"{row}.json"))
    if value is None or len(value["ring"]["modes"]) < seeds:
      value = measured([f"gan_{mixture}:{row}" for mixture in MIXTURES], seeds=seeds, overrides=overrides)
      value = dict(zip(MIXTURES, value, strict=True))
      kept(workdir, row, value)
      if not quiet:
        print(table({mixture: {row: one} for mixture, one in value.items()}).splitlines()[-1], flush=True)
    for mixture in MIXTURES:
      found[mixture][row] = value[mixture]
  for mixture in MIXTURES:
    _draw(os.path.join(workdir, f"modes_{mixture}.png"), mixture, found[mixture])
  return table(found)


def measured(names: Sequence[str], *, seeds: int, overrides: Mapping[str, Any] | None = None) -> list[dict[str, list]]:
  """Trains all seeds of these configs together; for each config the modes and the share of good samples of each seed,
  and some samples of the first. The configs may differ in their data only."""
  import jax
  import numpy as np

  from genjax.build import build
  from genjax.data.mixtures import CENTRES, DEVIATION
  from genjax.metrics.modes import modes as covered

  configs = [settings(name, overrides) for name in names]
  config = configs[0]
  if any(other[part] != config[part] for other in configs for part in ("net", "generator", "system", "train")):
    raise ValueError(f"{', '.join(names)} do not train alike; measure them one by one")
  lanes = [build(settings(name, overrides, seed=seed)) for name in names for seed in range(seeds)]
  system, turns = lanes[0].system, config.train.steps_per_call

  def batches(first: int, count: int) -> dict[str, np.ndarray]:
    """[count, lanes, B, 1, 1, 2]."""
    steps = [[lane.data.batch(step) for lane in lanes] for step in range(first, first + count)]
    return {"image": np.stack([[lane["image"] for lane in step] for step in steps])}

  @jax.jit
  def call(keys, states, batches):
    def body(states, batch):
      folded = jax.vmap(jax.random.fold_in)(keys, states.step)
      return jax.vmap(system.step)(folded, states, batch)[0], None

    return jax.lax.scan(body, states, batches)[0]

  keys = jax.vmap(jax.random.key)(np.tile(np.arange(seeds, dtype=np.uint32), len(names)))
  # op by op: compiled, the draws of first weights would take longer than the rest of a short run's compilation
  states = jax.vmap(system.init)(keys, jax.tree.map(lambda leaf: leaf[0], batches(0, 1)))
  for step in range(0, config.train.steps, turns):
    states = call(keys, states, batches(step, min(turns, config.train.steps - step)))
  draw = jax.jit(jax.vmap(lambda key, state: system.sample(key, state, config.metrics.samples)))
  points = np.asarray(draw(jax.vmap(lambda key: jax.random.fold_in(key, 2**31))(keys), states))
  points = points.reshape(len(names), seeds, -1, 2)
  return [_counted(of, covered, CENTRES[at.data.name], DEVIATION) for at, of in zip(configs, points, strict=True)]


def _counted(points: Any, covered: Callable, centres: Any, deviation: float) -> dict[str, list]:
  """Points [seeds, n, 2] of one mixture."""
  import numpy as np

  results = [covered(each, centres, deviation) for each in points]
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
