"""How update rules and penalties move the Dirac-GAN and the bilinear game, beside what theory says of a step.

Dirac-GAN: the data are all 0, the generator's one point is theta, D(x) = phi x. Near (0, 0) a step of gradient descent
is a 2x2 matrix; the modulus of its largest eigenvalue is the factor by which the pair's distance grows or shrinks.

Bilinear game: the critic minimises -phi' A theta, the generator phi' A theta. Each singular value s of A has a plane of
its own, in which a step multiplies lengths by sqrt(1 + h^2 s^2), and with consensus of weight w by
|1 - h w s^2 + i h s|. R1 of D(x) = phi' A x is half the squared length of A' phi, the local stability term that of
A theta: either takes h w s^2 from one of the two diagonal entries.

Papers   Mescheder, Geiger & Nowozin 2018, arXiv:1801.04406; Nagarajan & Kolter 2017, arXiv:1706.04156;
         Mescheder, Nowozin & Geiger 2017, arXiv:1705.10461; Metz et al. 2017, arXiv:1611.02163
Checked  tests/systems/test_updates.py: the matrices, entry by entry; tests/studies/test_dynamics.py
"""

import functools
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from genjax.studies.pictures import write

LEARNING_RATE = 0.2  # the learning rate of both players
TOGETHER = {"order": "simultaneous"}
H = LEARNING_RATE
NEAR = 60  # steps near the equilibrium that the measured modulus is fitted to


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


BILINEAR = ((1.0, 0.5), (-0.3, 0.8))  # A
WEIGHT = 1.0  # of the term that a rule adds
BILINEAR_RULES = ("simultaneous", "consensus", "R1", "local stability")


def bilinear_matrix(name: str, s: float) -> tuple[tuple[float, float], tuple[float, float]]:
  """One step of (phi, theta) in the plane of the singular value s."""
  added = H * WEIGHT * s**2
  at_critic = added if name in ("consensus", "R1") else 0.0
  at_generator = added if name in ("consensus", "local stability") else 0.0
  return ((1 - at_critic, H * s), (-H * s, 1 - at_generator))


def bilinear_modulus(name: str) -> float:
  """The modulus of the largest eigenvalue of a step, over all planes."""
  import numpy as np

  singular = np.linalg.svd(np.asarray(BILINEAR))[1]
  return max(float(np.abs(np.linalg.eigvals(np.asarray(bilinear_matrix(name, s)))).max()) for s in singular)


def bilinear_path(name: str, steps: int) -> Any:
  """(phi, theta) before and after each step, [steps + 1, 4] float64.

  Args:
    name: one of BILINEAR_RULES.
    steps: number of steps of gradient descent at LEARNING_RATE, from phi = (1, 0), theta = (0, 1).
  """
  import jax
  import jax.numpy as jnp
  import numpy as np

  from genjax.systems import updates

  matrix = jnp.asarray(BILINEAR)
  value = lambda critic, generator: critic @ matrix @ generator  # phi' A theta
  none = lambda critic, generator: 0.0
  add = {  # what each player minimises besides
    "R1": (lambda critic, generator: WEIGHT / 2 * ((matrix.T @ critic) ** 2).sum(), none),
    "local stability": (none, lambda critic, generator: WEIGHT / 2 * ((matrix @ generator) ** 2).sum()),
  }.get(name, (none, none))
  losses = {
    "critic": lambda players: (add[0](**players) - value(**players), None),
    "generator": lambda players: (add[1](**players) + value(**players), None),
  }
  rule = functools.partial(updates.consensus, weight=WEIGHT) if name == "consensus" else updates.simultaneous

  def body(players, _):
    grads = rule(losses, players).grads
    players = {player: place - H * grads[player] for player, place in players.items()}
    return players, jnp.concatenate([players["critic"], players["generator"]])

  start = {"critic": jnp.array([1.0, 0.0]), "generator": jnp.array([0.0, 1.0])}
  run = jax.jit(lambda: jax.lax.scan(body, start, length=steps)[1])
  return np.concatenate([[[1.0, 0.0, 0.0, 1.0]], np.asarray(run(), np.float64)])


def path(name: str, start: tuple[float, float], steps: int) -> Any:
  """(phi, theta) before and after each step of the whole GAN system, [steps + 1, 2] float64.

  Args:
    name: one of RULES.
    start: phi and theta at first.
    steps: number of steps of gradient descent at LEARNING_RATE. Each number of steps compiles once, for all starts.
  """
  import numpy as np

  return np.concatenate([[start], np.asarray(_compiled(name, steps)(start), np.float64)])


