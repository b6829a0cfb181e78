"""Update rules of a game of two players: in which direction each moves, given both losses and both parameters.

Papers   simultaneous  Goodfellow et al. 2014, arXiv:1406.2661, with one step for each player
         consensus     Mescheder, Nowozin & Geiger 2017, arXiv:1705.10461, Algorithm 2
         unrolled      Metz et al. 2017, arXiv:1611.02163, eq 7-10; K steps of any optimiser, Adam as in their runs
Departs  Every loss is minimised, so signs are turned where a paper ascends. Unrolled Adam adds 1e-16 under its root:
         the root of a moment that is exactly 0 (a dead unit) has no derivative.
Shapes   critic, generator: pytrees of parameters; a loss is (critic, generator) -> (scalar, aux).
Checked  tests/systems/test_updates.py: the Dirac-GAN and the bilinear game move as theory says.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

Array = jax.Array
Params = Any
Loss = Callable[[Params, Params], tuple[Array, Any]]  # critic, generator -> loss, aux


class Game(NamedTuple):
  """What the players minimise; key, data and everything else is bound already."""

  critic: Loss
  generator: Loss


class Moves(NamedTuple):
  """The direction of each player (an optimiser goes against it), and what its loss said besides."""

  critic: Params
  generator: Params
  critic_aux: Any
  generator_aux: Any


def simultaneous(game: Game, critic: Params, generator: Params) -> Moves:
  """Each player's gradient of its own loss, both at the same point."""
  critic_move, critic_aux = jax.grad(game.critic, 0, has_aux=True)(critic, generator)
  generator_move, generator_aux = jax.grad(game.generator, 1, has_aux=True)(critic, generator)
  return Moves(critic_move, generator_move, critic_aux, generator_aux)


def consensus(game: Game, critic: Params, generator: Params, *, weight: float) -> Moves:
  """Adds weight times the gradient of L = |v|^2 / 2 to each player's move, v being both gradients side by side."""

  def disagreement(critic: Params, generator: Params) -> tuple[Array, Moves]:
    moves = simultaneous(game, critic, generator)
    return sum((leaf**2).sum() for leaf in jax.tree.leaves(moves[:2])) / 2, moves

  (critic_pull, generator_pull), moves = jax.grad(disagreement, (0, 1), has_aux=True)(critic, generator)
  add = lambda move, pull: move + weight * pull
  return moves._replace(
    critic=jax.tree.map(add, moves.critic, critic_pull),
    generator=jax.tree.map(add, moves.generator, generator_pull),
  )


def unrolled(
  game: Game,
  critic: Params,
  generator: Params,
  *,
  optimizer: optax.GradientTransformation,
  moments: optax.OptState,
  steps: int,
) -> tuple[Params, Any]:
  """The generator's gradient through `steps` steps that the critic would take, and what its loss said besides.

  The critic itself is not moved. `optimizer` must have a derivative everywhere: see `make_optimizer(unrolled=True)`.
  """

  def loss(generator: Params) -> tuple[Array, Any]:
    def ahead(carry, _):
      critic, moments = carry
      gradient, _ = jax.grad(game.critic, has_aux=True)(critic, generator)
      updates, moments = optimizer.update(gradient, moments, critic)
      return (optax.apply_updates(critic, updates), moments), None

    (later, _), _ = lax.scan(ahead, (critic, moments), length=steps)
    return game.generator(later, generator)

  return jax.grad(loss, has_aux=True)(generator)


Optimizer = Literal["adam", "rmsprop", "sgd"]


def make_optimizer(
  name: Optimizer, rate: float | optax.Schedule, *, b1: float, b2: float, unrolled: bool = False
) -> optax.GradientTransformation:
  """An optimiser by name: b1 is the momentum of all three, b2 the decay of Adam's and RMSProp's squares.

  Args:
    name: "adam", "rmsprop" or "sgd".
    rate: a number or a schedule.
    b1, b2: of the moments.
    unrolled: with a derivative everywhere, to go through; its state has the same structure.
  """
  small = 1e-16 if unrolled else 0.0
  match name:
    case "adam":
      return optax.adam(rate, b1=b1, b2=b2, eps_root=small)
    case "rmsprop":
      return optax.rmsprop(rate, decay=b2, momentum=b1 or None)
    case "sgd":
      return optax.sgd(rate, momentum=b1 or None)
  raise ValueError(f"optimizer {name!r}; use 'adam', 'rmsprop' or 'sgd'")


def norm(tree: Params) -> Array:
  """The Euclidean norm of all leaves together, []."""
  return jnp.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(tree)))
