"""Figure 2.3: the same sampler on the critic of a WGAN-GP and on the critic of WINN, both the same net.

A critic that was only ever shown its generator's images need not know the way from noise to data; WINN's is trained on
the very images that its sampler makes. Both climb from the same p0 with the same moves, and each image stops at a
threshold drawn from the range of f over the same training images.

Papers   WINN  Lee et al., CVPR 2018; dissertation (UCSD 2022) figure 2.3 (there: faces of 64x64)
Departs  Digits of 8x8, or MNIST. Chains may make `moves` moves, five times as many as WINN makes in its own training,
         so that a critic with a longer way to go is not cut short.
Checked  tests/studies/test_critic_samples.py
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from genjax.studies.pictures import write
from genjax.studies.runs import Run, anchors_of, home_of, kept, opened, settings, trained

SHOWN = 64
Measure = Callable[[Any], dict[str, float]]  # images [n, H, W, C] in [-1, 1] -> numbers


def critic_samples(
  workdir: str,
  *,
  seeds: int = 1,
  quiet: bool = False,
  moves: int = 300,
  samples: int = 500,
  base: str = "winn_digits",
  overrides: Mapping[str, Any] | None = None,
  of_critic: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
  """Trains both critics (or finds their runs), samples from both; returns a table as text.

  Args:
    workdir: gets a run for each critic and seed, critic_samples.json, and critic_samples.png of seed 0.
    seeds: both are trained with the seeds 0, 1, ...
    quiet: nothing on the terminal.
    moves: at most this many moves of a chain.
    samples: number of images from each critic.
    base: the config of WINN, "winn_mnist" for example; the other is "gan_mnist:wgan_gp" with WINN's net.
    overrides: config keys to set in both runs.
    of_critic: config keys to set in one of them: {"WINN": {"train.steps": 10}}.
  """
  changed = {row: {**(overrides or {}), **(of_critic or {}).get(row, {})} for row in ("WGAN-GP", "WINN")}
  numbers: dict[str, list[dict[str, float]]] = {row: [] for row in changed}
  for seed in range(seeds):
    runs = {
      row: trained(config, home_of(workdir, name, seed), quiet=quiet)
      for row, (name, config) in both(base, changed, seed).items()
    }
    measure, pictures = _measure(runs["WINN"], samples=samples), {}
    for row, run in runs.items():
      images, chains = _climbed(run, runs["WINN"], moves=moves, samples=samples, seed=seed)
      pictures[row] = images[:SHOWN]
      own = run.summary["metrics"]["frechet"]["value"]
      numbers[row].append({**measure(images), **chains, "own_frechet": own})
    if seed == 0:
      figure = draw(pictures, {row: values[0] for row, values in numbers.items()})
      write(os.path.join(workdir, "critic_samples.png"), figure, dpi=110)
  anchors = anchors_of(runs["WINN"])
  kept(workdir, "critic_samples", {"critics": numbers, "anchors": anchors, "moves": moves, "samples": samples})
  return table(numbers, anchors)


def both(base: str, changed: Mapping[str, Mapping[str, Any]], seed: int = 0) -> dict[str, tuple[str, ConfigDict]]:
  """Of each critic the name of its config, and the config with its changed keys; the nets are the same."""
  name = base.partition(":")[0].replace("winn_", "gan_", 1) + ":wgan_gp"
  winn, gan = settings(base, changed["WINN"], seed=seed), settings(name, changed["WGAN-GP"], seed=seed)
  gan.critic = winn.net
  return {"WGAN-GP": (name, gan), "WINN": (base, winn)}


def table(numbers: Mapping[str, Sequence[Mapping[str, float]]], anchors: Mapping[str, float]) -> str:
  """One line for a critic and seed: the Frechet distance of its chains and how they ended."""
  lines = [
    "| critic, seed | Frechet of the critic's samples | chains that reached their threshold | moves, mean "
    "| Frechet of the run's own samples |",
    "|---|---|---|---|---|",
  ]
  for row, values in numbers.items():
    for seed, value in enumerate(values):
      lines.append(
        f"| {row}, {seed} | {value['frechet']:.2f} | {value['stopped']:.0%} | {value['moves']:.0f} "
        f"| {value['own_frechet']:.2f} |"
      )
  lines.append("beside it: " + ", ".join(f"{name} {value:.1f}" for name, value in anchors.items()))
  return "\n".join(lines)


def _climbed(run: Run, winn: Run, *, moves: int, samples: int, seed: int) -> tuple[Any, dict[str, float]]:
  """Images [samples, H, W, C] that climbed the critic of `run` as WINN's climb, and how their chains ended."""
  import jax
  import numpy as np

  from genjax.make import make
  from genjax.ops import langevin

  it, state = opened(run)
  noise, rule = make("noise", winn.config.noise, it.maker), make("sampler", winn.config.sampler)
  chunk, positives = winn.config.system.synthesis_batch, winn.config.data.batch
  score = it.system.views["score"]
  real = it.data.prepare(None, {"image": it.data.split("train").examples["image"][:positives]})["image"]

  @jax.jit
  def climb(key, state, real):
    key_noise, key_threshold, key_move = jax.random.split(key, 3)
    f = score(state, real)
    threshold = jax.random.uniform(key_threshold, (chunk,), minval=f.min(), maxval=f.max())
    start = noise(key_noise, chunk)
    f_of = lambda images: score(state, images)
    return start, langevin.ascend(key_move, f_of, start, rule=rule, steps=moves, threshold=threshold)

  ended = [climb(jax.random.fold_in(jax.random.key(seed), part), state, real) for part in range(-(-samples // chunk))]
  gather = lambda values: np.concatenate([np.asarray(value) for value in values])[:samples]
  return gather(chains.images for _, chains in ended), {
    "stopped": float(gather(chains.stopped for _, chains in ended).mean()),
    "moves": float(gather(chains.moves for _, chains in ended).mean()),
    "f_real": float(score(state, real).mean()),
    "f_noise": float(gather(score(state, start) for start, _ in ended).mean()),
    "f_samples": float(gather(chains.scores for _, chains in ended).mean()),
  }


def _measure(winn: Run, *, samples: int) -> Measure:
  """The Frechet distance, the share of copies and the diversity of images, measured as WINN's run measures them."""
  from genjax.make import make

  it, state = opened(winn)
  sections = {name: {**it.config.metrics[name], "samples": samples} for name in ("frechet", "copies")}
  metrics = [make("metrics", {"name": name, **section}, it.maker) for name, section in sections.items()]

  def measure(images: Any) -> dict[str, float]:
    views = {"sample": lambda key, state, n: images}
    numbers: dict[str, Any] = {}
    for metric in metrics:
      numbers |= metric.measure(None, views, state, it.data)
    return {name: numbers[name].value for name in ("frechet", "copies", "diversity")}

  return measure


def draw(pictures: Mapping[str, Any], numbers: Mapping[str, Mapping[str, float]]) -> Any:
  """The samples of both critics side by side, [n, H, W, C] in [-1, 1] each, as a matplotlib Figure."""
  import numpy as np
  from matplotlib.figure import Figure

  from genjax.metrics.figure import tiles
  from genjax.ops.augment import to_uint8

  figure = Figure(figsize=(9, 4.9), layout="constrained")
  for axis, (row, images) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
    value = numbers[row]
    title = (
      f"from {row}'s critic: Frechet distance {value['frechet']:.1f}\n{value['stopped']:.0%} reached their threshold"
    )
    tiles(axis, np.asarray(to_uint8(images)), 8, title)
  figure.suptitle("The same sampler on two critics (the first 64 samples, not chosen)", fontsize=10)
  return figure
