"""ViTGAN on digits: the gradient norm of its critic over training (figure 3.4), and what a step costs.

Papers   ViTGAN  Lee et al. 2022, arXiv:2107.04589; figure 3.4 of the thesis: R1 and SN of a vanilla critic have spikes
         of gradient, L2 attention with improved spectral normalisation has none
Seen     notebooks/README.md; R1 is lazy here, one step in 16, and its spikes are those steps
Departs  8x8 digits for CIFAR-10, CelebA and LSUN. The norm is that of the gradient of the whole loss, penalties
         and consistency included, at every step. A spike is a norm beside the median of its run's last half.
Checked  tests/studies/test_vitgan_study.py
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from genjax.studies.pictures import write
from genjax.studies.runs import kept, settings
from genjax.train.terminal import say

ROWS = {"R1": "r1", "SN": "sn", "L2 + ISN": "l2-isn"}  # arguments of vitgan_digits
STEPS = ((0.0, False), (0.0, True), (10.0, False), (10.0, True))  # weight of bCR, and remat
WIDTH = 32  # of both nets' tokens: nine runs in minutes


# Gradients ------------------------------------------------------------------------------------------------------------


def gradients(
  workdir: str,
  *,
  seeds: int = 3,
  quiet: bool = False,
  rows: Mapping[str, str] = ROWS,
  steps: int = 600,
  base: str = "vitgan_digits",
  overrides: Mapping[str, Any] | None = None,
) -> str:
  """Returns the table as text; writes <word>.json of each row, vitgan_gradients.json and vitgan_gradients.png.

  The same command again trains only the rows that are missing.

  Args:
    workdir: gets them.
    seeds: each row is trained with the seeds 0, 1, ...
    quiet: nothing on the terminal.
    rows: name to an argument of `base`.
    steps: number of steps of each run, at a constant learning rate.
    base: a config of ViTGAN that takes the words of vitgan_digits.
    overrides: config keys to set in every run.
  """
  from genjax.train.files import read_json

  os.makedirs(workdir, exist_ok=True)
  results: dict[str, Any] = {}
  for name, word in rows.items():
    value = read_json(os.path.join(workdir, f"{word}.json"))
    if value is None or len(value["norms"]) < seeds:
      value = measured(word, seeds=seeds, steps=steps, base=base, overrides=overrides)
      kept(workdir, word, value)
      if not quiet:
        say(f"{name}: Frechet distances {[round(number, 1) for number in value['frechet']]}")
    results[name] = {key: numbers[:seeds] for key, numbers in value.items()}
  kept(workdir, "vitgan_gradients", results)
  figure = draw({name: value["norms"] for name, value in results.items()})
  write(os.path.join(workdir, "vitgan_gradients.png"), figure)
  return table(results)


def measured(
  word: str,
  *,
  seeds: int,
  steps: int,
  base: str = "vitgan_digits",
  overrides: Mapping[str, Any] | None = None,
) -> dict[str, list]:
  """ "norms" [seeds][steps] of the critic's gradient, and "frechet" [seeds] of the last state; one compilation."""
  import jax

  from genjax.core import prepared
  from genjax.experiment import experiment, metrics_of

  norms, distances, step = [], [], None
  for seed in range(seeds):
    narrow = {"generator.width": WIDTH, "critic.width": WIDTH}
    changed = {"optimizer.schedule": "constant", "train.steps": steps, **narrow, **(overrides or {})}
    it = experiment(settings(f"{base}:{word}", changed, seed=seed))
    if step is None:
      system = prepared(it.system, it.data.prepare)
      init, step = jax.jit(system.init), jax.jit(system.step, donate_argnums=1)
      views = {"sample": jax.jit(system.views["sample"], static_argnums=2)}
      metric, real = metrics_of(it).metrics.get("frechet"), it.data
    key = jax.random.key(seed)
    state, of_run = init(key, it.data.batch(0)), []
    for i in range(steps):
      state, values = step(jax.random.fold_in(key, i), state, it.data.batch(i))
      of_run.append(values["critic_gradient"])
    norms.append([float(value) for value in of_run])
    key = jax.random.fold_in(key, 2**31)
    distances.append(metric.measure(key, views, state, real)["frechet"].value if metric else float("nan"))
  return {"norms": norms, "frechet": distances}


