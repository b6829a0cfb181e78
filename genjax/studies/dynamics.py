"""How update rules and penalties move the Dirac-GAN, beside what theory says of a step near its equilibrium.

The data are all 0, the generator's one point is theta, D(x) = phi x. Near (0, 0) a step of gradient descent is a 2x2
matrix; the modulus of its largest eigenvalue is the rate at which the pair leaves or comes home.

Papers   Mescheder, Geiger & Nowozin 2018, arXiv:1801.04406; Nagarajan & Kolter 2017, arXiv:1706.04156;
         Mescheder, Nowozin & Geiger 2017, arXiv:1705.10461; Metz et al. 2017, arXiv:1611.02163
Checked  tests/systems/test_updates.py: the matrices, entry by entry; tests/studies/test_dynamics.py
"""

import os
from typing import Any, NamedTuple

RATE = 0.2
TOGETHER = {"order": "simultaneous"}
H = RATE


class Rule(NamedTuple):
  """A row of the plot: an objective, settings of the GAN system, and the matrix of one step near 0, worked out by hand.

  The logistic loss has slope 1/2 at 0: that is the 2 under every h.
  """

  objective: str
  arguments: dict[str, float]
  settings: dict[str, Any]
  matrix: tuple[tuple[float, float], tuple[float, float]]


RULES = {
  "simultaneous": Rule("non_saturating", {}, TOGETHER, ((1, -H / 2), (H / 2, 1))),
  "simultaneous, saturating": Rule("minimax", {}, TOGETHER, ((1, -H / 2), (H / 2, 1))),
  "alternating": Rule("non_saturating", {}, {}, ((1, -H / 2), (H / 2, 1 - H**2 / 4))),
  "two critic steps": Rule("non_saturating", {}, {"critic_steps": 2}, ((1, -H), (H / 2, 1 - H**2 / 2))),
  "R1": Rule("r1", {"gamma": 0.5}, TOGETHER, ((1 - H * 0.5, -H / 2), (H / 2, 1))),
  "local stability": Rule("local_stability", {"weight": 0.5}, TOGETHER, ((1, -H / 2), (H / 2, 1 - H * 0.5 / 2))),
  "consensus": Rule(
    "non_saturating", {}, {**TOGETHER, "consensus": 2.0}, ((1 - H * 2 / 4, -H / 2), (H / 2, 1 - H * 2 / 4))
  ),
  "unrolled": Rule("minimax", {}, {**TOGETHER, "unroll": 5}, ((1, -H / 2), (H / 2, 1 - H * 5 * H / 2))),
}


def path(name: str, start: tuple[float, float], steps: int) -> Any:
  """(phi, theta) before and after each step of the whole GAN system, [steps + 1, 2] float64.

  Args:
    name: of RULES.
    start: phi and theta at first.
    steps: of gradient descent at RATE.
  """
  import jax
  import jax.numpy as jnp
  import numpy as np

  from genjax.nets.dirac import DiracCritic, DiracGenerator
  from genjax.objectives.zoo import OBJECTIVES
  from genjax.systems.gan import gan

  rule = RULES[name]
  system = gan(
    DiracGenerator(start[1]),
    DiracCritic(start[0]),
    shape=(1, 1, 1),
    objective=OBJECTIVES[rule.objective](**rule.arguments),
    optimizer="sgd",
    rate=RATE,
    latent=1,
    **{"critic_steps": 1, **rule.settings},
  )
  batch = {"image": jnp.zeros((4, 1, 1, 1))}

  def body(state, index):
    state, _ = system.step(jax.random.fold_in(jax.random.key(1), index), state, batch)
    return state, jnp.stack([state.params.critic["phi"], state.params.generator["theta"]])

  run = jax.jit(lambda key: jax.lax.scan(body, system.init(key, batch), jnp.arange(steps))[1])
  return np.concatenate([[start], np.asarray(run(jax.random.key(0)), np.float64)])


def modulus(name: str) -> float:
  """Of the largest eigenvalue of a step near 0: below 1 the pair comes home at that rate."""
  import numpy as np

  return float(np.abs(np.linalg.eigvals(np.asarray(RULES[name].matrix))).max())


def dynamics(workdir: str, *, seeds: int = 1, quiet: bool = False, steps: int = 300) -> str:
  """The rates measured and by theory as text; writes dynamics.png, the path of each rule from (1, 1) and its length.

  Args:
    workdir: gets the picture.
    seeds, quiet: nothing here is random, and nothing is told but the result.
    steps: of each rule.
  """
  import numpy as np

  del seeds, quiet
  os.makedirs(workdir, exist_ok=True)
  lines = ["| rule | modulus of a step near 0, theory | measured |", "|---|---|---|"]
  for name in RULES:
    near = path(name, (0.005, 0.01), 60)
    matrix = np.linalg.lstsq(near[:-1], near[1:], rcond=None)[0].T
    lines.append(f"| {name} | {modulus(name):.4f} | {np.abs(np.linalg.eigvals(matrix)).max():.4f} |")
  _draw(os.path.join(workdir, "dynamics.png"), {name: path(name, (1.0, 1.0), steps) for name in RULES})
  return "\n".join(lines)


def _draw(file: str, paths: dict[str, Any]) -> None:
  import io

  import numpy as np
  from etils import epath
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  figure = Figure(figsize=(11, 6), layout="constrained")
  FigureCanvasAgg(figure)
  left, right = figure.subfigures(1, 2, width_ratios=(1.6, 1))
  axes = left.subplots(2, -(-len(paths) // 2)).ravel()
  for axis, (name, places) in zip(axes, paths.items(), strict=False):
    axis.plot(*places.T, linewidth=0.8)
    axis.plot(*places[0], "o", markersize=3)
    axis.plot(0, 0, "+", color="black")
    axis.set_title(f"{name}\nmodulus {modulus(name):.3f}", fontsize=8)
    axis.tick_params(labelsize=6)
  axis = right.subplots()
  for name, places in paths.items():
    axis.plot(np.linalg.norm(places, axis=1), label=name, linewidth=1)
  axis.set_yscale("log")
  axis.set_ylim(1e-6, 30)
  axis.set_xlabel("step")
  axis.set_title("distance from the equilibrium", fontsize=9)
  axis.legend(fontsize=7)
  figure.suptitle(f"The Dirac-GAN from (phi, theta) = (1, 1), gradient descent at rate {RATE}", fontsize=10)
  content = io.BytesIO()
  figure.savefig(content, format="png", dpi=100)
  epath.Path(file).write_bytes(content.getvalue())
