"""Modes covered and share of good samples on two mixtures, for every objective that has a generator.

Both mixtures and all seeds of a row train together, as one program over a leading axis of runs: the nets are small,
and one compilation serves all. A row is written down when it is done, so that the same command goes on where it
stopped; a row whose settings have changed since is trained again.

Papers   Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761: the two measures
Departs  Same nets, data and number of the generator's updates for all rows; the rest is a row's own, chosen on other
         seeds (objectives/mixtures.py) and printed beside its numbers. `shared`: see configs/gan_ring.py.
Checked  tests/studies/test_modes_study.py
"""

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from genjax.objectives.mixtures import NOTES, tried
from genjax.objectives.rows import PLAYED
from genjax.registry import UsageError
from genjax.studies.pictures import write
from genjax.studies.runs import kept, settings, spread
from genjax.train.terminal import say
from genjax.workdir import as_json

MIXTURES = ("gan_ring", "gan_grid")
MEASURES = ("modes", "good")
FIRST_SEED = 100  # of those on which settings are chosen, none of which `modes` reports
SHOWN_OF_CRITIC = ("code",)
HIDDEN_OF_OBJECTIVE = ("name", "pad", "features")  # they follow from the data and the nets
SHOWN = 500  # samples of the picture
Values = Mapping[str, Any]
"""Of a row on a mixture: "config" of the first seed; "modes" and "good", of each seed a number with its card, None of
one that diverged; "centres" of the mixture, and "points", samples of the first seed."""


def modes(
  workdir: str,
  *,
  seeds: int = 5,
  quiet: bool = False,
  base: str | None = None,
  rows: Sequence[str] = PLAYED,
  overrides: Mapping[str, Any] | None = None,
) -> str:
  """The table as text: for each row and mixture mean and deviation of the modes covered and of the good samples.

  A run diverged if a weight or a sample is not finite at its end: it is counted as such, and enters no mean.

  Args:
    workdir: gets <row>.json of each row, and modes_<mixture>.png, samples of the first seed.
    seeds: each row is trained with the seeds 0, 1, ..., or from the seed of `overrides` on.
    quiet: nothing on the terminal.
    base: a config whose argument takes a row, in place of the ring and the grid.
    rows: names of the zoo.
    overrides: config keys to set in every run.
  """
  return _study(workdir, (base,) if base else MIXTURES, seeds, quiet, rows, overrides)


def shared(
  workdir: str,
  *,
  seeds: int = 5,
  quiet: bool = False,
  base: str | None = None,
  rows: Sequence[str] = PLAYED,
  overrides: Mapping[str, Any] | None = None,
) -> str:
  """The same table at settings that all rows share. Arguments as of `modes`; `base` takes the word `shared` as well."""
  return _study(workdir, _with_word("shared", base), seeds, quiet, rows, overrides)


def choice(
  workdir: str,
  *,
  seeds: int = 2,
  quiet: bool = False,
  base: str | None = None,
  rows: Sequence[str] = PLAYED,
  overrides: Mapping[str, Any] | None = None,
) -> str:
  """The table as text: for all settings of each row modes times good, see `value_of`, and which are the best.

  Only what is not trained yet is trained, so settings may be added.

  Args:
    workdir: gets <row>_<number>.json of all settings.
    seeds: all settings are trained with the seeds 100, 101, ..., or from the seed of `overrides` on.
    quiet: nothing on the terminal.
    base: a config whose argument takes a row and the number of its settings, in place of the ring and the grid.
    rows: names of the zoo.
    overrides: config keys to set in every run.
  """
  overrides = {"seed": FIRST_SEED, **(overrides or {})}
  lines, others = ["| objective | settings | modes x good | |", "|---|---|---|---|"], {}
  for row in rows:
    each = []
    for number in range(len(tried(row))):
      configs = [_config(name, row, overrides) for name in _with_word(str(number), base)]
      each.append(results(workdir, f"{row}_{number}", configs, seeds=seeds, quiet=quiet))
    values = [value_of(of.values()) for of in each]
    best = values.index(max(values))
    others |= {row: best} if best else {}
    for number, (of, value) in enumerate(zip(each, values, strict=True)):
      words, mark = settings_of(next(iter(of.values()))["config"]), "best" if number == best else ""
      lines.append(f"| {row},{number} | {words} | {value:.2f} | {mark} |")
  lines.append(f"for genjax/objectives/mixtures.py: BEST = {json.dumps(others)}")
  return "\n".join(lines)


def _study(
  workdir: str,
  bases: Sequence[str],
  seeds: int,
  quiet: bool,
  rows: Sequence[str],
  overrides: Mapping[str, Any] | None,
) -> str:
  """The table of these configs, and its files."""
  values: dict[str, dict[str, Values]] = {}
  for row in rows:
    of_row = results(workdir, row, [_config(base, row, overrides) for base in bases], seeds=seeds, quiet=quiet)
    for mixture, one in of_row.items():
      values.setdefault(mixture, {})[row] = one
  for mixture, of_mixture in values.items():
    write(os.path.join(workdir, f"modes_{mixture}.png"), draw(of_mixture))
  return table(values)


