"""Figure 2.3: the same sampler on the critic of a WGAN-GP and on the critic of WINN, both the same net.

A critic that was only ever shown its generator's images need not know the way from noise to data; WINN's is trained on
the very images that its sampler finds. Both climb from the same p0 with the same moves, and each image stops at a
threshold drawn from the range of f over the same training images.

Papers   WINN  Lee et al., CVPR 2018; dissertation (UCSD 2022) figure 2.3 (there: faces of 64x64)
Departs  Digits of 8x8. Chains may make `moves` moves, five times as many as WINN makes in its own training, so that a
         critic with a longer way to go is not cut short.
Checked  tests/studies/test_critic_samples.py
"""

import os
from collections.abc import Mapping
from typing import Any

from genjax.studies.runs import Run, kept, opened, settings, trained

ROWS = {"WGAN-GP": "gan_digits:wgan_gp", "WINN": "winn_digits"}
SHOWN = 64


def critic_samples(
  workdir: str,
  *,
  seeds: int = 1,
  quiet: bool = False,
  moves: int = 300,
  samples: int = 500,
  overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
  """Trains both (or finds them in `workdir`), samples from both critics; returns a table as text.

  Args:
    workdir: gets a run for each critic and seed, critic_samples.json, and critic_samples.png of seed 0.
    seeds: 0, 1, ... of both.
    quiet: nothing on the terminal.
    moves: at most this many of a chain.
    samples: from each critic.
    overrides: of config keys, by critic: {"WINN": {"train.steps": 10}}.
  """
  found = {row: [] for row in ROWS}
  for seed in range(seeds):
    runs = {
      row: trained(settings(name, (overrides or {}).get(row), seed=seed), _home(workdir, name, seed), quiet=quiet)
      for row, name in ROWS.items()
    }
    pictures = {}
    for row, run in runs.items():
      images, numbers = _climbed(run, runs["WINN"], moves=moves, samples=samples, seed=seed)
      pictures[row] = images[:SHOWN]
      found[row].append(numbers)
    if seed == 0:
      _draw(os.path.join(workdir, "critic_samples.png"), pictures, {row: values[0] for row, values in found.items()})
  anchors = {name: number["value"] for name, number in runs["WINN"].summary["anchors"].items()}
  kept(workdir, "critic_samples", {"critics": found, "anchors": anchors, "moves": moves, "samples": samples})
  return table(found, anchors)


def table(found: dict[str, list[dict[str, float]]], anchors: dict[str, float]) -> str:
  """One line for a critic and seed: the Frechet distance of its chains and how they ended."""
  lines = [
    "| critic, seed | Frechet of the critic's samples | chains that reached their threshold | moves, mean "
    "| Frechet of the run's own samples |",
    "|---|---|---|---|---|",
  ]
  for row, values in found.items():
    for seed, value in enumerate(values):
      lines.append(
        f"| {row}, {seed} | {value['frechet']:.2f} | {value['stopped']:.0%} | {value['moves']:.0f} "
        f"| {value['own_frechet']:.2f} |"
      )
  lines.append("beside it: " + ", ".join(f"{name} {value:.1f}" for name, value in anchors.items()))
  return "\n".join(lines)


def _home(workdir: str, name: str, seed: int) -> str:
  return os.path.join(workdir, f"{name.replace(':', '_')}_{seed}")


def _climbed(run: Run, winn: Run, *, moves: int, samples: int, seed: int) -> tuple[Any, dict[str, float]]:
  """Images [samples, H, W, C] that climbed the critic of `run` as WINN's climb, and what is measured of them."""
  import jax
  import numpy as np

  from genjax.build import judge
  from genjax.ops import langevin
  from genjax.ops.augment import to_unit
  from genjax.parts import NOISES, SAMPLERS, make

  parts, state = opened(run)
  noise = make(NOISES, winn.config, "noise", parts.shape)
  rule = make(SAMPLERS, winn.config, "sampler")
  chunk, positives = winn.config.system.synthesis_batch, winn.config.data.batch
  score = lambda state, images: parts.views["score"](state)(images)
  real = to_unit(parts.data.images.images[:positives])

  @jax.jit
  def climb(key, state, real):
    key_noise, key_threshold, key_move = jax.random.split(key, 3)
    f = score(state, real)
    threshold = jax.random.uniform(key_threshold, (chunk,), minval=f.min(), maxval=f.max())
    start = noise(key_noise, chunk)
    f_of = lambda images: score(state, images)
    return start, langevin.ascend(key_move, f_of, start, rule=rule, steps=moves, threshold=threshold)

  ended = [climb(jax.random.fold_in(jax.random.key(seed), turn), state, real) for turn in range(-(-samples // chunk))]
  gather = lambda values: np.concatenate([np.asarray(value) for value in values])[:samples]
  images = gather(chains.images for _, chains in ended)
  measured = judge(winn.config, parts).metrics.measure(images, ema=None, seed=seed).values()
  return images, {
    **{name: measured[name] for name in ("frechet", "copies", "diversity")},
    "stopped": float(gather(chains.stopped for _, chains in ended).mean()),
    "moves": float(gather(chains.moves for _, chains in ended).mean()),
    "f_real": float(score(state, real).mean()),
    "f_noise": float(gather(score(state, start) for start, _ in ended).mean()),
    "f_samples": float(gather(chains.scores for _, chains in ended).mean()),
    "own_frechet": run.summary["metrics"]["frechet"]["value"],
  }


def _draw(path: str, pictures: dict[str, Any], numbers: dict[str, dict[str, float]]) -> None:
  import io

  import numpy as np
  from etils import epath
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  from genjax.metrics.figure import tiles
  from genjax.ops.augment import to_uint8

  figure = Figure(figsize=(9, 4.9), layout="constrained")
  FigureCanvasAgg(figure)
  for axis, (row, images) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
    value = numbers[row]
    title = (
      f"from {row}'s critic: Frechet distance {value['frechet']:.1f}\n{value['stopped']:.0%} reached their threshold"
    )
    tiles(axis, np.asarray(to_uint8(images)), 8, title)
  figure.suptitle("The same sampler on two critics (the first 64 samples, not chosen)", fontsize=10)
  content = io.BytesIO()
  figure.savefig(content, format="png", dpi=110)
  epath.Path(path).write_bytes(content.getvalue())
