"""Generators of one data set beside one another: how near their samples come to held-out images, and how various.

    digits   INN, WINN-single and WINN with cascades on the bundled digits: the same net, data and number of steps
    mnist    the same three on MNIST, beside WGAN-GP, a GAN with R1, SN-GAN and ViTGAN

Papers   INN  Lazarow, Jin & Tu, ICCV 2017; WINN  Lee et al., CVPR 2018, sections 2.4.1 and 2.4.2 of the dissertation
Departs  The dissertation has no samples of MNIST without labels. Nets and numbers of steps are those of the configs, so
         the methods have neither the same nets nor the same time; the table says what a run took.
Checked  tests/studies/test_generators.py
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from genjax.studies.pictures import write
from genjax.studies.runs import Run, anchors_of, home_of, hours_of, kept, opened, settings, spread, trained

WORDS = {"INN-single": "inn", "WINN-single": "", "WINN, 4 stages": "cascade"}  # arguments of a config of WINN
PLAYERS = {
  "WGAN-GP": "gan_mnist:wgan_gp",
  "non-saturating, R1": "gan_mnist:r1",
  "SN-GAN": "gan_mnist:sn_gan",
  "ViTGAN": "vitgan_mnist",
}
SHOWN = 48  # samples of a row in the picture
COLUMNS = {  # number -> heading
  "precision": "precision",
  "recall": "recall",
  "density": "density",
  "coverage": "coverage",
  "copies": "copies",
  "duplicates": "duplicates",
}


def digits(
  workdir: str,
  *,
  seeds: int = 3,
  quiet: bool = False,
  base: str = "winn_digits",
  overrides: Mapping[str, Any] | None = None,
) -> str:
  """Trains INN, WINN-single and WINN with cascades with every seed, or finds their runs; returns the table as text.

  Args:
    workdir: gets a run of each row and seed, generators.json, and generators.png, samples of seed 0.
    seeds: each row is trained with the seeds 0, 1, ...
    quiet: nothing on the terminal.
    base: the config of WINN-single; its arguments `inn` and `cascade` give the others.
    overrides: config keys to set in every run.
  """
  rows = {row: ":".join(filter(None, (base, word))) for row, word in WORDS.items()}
  return generators(workdir, rows, seeds=seeds, quiet=quiet, overrides=overrides)


def mnist(
  workdir: str,
  *,
  seeds: int = 1,
  quiet: bool = False,
  base: str | None = None,
  overrides: Mapping[str, Any] | None = None,
) -> str:
  """Seven generators of MNIST; returns the table as text. The files: --config.data.path=FOLDER.

  Args:
    workdir, seeds, quiet, overrides: see `digits`.
    base: a config of MNIST, the only row in place of the seven: "gan_mnist:dragan".
  """
  rows = {row: ":".join(filter(None, ("winn_mnist", word))) for row, word in WORDS.items()} | PLAYERS
  return generators(workdir, {base: base} if base else rows, seeds=seeds, quiet=quiet, overrides=overrides)


def generators(
  workdir: str,
  rows: Mapping[str, str],
  *,
  seeds: int,
  quiet: bool = False,
  overrides: Mapping[str, Any] | None = None,
) -> str:
  """Trains every row with every seed, or finds its run; returns the table as text.

  The Frechet distance is the median of the last three evaluations of a run. Whatever else the configs' metrics
  measured of the last state has a column.

  Args:
    workdir: gets a run of each row and seed, generators.json, and generators.png, samples of seed 0.
    rows: name -> config.
    seeds: each row is trained with the seeds 0, 1, ...
    quiet: nothing on the terminal.
    overrides: config keys to set in every run.
  """
  runs = {
    row: [
      trained(settings(name, overrides, seed=seed), home_of(workdir, name, seed), quiet=quiet) for seed in range(seeds)
    ]
    for row, name in rows.items()
  }
  values = {row: [_numbers(run) for run in of] for row, of in runs.items()}
  anchors = anchors_of(next(iter(runs.values()))[0])
  cards = {row: [run.summary["metrics"] for run in of] for row, of in runs.items()}
  kept(workdir, "generators", {"numbers": values, "anchors": anchors, "cards": cards})
  figure = draw({row: _samples(of[0]) for row, of in runs.items()}, values)
  write(os.path.join(workdir, "generators.png"), figure, dpi=110)
  return table(values, anchors)


def _numbers(run: Run) -> dict[str, float]:
  """ "frechet", "hours", and those of COLUMNS that the run has."""
  measured = {name: run.summary["metrics"][name]["value"] for name in COLUMNS if name in run.summary["metrics"]}
  return {"frechet": run.summary["median_of_last_three_frechet"], **measured, "hours": hours_of(run)}


def _samples(run: Run) -> Any:
  """Images [SHOWN, H, W, C] in [-1, 1] of the last state."""
  import jax
  import numpy as np

  it, state = opened(run)
  return np.asarray(jax.jit(it.system.views["sample"], static_argnums=2)(jax.random.key(run.config.seed), state, SHOWN))


def table(values: Mapping[str, Sequence[Mapping[str, float]]], anchors: Mapping[str, float]) -> str:
  """One line for each row: the Frechet distance of each seed and in the mean, means of the rest, and the hours."""
  seeds = len(next(iter(values.values())))
  columns = [name for name in COLUMNS if all(name in one for of in values.values() for one in of)]
  heads = [f"seed {seed}" for seed in range(seeds)] + [
    "mean ± deviation",
    *(COLUMNS[name] for name in columns),
    "hours",
  ]
  lines = ["| Frechet distance | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
  for row, of in values.items():
    distances = [one["frechet"] for one in of]
    cells = [f"{value:.2f}" for value in distances] + [spread(distances, ".2f")]
    cells += [spread([one[name] for one in of], ".3f") for name in columns]
    lines.append(f"| {row} | " + " | ".join([*cells, spread([one["hours"] for one in of], ".2f")]) + " |")
  lines.append("beside it: " + ", ".join(f"{name} {value:.1f}" for name, value in anchors.items()))
  return "\n".join(lines)


def draw(pictures: Mapping[str, Any], values: Mapping[str, Sequence[Mapping[str, float]]]) -> Any:
  """Samples of every row, [n, H, W, C] in [-1, 1] each, as a matplotlib Figure."""
  from matplotlib.figure import Figure

  from genjax.metrics.figure import tiles
  from genjax.ops.augment import to_uint8

  across = min(4, len(pictures))
  down = -(-len(pictures) // across)
  figure = Figure(figsize=(3 * across, 2.6 * down), layout="constrained")
  for axis in (axes := figure.subplots(down, across, squeeze=False).ravel()):
    axis.axis("off")
  for axis, (row, images) in zip(axes, pictures.items(), strict=False):
    tiles(axis, to_uint8(images), 8, f"{row}: {values[row][0]['frechet']:.1f}")
  figure.suptitle("samples of seed 0, not chosen, and the Frechet distance of the run", fontsize=9)
  return figure
