"""How the generator's gradient vanishes as the critic nears its optimum: a critic learns while its generator does not.

A generator that was trained for `warm` steps is left as it is; a new critic learns to distinguish its images from
digits. After some of its steps the norm of the gradient that the generator would have is measured: where the generator
minimises log(1 - s(g)) it goes to 0, where it minimises -log s(g) it need not, and a Wasserstein critic with a penalty
keeps it.

Papers   Arjovsky & Bottou 2017, arXiv:1701.04862, figures 2 and 3 (there: DCGANs trained for 1, 10 and 25 epochs)
         WGAN-GP  Gulrajani et al. 2017, arXiv:1704.00028
Seen     Geometric means of seeds 0 to 2, at 0 and 2,000 steps of the critic: minimax 2.1, 0.0067 (0.0033 to 0.011);
         non_saturating 1.8, 74; wgan_gp 4.1, 4.7. notebooks/README.md has them, and the picture
Departs  8x8 digits, a generator and a critic of two layers of 256, one state of the generator. All critics learn by one
         Adam, at 1e-3. minimax and non_saturating have the same critic: only what the generator reads of it differs.
Checked  tests/studies/test_vanishing.py
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from genjax.studies.pictures import write
from genjax.studies.runs import kept, settings
from genjax.train.terminal import say

ROWS = ("minimax", "non_saturating", "wgan_gp")


def vanishing(
  workdir: str,
  *,
  seeds: int = 3,
  quiet: bool = False,
  rows: Sequence[str] = ROWS,
  warm: int = 300,
  steps: int = 2000,
  points: int = 40,
  widths: tuple[int, ...] = (256, 256),
  base: str = "gan_digits:non_saturating",
  overrides: Mapping[str, Any] | None = None,
) -> str:
  """Returns the norm of the gradient before and after as text; writes vanishing.json and vanishing.png.

  Args:
    workdir: gets both.
    seeds: 0, 1, ... are the seeds of generator, critic and batches.
    quiet: nothing on the terminal.
    rows: names of the zoo.
    warm: number of steps of a non-saturating GAN that make the generator.
    steps: number of steps of the critic.
    points: number of norms of each curve.
    widths: hidden layers of both nets.
    base: the config of the GAN that makes the generator.
    overrides: config keys of `base` to set.
  """
  import numpy as np

  os.makedirs(workdir, exist_ok=True)
  at = np.unique(np.round(np.geomspace(1, steps + 1, points)).astype(int)) - 1
  norms: dict[str, list] = {row: [] for row in rows}
  for seed in range(seeds):
    curves = measured(rows, at, seed=seed, warm=warm, widths=widths, base=base, overrides=overrides)
    for row in rows:
      norms[row].append(curves[row].tolist())
      if not quiet:
        say(f"{row}, seed {seed}: {curves[row][0]:.3g} at first, {curves[row][-1]:.3g} at last")
  kept(workdir, "vanishing", {"steps": at.tolist(), "norms": norms})
  write(os.path.join(workdir, "vanishing.png"), draw(at, {row: np.asarray(values) for row, values in norms.items()}))
  return table(at, norms)


def measured(
  rows: Sequence[str],
  at: Any,
  *,
  seed: int = 0,
  warm: int = 300,
  widths: tuple[int, ...] = (256, 256),
  base: str = "gan_digits:non_saturating",
  overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
  """For each row the norm of the generator's gradient after `at` steps of the critic, [len(at)] float64.

  Args:
    rows: names of the zoo, whose critic is a plain one.
    at: rising numbers of steps, from 0.
    seed: of everything.
    warm, widths, base, overrides: see vanishing.
  """
  import jax
  import numpy as np

  from genjax.core import prepared
  from genjax.experiment import experiment
  from genjax.make import make
  from genjax.objectives.terms import play
  from genjax.objectives.zoo import OBJECTIVES
  from genjax.systems.optimizers import adam
  from genjax.systems.updates import norm

  config = settings(base, {"generator.name": "mlp", "generator.widths": widths, **(overrides or {})}, seed=seed)
  config.critic = ConfigDict({"name": "mlp", "widths": widths})
  it, key = experiment(config), jax.random.key(seed)
  data, size, latent = it.data, config.data.batch, config.system.latent
  made = _generator(prepared(it.system, data.prepare), data, key, warm)
  generator, critic = make("generator", config.generator, it.maker), make("critic", config.critic, it.maker)
  rule = adam(learning_rate=1e-3)()

  def curve(row: str) -> np.ndarray:
    objective = OBJECTIVES[row]()
    terms = (objective.critic.init(), objective.generator.init())

    def losses(key, params, theirs, real):
      """Both losses, of the critic and of the generator, on the same images."""
      key_latent, key_critic, key_generator = jax.random.split(key, 3)
      latents = jax.random.normal(key_latent, (size, latent))
      round = play(lambda x: critic.apply(params, x), real, generator.apply({"params": theirs}, latents))
      return (
        objective.critic.apply(key_critic, terms[0], round)[0],
        objective.generator.apply(key_generator, terms[1], round)[0],
      )

    @jax.jit
    def learn(key, params, moments, raw):
      real = data.prepare(key, raw)["image"]
      grads = jax.grad(lambda params: losses(key, params, made, real)[0])(params)
      updates, moments = rule.update(grads, moments, params)
      return jax.tree.map(lambda a, b: a + b, params, updates), moments

    @jax.jit
    def of_generator(key, params, raw):
      real = data.prepare(key, raw)["image"]
      return norm(jax.grad(lambda theirs: losses(key, params, theirs, real)[1])(made))

    start = data.prepare(key, data.batch(0))["image"]
    params = critic.init(jax.random.fold_in(key, 1), start[:1])
    moments, norms, wanted = rule.init(params), [], set(np.asarray(at).tolist())
    for i in range(max(wanted) + 1):
      raw = data.batch(warm + i)
      if i in wanted:
        norms.append(float(of_generator(jax.random.fold_in(key, 2), params, raw)))
      params, moments = learn(jax.random.fold_in(key, 3 + i), params, moments, raw)
    return np.asarray(norms)

  return {row: curve(row) for row in rows}


def _generator(system: Any, data: Any, key: Any, steps: int) -> Any:
  """The parameters of a GAN's generator after so many steps."""
  import jax

  state, step = jax.jit(system.init)(key, data.batch(0)), jax.jit(system.step)
  for i in range(steps):
    state, _ = step(jax.random.fold_in(key, i), state, data.batch(i))
  return state.params["generator"]


