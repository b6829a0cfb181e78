"""Update rules of games: in which direction each player moves, given the losses and the parameters of all players.

Papers   simultaneous  Goodfellow et al. 2014, arXiv:1406.2661, with one step for each player
         consensus     Mescheder, Nowozin & Geiger 2017, arXiv:1705.10461, Algorithm 2
         unrolled      Metz et al. 2017, arXiv:1611.02163, eq 7-10; K steps of any optimiser, Adam as in their runs
Departs  Every loss is minimised; signs are reversed where a paper ascends.
Shapes   params: {player: pytree of parameters}. A loss takes the parameters of all players and gives (scalar, aux).
Checked  tests/systems/test_updates.py: the Dirac-GAN and the bilinear game move as theory says.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from genjax.core import whole

Array = jax.Array
Params = Mapping[str, Any]
Loss = Callable[[Params], tuple[Array, Any]]


class Moves(NamedTuple):
  """The direction that each player's optimiser descends, and the aux of each player's loss."""

  grads: dict[str, Any]
  aux: dict[str, Any]


def simultaneous(losses: Mapping[str, Loss], params: Params) -> Moves:
  """The gradient of each player's loss by its own parameters, all at the same point."""
  each = {player: _gradient(loss, params, player) for player, loss in losses.items()}
  return Moves(
    {player: grads for player, (grads, _) in each.items()}, {player: aux for player, (_, aux) in each.items()}
  )


def consensus(losses: Mapping[str, Loss], params: Params, *, weight: float) -> Moves:
  """Adds to each move `weight` times the gradient of |v|^2 / 2; v is the gradients of all players side by side."""

  def disagreement(params: Params) -> tuple[Array, Moves]:
    moves = simultaneous(losses, params)
    return sum((leaf**2).sum() for leaf in jax.tree.leaves(moves.grads)) / 2, moves

  more, moves = jax.grad(disagreement, has_aux=True)(params)
  add = lambda grads, more: grads + weight * more
  return moves._replace(grads={player: jax.tree.map(add, moves.grads[player], more[player]) for player in losses})


def unrolled(
  loss: Loss,
  *,
  opponent: str,
  through: Loss,
  optimizer: optax.GradientTransformation,
  moments: optax.OptState,
  steps: int,
) -> Loss:
  """A loss at the point that an opponent reaches by its next steps; its gradient goes through those steps.

  Args:
    loss: of the player that looks ahead.
    opponent: the player that is thought to move; its parameters stay as they are.
    through: the opponent's loss.
    optimizer: of the opponent. It needs a derivative everywhere: see optimizers.py, `unrolled`.
    moments: the optimiser's state now.
    steps: number of steps of the opponent, all on the same data.
  """

  def ahead(params: Params) -> tuple[Array, Any]:
    def one(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
      theirs, moments = carry
      grads, _ = _gradient(through, {**params, opponent: theirs}, opponent)
      updates, moments = optimizer.update(grads, moments, theirs)
      return (optax.apply_updates(theirs, updates), moments), None

    (later, _), _ = lax.scan(one, (params[opponent], moments), length=steps)
    return loss({**params, opponent: whole(later)})

  return ahead


def norm(tree: Any) -> Array:
  """The Euclidean norm of all leaves together, []."""
  return jnp.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(tree)))


def clipped(clip: float, params: Any) -> Any:
  """Weights in [-clip, clip]; those of a part "decoder", of which no distance is made, as they are."""
  kept = lambda path: any(getattr(part, "key", None) == "decoder" for part in path)
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: leaf if kept(path) else jnp.clip(leaf, -clip, clip), params
  )


def of_states(
  views: Mapping[str, Callable[..., Any]], state: type, variables_of: Callable[[Any], Any]
) -> dict[str, Callable[..., Any]]:
  """Views of variables as views of states: whatever argument is a `state` is replaced by its variables in use."""

  def of(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def of_states(*arguments: Any, **named: Any) -> Any:
      return view(*(variables_of(each) if isinstance(each, state) else each for each in arguments), **named)

    return of_states

  return {name: of(view) for name, view in views.items()}


def _gradient(loss: Loss, params: Params, player: str) -> tuple[Any, Any]:
  """The gradient of a loss by the parameters of one player, and its aux."""
  return jax.grad(lambda own: loss({**params, player: own}), has_aux=True)(params[player])
