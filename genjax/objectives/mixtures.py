"""What each objective is trained with on mixtures of Gaussians in the plane: `gan_ring:ROW`, `gan_grid:ROW`.

The settings of papers are for images: a mode of deviation 0.01 is all slope under R1 of gamma 10, and a kernel 2 wide
sees one blob. So a row has settings of its own here, the same for both mixtures, with one number of updates of the
generator for all. They are chosen on the seeds 100 and 101: `genjax study modes_choice` trains all that a row lists
(`gan_ring:ROW,1` is the second), and the best comes first. `genjax study modes` trains the first with the seeds 0 to 4.
No JAX is imported here.

Checked  tests/objectives/test_mixture_settings.py
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from genjax.objectives.papers import FAILS

STEPS = 10_000  # updates of the generator, of every row


class Mixed(NamedTuple):
  """Settings of a row on mixtures; what is None or not mentioned is as the row needs it elsewhere, see needs.py.

  Attributes:
    points: of one update of either player.
    learning_rate: of the critic, and of the generator unless it has its own; falls linearly to 0.
    generator_learning_rate: of the generator.
    critic_steps: updates of the critic in a step.
    clip: of the critic's weights.
    optimizer: further arguments of both optimisers.
    critic: further fields of the critic.
    objective: arguments of the row.
  """

  points: int = 256
  learning_rate: float = 3e-3
  generator_learning_rate: float | None = None
  critic_steps: int = 1
  clip: float | None = None
  optimizer: Mapping[str, Any] = {}
  critic: Mapping[str, Any] = {}
  objective: Mapping[str, Any] = {}


PLAIN = Mixed()
CALM = Mixed(learning_rate=1e-3)
SLOW = Mixed(learning_rate=1e-3, generator_learning_rate=2.5e-4)  # the generator
SLOWER = Mixed(learning_rate=3e-3, generator_learning_rate=3e-4)
AHEAD = Mixed(learning_rate=3e-3, generator_learning_rate=7.5e-4, critic_steps=2)  # the critic, as big_gan needs it
STILL = Mixed(learning_rate=1e-3, optimizer={"b1": 0.0})  # no momentum


def _each(settings: Mixed, *objectives: Mapping[str, Any]) -> tuple[Mixed, ...]:
  """The same settings with these arguments of the row."""
  return tuple(settings._replace(objective=objective) for objective in objectives)


_GAMMAS = (*_each(PLAIN, {"gamma": 0.1}, {"gamma": 1.0}, {"gamma": 0.01}), *_each(CALM, {"gamma": 0.1}))
_WEIGHTS = (*_each(PLAIN, {"weight": 0.1}, {"weight": 1.0}), *_each(CALM, {"weight": 0.1}))
_KERNELS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_DIRECT = {"generator_loss": "direct"}
_UNBOUND = (SLOW, CALM, SLOWER, STILL, PLAIN)  # of a critic without a bound or a penalty
_HINGE = (SLOW, AHEAD, SLOWER, CALM)
_LATENT = ({"generator": 0.05}, {"generator": 0.05, "critic": 0.5})

_OF_ROWS: dict[str, tuple[Mixed, ...]] = {
  "minimax": (
    Mixed(learning_rate=1e-3, generator_learning_rate=3e-3),
    Mixed(learning_rate=3e-4, generator_learning_rate=1e-3),
    Mixed(learning_rate=3e-4, generator_learning_rate=3e-3),
    CALM,
  ),
  "non_saturating": _UNBOUND,
  "least_squares": (*_UNBOUND, *_each(SLOW, {"low": -1.0})),
  "hinge": _HINGE,
  "sn_gan": (AHEAD, PLAIN, AHEAD._replace(critic_steps=5)),
  "relativistic": (PLAIN, CALM, SLOW),
  "relativistic_average": (PLAIN, CALM, SLOW),
  "relativistic_least_squares": _UNBOUND,
  "relativistic_hinge": _UNBOUND,
  "ebgan": (SLOW, *_each(SLOW, {"margin": 0.02}), SLOW._replace(critic={"code": 1}), CALM),
  "ebgan_pull_away": (SLOW, *_each(SLOW, {"margin": 0.02}), SLOW._replace(critic={"code": 2}), CALM),
  "began": (SLOW, *_each(SLOW, {"gamma": 0.9, "learning_rate": 1e-2}), SLOW._replace(critic={"code": 1}), CALM),
  "f_gan_kl": (PLAIN, CALM, SLOW),
  "f_gan_reverse_kl": (CALM, SLOW, SLOWER),
  "f_gan_pearson": (PLAIN, CALM, SLOW),
  "f_gan_neyman": (
    CALM._replace(optimizer={"clip_norm": 1.0}),
    SLOW._replace(optimizer={"clip_norm": 1.0}, objective=_DIRECT),
    SLOW,
  ),
  "f_gan_hellinger": (
    CALM._replace(optimizer={"clip_norm": 1.0}),
    SLOW._replace(optimizer={"clip_norm": 1.0}, objective=_DIRECT),
    SLOW,
  ),
  "f_gan_jensen_shannon": _UNBOUND,
  "f_gan_gan": _UNBOUND,
  "f_gan_total_variation": (CALM, Mixed(learning_rate=3e-4, generator_learning_rate=3e-3), SLOW),
  "f_gan_regularised": _GAMMAS,
  "wasserstein": (
    PLAIN._replace(clip=0.3, critic_steps=5),
    PLAIN._replace(clip=0.3),
    CALM._replace(clip=0.3),
    PLAIN._replace(clip=0.1, critic_steps=5),
  ),
  "wgan_gp": _WEIGHTS,
  "wgan_lp": _WEIGHTS,
  "dudley": (*_WEIGHTS, *_each(PLAIN._replace(critic_steps=5), {"weight": 0.1})),
  "fisher": (PLAIN._replace(critic_steps=2), CALM, *_each(CALM, {"rho": 1e-4}), SLOW),
  "gmmn": (
    *_each(PLAIN, {"widths": _KERNELS}),
    *_each(CALM, {"widths": _KERNELS}),
    *_each(PLAIN._replace(points=512), {"widths": (0.02, *_KERNELS)}),
  ),
  "mmd_gan": (
    PLAIN._replace(clip=0.1),
    PLAIN._replace(clip=0.3),
    *_each(PLAIN._replace(clip=0.1), {"widths": _KERNELS}),
    *_each(PLAIN._replace(clip=0.1, points=512), {"widths": _KERNELS}),
  ),
  "cramer": (*_each(PLAIN._replace(critic_steps=5), {"weight": 0.1}), *_each(PLAIN, {"weight": 0.1})),
  "dragan": (*_each(PLAIN, {"weight": 0.01}, {"weight": 0.1}), *_each(CALM, {"weight": 0.1})),
  "r1": _GAMMAS,
  "r1_lazy": _GAMMAS,
  "r2": _GAMMAS,
  "regularised": _GAMMAS,
  "local_stability": (*_UNBOUND, *_each(SLOW, {"weight": 0.1})),
  "big_gan": (AHEAD, AHEAD._replace(points=512), Mixed(learning_rate=1e-2, generator_learning_rate=2.5e-3)),
  "lecam": (*_each(AHEAD, {"start": 0}, {"start": 0, "weight": 0.03}), *_each(SLOW, {"start": 0})),
  "style_gan": tuple(one._replace(objective={**one.objective, "path": 0.0}) for one in _GAMMAS),
  "cr": _HINGE,
  "bcr": _HINGE,
  "vitgan": (SLOW, CALM, SLOWER, PLAIN),
  "zcr": (*_each(SLOW, *_LATENT), *_each(AHEAD, *_LATENT)),
  "icr": (*_each(SLOW, *_LATENT), *_each(AHEAD, *_LATENT)),
  "feature_matching": (PLAIN, CALM, PLAIN._replace(points=512)),
  "denoising": _UNBOUND,
  "mode_seeking": (PLAIN, CALM, SLOW, *_each(SLOW, {"weight": 0.1})),
}

_AS = "a point has no flips and no shifts: its other terms are 0, and what is left is"
NOTES = {  # what a mixture cannot give a row, and why a row fails
  **{f"f_gan_{name}": note for name, note in FAILS.items()},
  "cr": f"{_AS} hinge",
  "bcr": f"{_AS} hinge",
  "icr": f"{_AS} zcr",
  "vitgan": f"{_AS} non_saturating with StyleGAN2's Adam",
  "style_gan": "without its path length (path 0), which wants the same step of every w: modes apart want a generator "
  "that is flat in them and steep between them. What is left is r1_lazy",
  "f_gan_gan": "with the direct generator it is non_saturating",
  "f_gan_jensen_shannon": "with the direct generator it is non_saturating, but for constants",
}


def tried(row: str) -> tuple[Mixed, ...]:
  """All settings of a row, the chosen ones first; those of a row that is not in the table are the defaults."""
  return _OF_ROWS.get(row, (Mixed(),))
