"""How the generator's gradient vanishes as the critic nears its optimum: a critic learns, its generator rests.

A generator that was trained for `warm` steps is left alone; a new critic learns to tell its images from digits. At each
of some steps the norm of the generator's gradient is taken, by the critic as it is: where log(1 - s(g)) is minimised it
goes to 0, where -log s(g) is it need not, and a Wasserstein critic with a penalty keeps it.

Papers   Arjovsky & Bottou 2017, arXiv:1701.04862, figures 2 and 3 (there: DCGANs trained for 1, 10 and 25 epochs)
         WGAN-GP  Gulrajani et al. 2017, arXiv:1704.00028
Seen     Geometric means of seeds 0 to 2, at 0 and 2,000 steps of the critic: minimax 2.4, 0.0077 (0.0003 to 0.35);
         non_saturating 1.8, 75; wgan_gp 4.3, 4.6
Departs  8x8 digits, a generator and a critic of two layers of 256, one state of the generator. All critics learn by one
         Adam, at 1e-3. minimax and non_saturating have the same critic: only what the generator reads of it differs.
Checked  tests/studies/test_vanishing.py
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from genjax.studies.runs import kept, settings

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
  overrides: Mapping[str, Any] | None = None,
) -> str:
  """The gradient's norm before and after as text; writes vanishing.json and vanishing.png.

  Args:
    workdir: gets both.
    seeds: 0, 1, ...: of generator, critic and batches.
    quiet: nothing on the terminal.
    rows: names of the zoo.
    warm: steps of a non-saturating GAN that make the generator.
    steps: of the critic.
    points: how many norms of each curve.
    widths: of the hidden layers of both nets.
    overrides: of config keys of gan_digits:non_saturating.
  """
  import numpy as np

  os.makedirs(workdir, exist_ok=True)
  at = np.unique(np.round(np.geomspace(1, steps + 1, points)).astype(int)) - 1
  found: dict[str, list] = {row: [] for row in rows}
  for seed in range(seeds):
    curves = measured(rows, at, seed=seed, warm=warm, widths=widths, overrides=overrides)
    for row in rows:
      found[row].append(curves[row].tolist())
      if not quiet:
        print(f"{row}, seed {seed}: {curves[row][0]:.3g} at first, {curves[row][-1]:.3g} at last", flush=True)
  kept(workdir, "vanishing", {"steps": at.tolist(), "norms": found})
  _write(os.path.join(workdir, "vanishing.png"), at, {row: np.asarray(values) for row, values in found.items()})
  return table(at, found)


def measured(
  rows: Sequence[str],
  at: Any,
  *,
  seed: int = 0,
  warm: int = 300,
  widths: tuple[int, ...] = (256, 256),
  overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
  """For each row the norm of the generator's gradient after `at` steps of the critic, [len(at)] float64.

  Args:
    rows: names of the zoo, whose critic is a plain one.
    at: rising numbers of steps, from 0.
    seed: of everything.
    warm, widths, overrides: see vanishing.
  """
  import jax
  import numpy as np

  from genjax import parts
  from genjax.build import build
  from genjax.objectives.terms import play
  from genjax.objectives.zoo import OBJECTIVES
  from genjax.ops.augment import prepare
  from genjax.systems.updates import make_optimizer, norm

  config = settings("gan_digits:non_saturating", {"generator.widths": widths, **(overrides or {})}, seed=seed)
  config.net = ConfigDict({"name": "mlp", "widths": widths})
  built, key = build(config), jax.random.key(seed)
  state = jax.jit(built.system.init)(key, built.data.batch(0))
  step = jax.jit(built.system.step)
  for i in range(warm):
    state, _ = step(jax.random.fold_in(key, i), state, built.data.batch(i))
  shape, size = built.shape, config.data.batch
  generator = parts.make(parts.GENERATORS, config, "generator", shape)
  critic = parts.make(parts.NETS, config, "net")
  rule = make_optimizer("adam", 1e-3, b1=0.9, b2=0.999)

  def curve(row: str) -> np.ndarray:
    objective = OBJECTIVES[row]()
    terms = (objective.critic.init(), objective.generator.init())

    def losses(key, params, painter, real):
      """Both, of the critic and of the generator, on the same images."""
      key_latent, key_critic, key_generator = jax.random.split(key, 3)
      latent = jax.random.normal(key_latent, (size, config.system.latent))
      round = play(lambda x: critic.apply(params, x), real, generator.apply({"params": painter}, latent))
      return (
        objective.critic.apply(key_critic, terms[0], round)[0],
        objective.generator.apply(key_generator, terms[1], round)[0],
      )

    @jax.jit
    def learn(key, params, moments, raw):
      real = prepare(key, raw)["image"]
      gradient = jax.grad(lambda params: losses(key, params, state.params.generator, real)[0])(params)
      change, moments = rule.update(gradient, moments, params)
      return jax.tree.map(lambda a, b: a + b, params, change), moments

    @jax.jit
    def pull(key, params, raw):
      real = prepare(key, raw)["image"]
      return norm(jax.grad(lambda painter: losses(key, params, painter, real)[1])(state.params.generator))

    start = prepare(key, built.data.batch(0))["image"]
    params = critic.init(jax.random.fold_in(key, 1), start[:1])
    moments, norms, wanted = rule.init(params), [], set(np.asarray(at).tolist())
    for i in range(max(wanted) + 1):
      raw = built.data.batch(warm + i)
      if i in wanted:
        norms.append(float(pull(jax.random.fold_in(key, 2), params, raw)))
      params, moments = learn(jax.random.fold_in(key, 3 + i), params, moments, raw)
    return np.asarray(norms)

  return {row: curve(row) for row in rows}


def table(at: Any, found: Mapping[str, Sequence]) -> str:
  """A line for every row: the geometric mean over seeds of the norm at first, in the middle and at last."""
  import numpy as np

  places = (0, len(at) // 2, len(at) - 1)
  lines = [
    "| generator's loss by | " + " | ".join(f"norm after {at[place]} critic steps" for place in places) + " |",
    "|---" * (len(places) + 1) + "|",
  ]
  for row, values in found.items():
    means = np.exp(np.log(np.maximum(np.asarray(values), 1e-45)).mean(0))
    lines.append(f"| {row} | " + " | ".join(f"{means[place]:.2g}" for place in places) + " |")
  return "\n".join(lines)


def draw(steps: Any, norms: Mapping[str, Any], figure: Any = None) -> Any:
  """The curves, on log axes: each seed thin, their geometric mean bold. Returns the figure, for a notebook.

  Args:
    steps: of the critic, [P]; drawn at steps + 1.
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
  axis.set_title("The generator rests, its critic learns", fontsize=10)
  axis.legend(fontsize=8)
  return figure


def _write(path: str, steps: Any, norms: Mapping[str, Any]) -> None:
  import io

  from etils import epath
  from matplotlib.backends.backend_agg import FigureCanvasAgg

  figure = draw(steps, norms)
  FigureCanvasAgg(figure)
  content = io.BytesIO()
  figure.savefig(content, format="png", dpi=100)
  epath.Path(path).write_bytes(content.getvalue())
