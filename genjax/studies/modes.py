"""Modes covered and share of good samples on two mixtures, for every objective that has a generator.

Both mixtures and all seeds of a row train together, as one program over a leading axis of runs: the nets are small,
and one compilation serves all. A row is written down when it is done, so that the same command goes on where it
stopped.

Papers   Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761: the two measures
Departs  Same nets, data, learning rate of the critic and number of its updates for all rows; the rest is what a row
         needs, see objectives/papers.py.
Checked  tests/studies/test_modes_study.py
"""

import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from genjax.objectives.rows import PLAYED
from genjax.studies.pictures import write
from genjax.studies.runs import kept, settings
from genjax.train.terminal import say

MIXTURES = {"ring": 8, "grid": 25}  # number of modes
SHOWN = 500  # samples of the picture
Values = Mapping[str, list]  # "modes" and "good" of each seed, None of one that diverged, and "points" of the first


def modes(
  workdir: str,
  *,
  seeds: int = 5,
  quiet: bool = False,
  rows: Sequence[str] = PLAYED,
  overrides: Mapping[str, Any] | None = None,
) -> str:
  """The table as text: for each row and mixture mean and deviation of the modes covered and of the good samples.

  A run diverged if a weight or a sample is not finite at its end: it is counted as such, and enters no mean.

  Args:
    workdir: gets <row>.json of each row, and modes_<mixture>.png, samples of seed 0.
    seeds: each row is trained with the seeds 0, 1, ...
    quiet: nothing on the terminal.
    rows: names of the zoo.
    overrides: config keys to set in every run.
  """
  from genjax.train.files import read_json

  os.makedirs(workdir, exist_ok=True)
  values: dict[str, dict[str, Values]] = {mixture: {} for mixture in MIXTURES}
  for row in rows:
    of_row = read_json(os.path.join(workdir, f"{row}.json"))
    if of_row is None or len(of_row["ring"]["modes"]) < seeds:
      each = measured([f"gan_{mixture}:{row}" for mixture in MIXTURES], seeds=seeds, overrides=overrides)
      of_row = dict(zip(MIXTURES, each, strict=True))
      kept(workdir, row, of_row)
      if not quiet:
        say(table({mixture: {row: one} for mixture, one in of_row.items()}).splitlines()[-1])
    for mixture in MIXTURES:
      values[mixture][row] = of_row[mixture]
  for mixture in MIXTURES:
    write(os.path.join(workdir, f"modes_{mixture}.png"), draw(mixture, values[mixture]))
  return table(values)


def measured(names: Sequence[str], *, seeds: int, overrides: Mapping[str, Any] | None = None) -> list[Values]:
  """Trains all seeds of these configs together; for each config what its samples cover.

  Raises:
    ValueError: the configs differ in more than their data.
  """
  import jax
  import numpy as np

  from genjax.core import prepared
  from genjax.experiment import experiment

  configs = [settings(name, overrides) for name in names]
  config = configs[0]
  if any(_training(other) != _training(config) for other in configs):
    raise ValueError(f"{', '.join(names)} do not train alike; measure them one by one")
  each = [experiment(settings(name, overrides, seed=seed)) for name in names for seed in range(seeds)]
  system = prepared(each[0].system, each[0].data.prepare)
  steps_per_call = config.train.steps_per_call

  def batches(first: int, count: int) -> dict[str, np.ndarray]:
    """[count, runs, B, 1, 1, 2]."""
    steps = [[it.data.batch(step) for it in each] for step in range(first, first + count)]
    return {"image": np.stack([[batch["image"] for batch in step] for step in steps])}

  @jax.jit
  def call(keys, states, batches):
    def body(states, batch):
      folded = jax.vmap(jax.random.fold_in)(keys, states.step)
      return jax.vmap(system.step)(folded, states, batch)[0], None

    return jax.lax.scan(body, states, batches)[0]

  keys = jax.vmap(jax.random.key)(np.tile(np.arange(seeds, dtype=np.uint32), len(names)))
  # op by op: compiled, the draws of first weights would take longer than the rest of a short run's compilation
  states = jax.vmap(system.init)(keys, jax.tree.map(lambda leaf: leaf[0], batches(0, 1)))
  for step in range(0, config.train.steps, steps_per_call):
    states = call(keys, states, batches(step, min(steps_per_call, config.train.steps - step)))
  draw = jax.jit(jax.vmap(lambda key, state: system.views["sample"](key, state, config.metrics.modes.samples)))
  points = np.asarray(draw(jax.vmap(lambda key: jax.random.fold_in(key, 2**31))(keys), states))
  points = points.reshape(len(names), seeds, -1, 2)
  sound = np.asarray(jax.jit(_finite)(states)).reshape(len(names), seeds)
  return [_counted(*of, it.data.facts) for it, *of in zip(each[::seeds], points, sound, strict=True)]


