"""Compressed sensing by a generator: how near an image comes from few random measurements, beside sparse recovery.

An image of n pixels is measured by m < n random projections, y = A x with normal entries of variance 1 / m. A generator
looks for latents whose image has these measurements; Lasso looks for few pixels, or few cosines, that have them.

Papers   CSGM  Bora, Jalal, Price & Dimakis 2017, arXiv:1703.03208, figure 1 (there: MNIST and a VAE, 784 pixels)
Departs  The grey levels are measured as they are for the generators, and without their mean for Lasso.
Checked  tests/studies/test_sensing_study.py
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from genjax.studies.pictures import write
from genjax.studies.runs import home_of, kept, opened, settings, trained

SHARES = (0.03, 0.06, 0.12, 0.25, 0.5, 0.75)  # of the pixels, as numbers of measurements
SPARSE = 1e-3  # Lasso's weight
SHOWN = 4  # images of the picture


def sensing(
  workdir: str,
  *,
  seeds: int = 1,
  quiet: bool = False,
  base: str = "vae_digits",
  overrides: Mapping[str, Any] | None = None,
  shares: Sequence[float] = SHARES,
  images: int = 32,
  steps: int = 500,
) -> str:
  """Trains the generator, or finds its run; returns the error of each number of measurements as text.

  Args:
    workdir: gets a run of each seed, sensing.json, and sensing.png of seed 0.
    seeds: the generator is trained, and the measurements are drawn, with the seeds 0, 1, ...
    quiet: nothing on the terminal.
    base: the config of a system with latents: a VAE, a GAN.
    overrides: config keys to set in every run.
    shares: numbers of measurements, as shares of the pixels.
    images: held-out images that are looked for.
    steps: of the search.
  """
  import numpy as np

  errors: dict[str, list] = {}
  for seed in range(seeds):
    run = trained(settings(base, overrides, seed=seed), home_of(workdir, base, seed), quiet=quiet)
    it, state = opened(run)
    raw = it.data.split("test").examples["image"]
    raw = raw[np.random.default_rng(seed).permutation(len(raw))[:images]]
    x = np.asarray(it.data.prepare(None, {"image": raw})["image"])
    counts = sorted({max(1, round(share * x[0].size)) for share in shares})
    recover = {"generator": _by_latents(it, state, steps), "Lasso, pixels": _lasso, "Lasso, cosines": _lasso_of_cosines}
    pictures: dict[str, list] = {name: [] for name in recover}
    for number, m in enumerate(counts):
      a = np.random.default_rng([seed, m]).normal(size=(x[0].size, m)).astype(np.float32) / m**0.5
      for name, method in recover.items():
        again = method(a, x)
        errors.setdefault(name, [[] for _ in counts])[number].append(float(((again - x) ** 2).mean()))
        pictures[name].append(again[:SHOWN])
    if seed == 0:
      write(os.path.join(workdir, "sensing.png"), draw(counts, errors, x[:SHOWN], pictures), dpi=110)
  kept(workdir, "sensing", {"measurements": counts, "pixels": int(x[0].size), "errors": errors})
  return table(counts, errors)


def _by_latents(it: Any, state: Any, steps: int) -> Any:
  """(A [P, m], images) -> images of the latents that fit A x best."""
  import jax
  import numpy as np

  from genjax.ops.recovery import recovered

  latents = it.system.views["latents"](state)
  labels = None if latents.classes is None else jax.numpy.zeros(1, jax.numpy.int32)
  generate = lambda z: latents.generate(latents.mapping(z, labels), labels)

  @jax.jit
  def search(a: jax.Array, x: jax.Array) -> jax.Array:
    measure = lambda images: images.reshape(len(images), -1) @ a
    return recovered(jax.random.key(0), generate, latents.draw, measure, measure(x), steps=steps).images

  return lambda a, x: np.asarray(search(a, x))


def _lasso(a: Any, x: Any) -> Any:
  """Few pixels that differ from black."""
  import numpy as np

  return np.clip(_sparse(a, x + 1) - 1, -1, 1)


def _lasso_of_cosines(a: Any, x: Any) -> Any:
  """Few cosines, of rows and columns."""
  import numpy as np
  from scipy.fft import idctn

  shape = x.shape[1:]
  basis = np.stack([idctn(one.reshape(shape), axes=(0, 1), norm="ortho").ravel() for one in np.eye(x[0].size)])
  coefficients = _sparse(basis @ a, x + 1, a)
  return np.clip((coefficients.reshape(len(x), -1) @ basis).reshape(x.shape) - 1, -1, 1)


def _sparse(a: Any, x: Any, of_pixels: Any = None) -> Any:
  """Lasso's coefficients [n, ...] whose product with a [P, m] is what `of_pixels` (or a) measures of x."""
  import numpy as np

  from genjax.ops.sparse import lasso

  measured = x.reshape(len(x), -1) @ (a if of_pixels is None else of_pixels)
  return np.asarray(lasso(a, measured, weight=SPARSE)).reshape(x.shape)


def table(counts: Sequence[int], errors: Mapping[str, Sequence[Sequence[float]]]) -> str:
  """A line for each method, a column for each number of measurements: the mean squared error of a pixel."""
  import numpy as np

  lines = ["| squared error of a pixel; measurements | " + " | ".join(map(str, counts)) + " |"]
  lines.append("|---" * (1 + len(counts)) + "|")
  for name, of in errors.items():
    lines.append(f"| {name} | " + " | ".join(f"{np.mean(each):.3f}" for each in of) + " |")
  return "\n".join(lines)


def draw(counts: Sequence[int], errors: Mapping[str, Any], images: Any, pictures: Mapping[str, Sequence[Any]]) -> Any:
  """The curves, and the first images by every method and number of measurements, as a matplotlib Figure."""
  import numpy as np
  from matplotlib.figure import Figure

  from genjax.metrics.figure import tiles
  from genjax.ops.augment import to_uint8

  figure = Figure(figsize=(4 * (1 + len(pictures)), 3.6), layout="constrained")
  axis, *others = figure.subplots(1, 1 + len(pictures))
  for name, of in errors.items():
    axis.plot(counts, [np.mean(each) for each in of], marker=".", label=name)
  axis.set(xscale="log", yscale="log", xlabel="measurements", ylabel="squared error of a pixel")
  axis.legend(fontsize=8)
  for axis, (name, of) in zip(others, pictures.items(), strict=True):
    rows = np.stack([images, *of])  # the images themselves, then more and more measurements
    tiles(axis, to_uint8(rows.reshape(-1, *images.shape[1:])), len(images), f"{name}: images, then {counts}")
  return figure