def table(results: Mapping[str, Mapping[str, Sequence]]) -> str:
  """A line for every row; of each seed, joined by commas: the median norm, and the largest ones over it."""
  import numpy as np

  lines = [
    "| critic | median norm | 99th percentile / median | largest / median | Frechet distance |",
    "|---|---|---|---|---|",
  ]
  for name, value in results.items():
    late = [np.asarray(norms)[len(norms) // 2 :] for norms in value["norms"]]
    middle = [np.median(norms) for norms in late]
    spikes = [np.quantile(norms, 0.99) / median for norms, median in zip(late, middle, strict=True)]
    largest = [norms.max() / median for norms, median in zip(late, middle, strict=True)]
    cells = [", ".join(f"{number:.3g}" for number in numbers) for numbers in (middle, spikes, largest)]
    lines.append(f"| {name} | {' | '.join(cells)} | {', '.join(f'{number:.1f}' for number in value['frechet'])} |")
  lines.append("of the last half of each run's steps; one number for each seed")
  return "\n".join(lines)


def draw(norms: Mapping[str, Any], figure: Any = None) -> Any:
  """The norms over steps, one panel for each row, on one scale. Returns the figure, for a notebook.

  Args:
    norms: name -> [seeds, steps].
    figure: a matplotlib Figure; None: a new one.
  """
  import numpy as np
  from matplotlib.figure import Figure

  figure = Figure(figsize=(3.4 * len(norms), 3.2), layout="constrained") if figure is None else figure
  axes = figure.subplots(1, len(norms), sharey=True, squeeze=False)[0]
  for axis, (name, curves) in zip(axes, norms.items(), strict=True):
    for seed, curve in enumerate(curves):
      axis.plot(np.asarray(curve), linewidth=0.6, alpha=0.8, label=f"seed {seed}")
    axis.set(yscale="log", xlabel="step", title=name)
  axes[0].set_ylabel("norm of the critic's gradient")
  axes[0].legend(fontsize=7)
  return figure


# Memory ---------------------------------------------------------------------------------------------------------------


def memory(
  workdir: str,
  *,
  seeds: int = 1,
  quiet: bool = False,
  base: str = "vitgan_cifar10",
  overrides: Mapping[str, Any] | None = None,
  seconds: float = 1.0,
  steps: Sequence[tuple[float, bool]] = STEPS,
) -> str:
  """Seconds and temporary memory of a step, with bCR or not, with remat or not, as text; writes memory.json.

  Args:
    workdir: gets it.
    seeds: unused: nothing here depends on them.
    quiet: nothing on the terminal.
    base: a config whose objective is `vitgan` and whose nets take `remat`.
    overrides: config keys to set; where they do not say otherwise, the data are `mock` and a batch is 16 images.
    seconds: time for measuring each row; three steps are timed, however long they take.
    steps: weight of bCR and whether remat is on, for each row.
  """
  import jax

  from genjax.experiment import experiment
  from genjax.train.bench import bench

  del seeds
  os.makedirs(workdir, exist_ok=True)
  rows = []
  for weight, remat in steps:
    it = experiment(costed(weight, remat, base, overrides))
    system = it.system._replace(kernels=None)
    report = bench(system, it.data, key=jax.random.key(0), seconds=seconds, samples=0).to_dict()
    rows.append(
      {"bcr": weight > 0, "remat": remat, **{key: report[key] for key in ("step_ms", "step_flops", "memory")}}
    )
    if not quiet:
      say(f"bCR {weight > 0}, remat {remat}: {report['step_ms']:.0f} ms a step")
  images = report["examples"]
  kept(workdir, "memory", {"rows": rows, "device": report["device_kind"], "cpu": report["cpu"], "images": images})
  return cost_table(rows, f"{base}, {images} images a step, {report['devices']} x {report['device_kind']}")


def costed(weight: float, remat: bool, base: str, overrides: Mapping[str, Any] | None = None) -> ConfigDict:
  """The config of a row of `memory`."""
  changed = {"objective.real": weight, "objective.fake": weight, "generator.remat": remat, "critic.remat": remat}
  return settings(base, {"data.name": "mock", "data.batch": 16, **(overrides or {}), **changed})


def cost_table(rows: Sequence[Mapping[str, Any]], of: str) -> str:
  """A line for every row."""
  lines = ["| bCR | remat | seconds a step | temporary memory, MiB | GFLOP a step |", "|---|---|---:|---:|---:|"]
  word = {False: "no", True: "yes"}
  for row in rows:
    temp = "unknown" if row["memory"]["temp"] is None else f"{row['memory']['temp'] / 2**20:,.0f}"
    cells = (
      word[row["bcr"]],
      word[row["remat"]],
      f"{row['step_ms'] / 1e3:.2f}",
      temp,
      f"{row['step_flops'] / 1e9:,.0f}",
    )
    lines.append(f"| {' | '.join(cells)} |")
  lines.append(f"{of}; seconds by the median step, memory by XLA's plan beside the state")
  return "\n".join(lines)