def _finite(states: Any) -> Any:
  """Of states with a leading axis of runs: [runs] bool, whether every float of a run is finite."""
  import jax
  import jax.numpy as jnp

  floats = [leaf for leaf in jax.tree.leaves(states) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
  return jnp.stack([jnp.isfinite(leaf).reshape(len(leaf), -1).all(1) for leaf in floats]).all(0)


def _training(config: Any) -> dict[str, Any]:
  """What a config says about everything but its data and its metrics."""
  return {key: value for key, value in config.to_dict().items() if key not in ("data", "metrics")}


def _counted(points: Any, sound: Any, facts: Mapping[str, Any]) -> Values:
  """What points [seeds, n, 2] cover of a mixture of these facts; None of a seed that diverged, which is not `sound`."""
  import numpy as np

  from genjax.metrics.modes import coverage

  sound = np.asarray(sound) & np.isfinite(points).all((1, 2))
  each = zip(points, sound, strict=True)
  results = [coverage(of_seed, facts["centres"], facts["deviation"]) if ok else None for of_seed, ok in each]
  return {
    "modes": [result and result.covered for result in results],
    "good": [result and result.good for result in results],
    "points": np.round(points[0, :SHOWN], 4).tolist() if sound[0] else [],
  }


def table(values: Mapping[str, Mapping[str, Values]]) -> str:
  """A line for every row: mean and deviation over its seeds, and how many of them diverged."""

  def spread(values: list, form: str) -> str:
    numbers = [value for value in values if value is not None]
    if not numbers:
      return "diverged"
    mean = format(statistics.mean(numbers), form)
    text = mean if len(numbers) < 2 else f"{mean} ± {format(statistics.stdev(numbers), form)}"
    diverged = len(values) - len(numbers)
    return f"{text} ({diverged} of {len(values)} diverged)" if diverged else text

  titles = [f"{mixture}: {what}" for mixture in values for what in (f"modes of {MIXTURES[mixture]}", "good samples")]
  lines = ["| objective | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
  for row in next(iter(values.values())):
    cells = [
      cell
      for of_mixture in values.values()
      for cell in (spread(of_mixture[row]["modes"], ".1f"), spread(of_mixture[row]["good"], ".0%"))
    ]
    lines.append(f"| {row} | " + " | ".join(cells) + " |")
  return "\n".join(lines)


def draw(mixture: str, values: Mapping[str, Values]) -> Any:
  """The samples of every row over the centres of the mixture, as a matplotlib Figure."""
  import numpy as np
  from matplotlib.figure import Figure

  from genjax.data.mixtures import CENTRES

  columns = min(8, len(values))
  rows = -(-len(values) // columns)
  figure = Figure(figsize=(1.5 * columns, 1.7 * rows), layout="constrained")
  axes = figure.subplots(rows, columns, squeeze=False).ravel()
  for axis in axes:
    axis.axis("off")
  for axis, (row, of_row) in zip(axes, values.items(), strict=False):
    axis.plot(*CENTRES[mixture].T, "+", color="tab:red", markersize=4, linewidth=0.5)
    axis.plot(*np.asarray(of_row["points"]).reshape(-1, 2).T, ".", color="black", markersize=1, alpha=0.5)
    axis.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
    axis.set_title(row if of_row["points"] else f"{row}: diverged", fontsize=6)
  return figure