def results(
  workdir: str, name: str, configs: Sequence[ConfigDict], *, seeds: int, quiet: bool = False
) -> dict[str, Values]:
  """What these configs cover, by mixture: from <name>.json in the workdir, or trained and kept there."""
  from genjax.train.files import read_json

  os.makedirs(workdir, exist_ok=True)
  of_row = read_json(os.path.join(workdir, f"{name}.json"))
  if of_row is None or not _answers(of_row, configs, seeds):
    each = measured(configs, seeds=seeds)
    of_row = {config.data.name: one for config, one in zip(configs, each, strict=True)}
    kept(workdir, name, of_row)
    if not quiet:
      say(table({mixture: {name: one} for mixture, one in of_row.items()}).splitlines()[2])
  return {
    mixture: {**one, **{measure: one[measure][:seeds] for measure in MEASURES}} for mixture, one in of_row.items()
  }


def _with_word(word: str, base: str | None) -> list[str]:
  """The mixtures, or the config in their place, with a word after the row."""
  return [f"{name}{',' if ':' in name else ':'}{word}" for name in ((base,) if base else MIXTURES)]


def _config(base: str, row: str, overrides: Mapping[str, Any] | None) -> ConfigDict:
  """The config of a row, of the first seed. Raises UsageError for one that counts no modes."""
  name, _, words = base.partition(":")
  config = settings(f"{name}:{row},{words}".strip(","), overrides, seed=(overrides or {}).get("seed", 0))
  if not (config.get("metrics") or {}).get("modes"):
    raise UsageError(f"{base} has no config.metrics.modes; this study needs a mixture, such as gan_ring or gan_grid")
  return config


def _answers(of_row: Mapping[str, Values], configs: Sequence[ConfigDict], seeds: int) -> bool:
  """Whether a row's file holds so many seeds of these very configs."""
  wanted = {config.data.name: as_json(config) for config in configs}
  theirs = {mixture: one.get("config") for mixture, one in of_row.items()}
  return theirs == wanted and all(len(one["modes"]) >= seeds for one in of_row.values())


# Measuring ------------------------------------------------------------------------------------------------------------


def measured(configs: Sequence[ConfigDict], *, seeds: int) -> list[Values]:
  """Trains so many seeds of these configs together, from their own on; for each config what its samples cover.

  Raises:
    ValueError: the configs differ in more than their data.
  """
  import jax
  import numpy as np

  from genjax.core import prepared
  from genjax.experiment import experiment, metrics_of

  config = configs[0]
  if any(_training(other) != _training(config) for other in configs):
    raise ValueError(f"{', '.join(one.data.name for one in configs)} do not train alike; measure them one by one")
  runs = [[_with_seed(one, one.seed + seed) for seed in range(seeds)] for one in configs]
  each = [experiment(of_run) for of_config in runs for of_run in of_config]
  metrics = [metrics_of(it).metrics["modes"] for it in each]
  system = prepared(each[0].system, each[0].data.prepare)
  steps, steps_per_call, samples = config.train.steps, config.train.steps_per_call, config.metrics.modes.samples

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

  keys = jax.vmap(jax.random.key)(np.array([it.config.seed for it in each], np.uint32))
  # op by op: compiled, the draws of first weights would take longer than the rest of a short run's compilation
  states = jax.vmap(system.init)(keys, jax.tree.map(lambda leaf: leaf[0], batches(0, 1)))
  for step in range(0, steps, steps_per_call):
    states = call(keys, states, batches(step, min(steps_per_call, steps - step)))
  draw = jax.jit(jax.vmap(lambda key, state: system.views["sample"](key, state, samples)))
  points = np.asarray(draw(jax.vmap(lambda key: jax.random.fold_in(key, 2**31))(keys), states))
  sound = np.asarray(jax.jit(_finite)(states)) & np.isfinite(points).all((1, 2, 3, 4))
  numbers = [_numbers(*of_run) for of_run in zip(each, metrics, points, sound, strict=True)]
  return [
    {
      "config": as_json(one),
      **{measure: [number and number[measure] for number in numbers[place : place + seeds]] for measure in MEASURES},
      "centres": np.asarray(each[place].data.facts["centres"]).tolist(),
      "points": np.round(points[place, :SHOWN].reshape(-1, 2), 4).tolist() if sound[place] else [],
    }
    for place, one in zip(range(0, len(each), seeds), configs, strict=True)
  ]


def _with_seed(config: ConfigDict, seed: int) -> ConfigDict:
  config = config.copy_and_resolve_references()
  config.seed = seed
  return config


def _numbers(it: Any, metric: Any, points: Any, sound: bool) -> dict[str, Any] | None:
  """The numbers of a run's points with their cards; None where it diverged, and is not `sound`."""
  if not sound:
    return None
  numbers = metric.measure(None, {"sample": lambda key, state, n: points}, None, it.data)
  return {measure: numbers[measure].to_dict() for measure in MEASURES}