@functools.cache
def _compiled(name: str, steps: int) -> Any:
  """(phi, theta) at first -> (phi, theta) after each of the steps, [steps, 2]."""
  import jax
  import jax.numpy as jnp

  from genjax.nets.dirac import DiracCritic, DiracGenerator
  from genjax.objectives.zoo import OBJECTIVES
  from genjax.systems.gan import gan
  from genjax.systems.optimizers import sgd

  rule = RULES[name]
  system = gan(
    DiracGenerator(),
    DiracCritic(),
    shape=(1, 1, 1),
    objective=OBJECTIVES[rule.objective](**rule.arguments),
    optimizer=sgd(learning_rate=LEARNING_RATE),
    latent=1,
    **{"critic_steps": 1, **rule.settings},
  )
  batch = {"image": jnp.zeros((4, 1, 1, 1))}

  def body(state, index):
    state, _ = system.step(jax.random.fold_in(jax.random.key(1), index), state, batch)
    return state, jnp.stack([state.params["critic"]["phi"], state.params["generator"]["theta"]])

  @jax.jit
  def run(start):
    state = system.init(jax.random.key(0), batch)
    phi, theta = (jnp.asarray(value, jnp.float32) for value in start)
    state = state._replace(params={"critic": {"phi": phi}, "generator": {"theta": theta}})
    return jax.lax.scan(body, state, jnp.arange(steps))[1]

  return run


def modulus(name: str) -> float:
  """The modulus of the largest eigenvalue of a step near 0; the pair converges where it is below 1."""
  import numpy as np

  return float(np.abs(np.linalg.eigvals(np.asarray(RULES[name].matrix))).max())


def dynamics(workdir: str, *, seeds: int = 1, quiet: bool = False, steps: int = 300) -> str:
  """Compares the measured modulus of a step with theory, as text; writes dynamics.png.

  The picture shows the Dirac-GAN's paths from (1, 1), and for both games the distance from the equilibrium.

  Args:
    workdir: gets the picture.
    seeds, quiet: unused: nothing here is random, and nothing is printed but the result.
    steps: number of steps of each rule in the picture, 60 at least.
  """
  import numpy as np

  del seeds, quiet
  os.makedirs(workdir, exist_ok=True)
  steps, paths = max(steps, NEAR), {}
  lines = ["| rule | modulus of a step near 0, theory | measured |", "|---|---|---|"]
  for name in RULES:
    near, paths[name] = path(name, (0.005, 0.01), steps)[: NEAR + 1], path(name, (1.0, 1.0), steps)
    matrix = np.linalg.lstsq(near[:-1], near[1:], rcond=None)[0].T
    lines.append(f"| Dirac-GAN, {name} | {modulus(name):.4f} | {np.abs(np.linalg.eigvals(matrix)).max():.4f} |")
  for name in BILINEAR_RULES:
    places = bilinear_path(name, NEAR)
    matrix = np.linalg.lstsq(places[:-1], places[1:], rcond=None)[0].T
    measured = np.abs(np.linalg.eigvals(matrix)).max()
    lines.append(f"| bilinear game, {name} | {bilinear_modulus(name):.4f} | {measured:.4f} |")
  figure = draw(paths, {name: bilinear_path(name, steps) for name in BILINEAR_RULES})
  write(os.path.join(workdir, "dynamics.png"), figure)
  return "\n".join(lines)


def draw(paths: Mapping[str, Any], bilinear: Mapping[str, Any]) -> Any:
  """A matplotlib Figure of the paths of both games, each rule's [steps + 1, numbers]."""
  import numpy as np
  from matplotlib.figure import Figure

  figure = Figure(figsize=(11, 6), layout="constrained")
  left, right = figure.subfigures(1, 2, width_ratios=(1.6, 1))
  axes = left.subplots(2, -(-len(paths) // 2)).ravel()
  for axis, (name, places) in zip(axes, paths.items(), strict=False):
    axis.plot(*places.T, linewidth=0.8)
    axis.plot(*places[0], "o", markersize=3)
    axis.plot(0, 0, "+", color="black")
    axis.set_title(f"{name}\nmodulus {modulus(name):.3f}", fontsize=8)
    axis.tick_params(labelsize=6)
  left.suptitle(
    f"The Dirac-GAN from (phi, theta) = (1, 1), gradient descent, learning rate {LEARNING_RATE}", fontsize=10
  )
  games = {"the Dirac-GAN": paths, "the bilinear game": bilinear}
  for axis, (game, lines) in zip(right.subplots(2, 1, sharex=True), games.items(), strict=True):
    for name, places in lines.items():
      axis.plot(np.linalg.norm(places, axis=1), label=name, linewidth=1)
    axis.set_yscale("log")
    axis.set_ylim(1e-6, 1e3)
    axis.set_title(f"{game}: distance from the equilibrium", fontsize=9)
    axis.legend(fontsize=6, ncols=2)
    axis.tick_params(labelsize=6)
  axis.set_xlabel("step", fontsize=8)
  return figure
