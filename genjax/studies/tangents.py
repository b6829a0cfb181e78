"""The tangents that autoencoders find, and what a classifier of few labels gains by them.

Papers   Rifai et al. 2011, "The manifold tangent classifier", NIPS; Simard et al. 1992, "Tangent prop", NIPS
Departs  8x8 digits, 100 of them with labels; the autoencoders see all.
Checked  tests/studies/test_tangents_study.py
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from genjax.studies.pictures import write
from genjax.studies.runs import Run, home_of, kept, opened, settings, spread, trained

KINDS = ("plain", "denoising", "contractive")  # arguments of the autoencoder's config
SHOWN, DIRECTIONS = 4, 6  # images of the picture, and tangents of each
LARGE = 0.2  # a singular value counts as large from this share of the greatest


def tangents(
  workdir: str,
  *,
  seeds: int = 3,
  quiet: bool = False,
  base: str = "autoencoder_digits",
  classifier: str = "tangent_digits",
  weight: float = 0.3,
  overrides: Mapping[str, Any] | None = None,
  of_classifier: Mapping[str, Any] | None = None,
) -> str:
  """Trains autoencoders of three kinds, and classifiers without tangents and with those of each; the table as text.

  Args:
    workdir: gets a run of each, tangents.json, and tangents.png of seed 0.
    seeds: everything is trained with the seeds 0, 1, ...
    quiet: nothing on the terminal.
    base: the autoencoders' config, which takes the words of KINDS.
    classifier: the classifiers' config.
    weight: of their penalty.
    overrides: config keys to set in the autoencoders' runs.
    of_classifier: config keys to set in the classifiers' runs.
  """
  values: dict[str, list[dict[str, float]]] = {kind: [] for kind in ("no tangents", *KINDS)}
  pictures = {}
  for seed in range(seeds):
    for kind in values:
      keys: dict[str, Any] = dict(of_classifier or {})
      numbers = {}
      if kind in KINDS:
        run = trained(settings(f"{base}:{kind}", overrides, seed=seed), home_of(workdir, kind, seed), quiet=quiet)
        keys |= {"encoder.run": run.workdir, "encoder.view": "encode", "system.weight": weight}
        numbers, picture = _looked_at(run)
        if seed == 0:
          pictures[kind] = picture
      name = f"classifier_{kind.replace(' ', '_')}"
      run = trained(settings(classifier, keys, seed=seed), home_of(workdir, name, seed), quiet=quiet)
      values[kind].append({**numbers, "error": run.summary["metrics"]["error"]["value"]})
  kept(workdir, "tangents", values)
  write(os.path.join(workdir, "tangents.png"), draw(pictures), dpi=110)
  return table(values)


def _looked_at(run: Run) -> tuple[dict[str, float], Any]:
  """Reconstruction and singular values on held-out images, and [SHOWN, 1 + DIRECTIONS, H, W, C] for the picture."""
  import jax
  import numpy as np

  from genjax.ops.tangents import tangents as tangents_of

  it, state = opened(run)
  raw = it.data.split("test").examples["image"]
  images = it.data.prepare(None, {"image": raw})["image"]
  views = it.system.views
  code = jax.eval_shape(views["encode"], state, images).shape[1]
  of = jax.jit(lambda state, images: tangents_of(lambda x: views["encode"](state, x), images, code))
  values, vectors = of(state, images[:200])
  again = jax.jit(lambda state, x: views["decode"](state, views["encode"](state, x)))(state, images)
  numbers = {
    "squared_error": float(np.mean(np.sum((np.asarray(again) - images) ** 2, (1, 2, 3)))),
    "large": float(np.mean(np.sum(values >= LARGE * values[:, :1], 1))),
  }
  vectors = np.asarray(vectors[:SHOWN, :DIRECTIONS])
  vectors = vectors / np.abs(vectors).max((2, 3, 4), keepdims=True)
  return numbers, np.concatenate([np.asarray(images[:SHOWN])[:, None], vectors], 1)


def table(values: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
  """A line for each kind of tangents: means and deviations over the seeds."""
  lines = ["| tangents of | squared error | large singular values | error of the classifier, % |", "|---" * 4 + "|"]
  for kind, of in values.items():
    columns = [[one[name] for one in of] if name in of[0] else None for name in ("squared_error", "large")] + [
      [100 * one["error"] for one in of]
    ]
    lines.append(f"| {kind} | " + " | ".join("" if each is None else spread(each, ".2f") for each in columns) + " |")
  lines.append(f"large: at least {LARGE:.0%} of the greatest; mean ± deviation over {len(of)} seeds")
  return "\n".join(lines)


def draw(pictures: Mapping[str, Any]) -> Any:
  """Held-out images and their tangents, [n, 1 + k, H, W, C] in [-1, 1] each, as a matplotlib Figure."""
  from matplotlib.figure import Figure

  from genjax.metrics.figure import tiles
  from genjax.ops.augment import to_uint8

  figure = Figure(figsize=(3.4 * len(pictures), 2.6), layout="constrained")
  for axis, (kind, each) in zip(figure.subplots(1, len(pictures), squeeze=False)[0], pictures.items(), strict=True):
    tiles(axis, to_uint8(each.reshape(-1, *each.shape[2:])), each.shape[1], kind)
  figure.suptitle("a held-out image, and the directions that change its code most", fontsize=9)
  return figure