def _finite(states: Any) -> Any:
  """Of states with a leading axis of runs: [runs] bool, whether every float of a run is finite."""
  import jax
  import jax.numpy as jnp

  floats = [leaf for leaf in jax.tree.leaves(states) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
  return jnp.stack([jnp.isfinite(leaf).reshape(len(leaf), -1).all(1) for leaf in floats]).all(0)


def _training(config: ConfigDict) -> dict[str, Any]:
  """What a config says about everything but its data and its metrics; of the data, the size of a batch."""
  of_both = {key: value for key, value in config.to_dict().items() if key not in ("data", "metrics")}
  return {**of_both, "batch": config.data.batch}


def value_of(mixtures: Sequence[Values]) -> float:
  """The share of modes times the share of good samples: the mean over mixtures and seeds; 0 of one that diverged."""
  return statistics.mean(
    modes["value"] / len(one["centres"]) * good["value"] if modes and good else 0.0
    for one in mixtures
    for modes, good in zip(one["modes"], one["good"], strict=True)
  )


# Showing --------------------------------------------------------------------------------------------------------------


def table(values: Mapping[str, Mapping[str, Values]]) -> str:
  """A line for every row: its settings, mean and deviation over its seeds, how many diverged; below it what is known.

  A row with an asterisk has a line below the table, of what a mixture cannot give it or of why it fails.
  """
  first = next(iter(values.values()))
  counts = {mixture: len(next(iter(rows.values()))["centres"]) for mixture, rows in values.items()}
  titles = [f"{mixture}: {what}" for mixture, n in counts.items() for what in (f"modes of {n}", "good samples")]
  lines = [f"| objective | settings | {' | '.join(titles)} |", "|---" * (len(titles) + 2) + "|"]
  for row, of_row in first.items():
    numbers = [rows[row] for rows in values.values()]
    cells = [cell for one in numbers for cell in (_spread(one["modes"], ".1f"), _spread(one["good"], ".0%"))]
    mark = " \\*" if row in NOTES else ""
    lines.append(f"| {row}{mark} | {settings_of(of_row['config'])} | {' | '.join(cells)} |")
  return "\n".join([*lines, *(f"\\* {row}: {NOTES[row]}" for row in first if row in NOTES)])


def settings_of(config: Mapping[str, Any]) -> str:
  """What a row was trained with, in words: "256 points, adam 0.001 and 0.0002, b1 0.5, 1 critic step, weight 0.1"."""
  critic_steps, optimizer = config["system"]["critic_steps"], config["optimizer"]
  slower = (config.get("generator_optimizer") or optimizer)["learning_rate"]
  of_generator = f" and {slower:g}" if slower != optimizer["learning_rate"] else ""
  clip = config["system"].get("clip")
  of_critic = {key: value for key, value in config["critic"].items() if key in SHOWN_OF_CRITIC}
  of_objective = {key: value for key, value in config["objective"].items() if key not in HIDDEN_OF_OBJECTIVE}
  words = [
    f"{config['data']['batch'] // critic_steps} points",
    f"{optimizer['name']} {optimizer['learning_rate']:g}{of_generator}",
    *(f"{key} {optimizer[key]:g}" for key in ("b1", "clip_norm") if optimizer.get(key) is not None),
    f"{critic_steps} critic step{'s' if critic_steps > 1 else ''}",
    *([f"clip {clip:g}"] if clip else []),
    *(f"{key} {_word(value)}" for key, value in {**of_critic, **of_objective}.items()),
  ]
  return ", ".join(words)


def _word(value: Any) -> str:
  if isinstance(value, list | tuple):
    return " ".join(map(_word, value))
  return f"{value:g}" if isinstance(value, float) else str(value)


def _spread(numbers: Sequence[Mapping[str, Any] | None], form: str) -> str:
  """Mean and deviation over the seeds that did not diverge, and how many did."""
  values = [number["value"] for number in numbers if number is not None]
  if not values:
    return "diverged"
  text, diverged = spread(values, form), len(numbers) - len(values)
  return f"{text} ({diverged} of {len(numbers)} diverged)" if diverged else text


def draw(values: Mapping[str, Values]) -> Any:
  """The samples of every row over the centres of a mixture, as a matplotlib Figure."""
  import numpy as np
  from matplotlib.figure import Figure

  columns = min(8, len(values))
  rows = -(-len(values) // columns)
  figure = Figure(figsize=(1.5 * columns, 1.7 * rows), layout="constrained")
  axes = figure.subplots(rows, columns, squeeze=False).ravel()
  for axis in axes:
    axis.axis("off")
  for axis, (row, of_row) in zip(axes, values.items(), strict=False):
    axis.plot(*np.transpose(of_row["centres"]), "+", color="tab:red", markersize=4, linewidth=0.5)
    axis.plot(*np.reshape(of_row["points"], (-1, 2)).T, ".", color="black", markersize=1, alpha=0.5)
    axis.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
    axis.set_title(row if of_row["points"] else f"{row}: diverged", fontsize=6)
  return figure