def table(at: Any, norms: Mapping[str, Sequence]) -> str:
  """A line for every row: the geometric mean over seeds of the first, the middle and the last norm."""
  import numpy as np

  places = (0, len(at) // 2, len(at) - 1)
  lines = [
    "| generator's loss by | " + " | ".join(f"norm after {at[place]} critic steps" for place in places) + " |",
    "|---" * (len(places) + 1) + "|",
  ]
  for row, values in norms.items():
    means = np.exp(np.log(np.maximum(np.asarray(values), 1e-45)).mean(0))
    lines.append(f"| {row} | " + " | ".join(f"{means[place]:.2g}" for place in places) + " |")
  return "\n".join(lines)


def draw(steps: Any, norms: Mapping[str, Any], figure: Any = None) -> Any:
  """The curves, on log axes: each seed thin, their geometric mean bold. Returns the figure, for a notebook.

  Args:
    steps: numbers of steps of the critic, [P]; drawn at steps + 1.
    norms: name -> [seeds, P].
    figure: a matplotlib Figure; None: a new one.
  """
  import numpy as np
  from matplotlib.figure import Figure

  figure = Figure(figsize=(6, 4), layout="constrained") if figure is None else figure
  axis = figure.subplots()
  places = np.asarray(steps) + 1
  for number, (name, values) in enumerate(norms.items()):
    values = np.maximum(np.asarray(values, np.float64), 1e-45)
    axis.plot(places, values.T, color=f"C{number}", linewidth=0.5, alpha=0.5)
    axis.plot(places, np.exp(np.log(values).mean(0)), color=f"C{number}", linewidth=2, label=name)
  axis.set(xscale="log", yscale="log", xlabel="steps of the critic + 1", ylabel="norm of the generator's gradient")
  axis.set_title("The critic learns, the generator does not", fontsize=10)
  axis.legend(fontsize=8)
  return figure
