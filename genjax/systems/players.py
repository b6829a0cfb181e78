"""The players of a game: what each of them has, and one update of some of them from one point.

Shapes   Variables are flax's: {"params": ..., other collections}; everything of a game is a dict by player.
Checked  tests/systems/test_game.py
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import optax

from genjax.core import Batch, Metrics, parted, whole
from genjax.systems import updates
from genjax.systems.averages import Average, averaged
from genjax.systems.parts import in_parts, rematerialised

Array = jax.Array
Variables = Mapping[str, Mapping[str, Any]]  # {player: {"params": ..., other collections}}
Group = tuple[str, ...]  # players that move from one point


class Aux(NamedTuple):
  """What a loss gives besides its value."""

  collections: Mapping[str, Any]  # the player's collections but "params", after this pass; {} where it has none
  memory: Any  # the loss's own state, after this pass; () where it has none
  metrics: Metrics


Loss = Callable[[Array, Variables, Any, Batch], tuple[Array, Aux]]  # key, variables, memory, part -> loss [], Aux


class State(NamedTuple):
  step: Array  # [] int32, times that the order was gone through
  params: Mapping[str, Any]  # {player: parameters}, as in all that follows
  collections: Variables  # all collections but "params": batch statistics, spectral vectors
  ema: Variables | None  # the averaged variables of those players that have an average
  optimizer: Mapping[str, Any]
  memory: Mapping[str, Any]  # states of the losses


class Rules(NamedTuple):
  """How the players of a game move."""

  losses: Mapping[str, Loss]
  optimizers: Mapping[str, optax.GradientTransformation]
  ahead: Mapping[str, optax.GradientTransformation]  # of opponents whose steps are differentiated
  ema: Mapping[str, Average]
  project: Mapping[str, Callable[[Any], Any]]
  unroll: Mapping[str, tuple[str, int]]
  consensus: float
  accumulate: int
  remat: bool


class Carry(NamedTuple):
  """What a pass changes besides the parameters, by player."""

  collections: dict[str, Any]
  memory: dict[str, Any]


def update(
  rules: Rules, group: Group, examples: int, state: State, keyed: tuple[Array, Batch]
) -> tuple[State, Metrics]:
  """One update of all players of a group, from one point."""
  rule = partial(updates.consensus, weight=rules.consensus) if rules.consensus else updates.simultaneous
  params = whole(state.params)

  def gradient(carry: Carry, key: Array, part: Batch) -> tuple[Any, Carry]:
    losses = _losses(rules, state._replace(**carry._asdict()), key, part)
    moves = rule({player: losses[player] for player in group}, params)
    collections = {player: aux.collections for player, aux in moves.aux.items()}
    memory = {player: aux.memory for player, aux in moves.aux.items()}
    metrics = {name: value for aux in moves.aux.values() for name, value in aux.metrics.items()}
    return (moves.grads, metrics), Carry(carry.collections | collections, carry.memory | memory)

  carry = Carry(dict(state.collections), dict(state.memory))
  (grads, metrics), carry = in_parts(rules.accumulate, gradient, carry, *keyed)
  grads, state = parted(grads), state._replace(**carry._asdict())
  for player in group:
    state = _moved(rules, player, state, grads[player], examples)
    metrics |= {f"{player}_gradient": updates.norm(grads[player])}
  return state, metrics


def _losses(rules: Rules, state: State, key: Array, part: Batch) -> dict[str, updates.Loss]:
  """Each player's loss as a function of the parameters of all players."""

  def bound(player: str, key: Array) -> updates.Loss:
    def loss(params: Mapping[str, Any]) -> tuple[Array, Aux]:
      variables = {name: {"params": params[name], **state.collections[name]} for name in params}
      return rules.losses[player](key, variables, state.memory[player], part)

    return rematerialised(loss, rules.remat)

  keys = jax.random.split(key, len(rules.losses))
  losses = {player: bound(player, keys[place]) for place, player in enumerate(rules.losses)}
  ahead = {
    player: updates.unrolled(
      losses[player],
      opponent=opponent,
      through=losses[opponent],
      optimizer=rules.ahead[opponent],
      moments=state.optimizer[opponent],
      steps=steps,
    )
    for player, (opponent, steps) in rules.unroll.items()
  }
  return losses | ahead


def _moved(rules: Rules, player: str, state: State, grads: Any, examples: int) -> State:
  """The state, its collections being those after the pass, after an update of a player's parameters."""
  changes, moments = rules.optimizers[player].update(grads, state.optimizer[player], state.params[player])
  params = optax.apply_updates(state.params[player], changes)
  if player in rules.project:
    params = rules.project[player](params)
  ema = state.ema
  if player in rules.ema:
    now = {"params": params, **state.collections[player]}
    ema = {**ema, player: averaged(rules.ema[player], state.step, examples, now, ema[player])}
  return state._replace(
    params={**state.params, player: params}, ema=ema, optimizer={**state.optimizer, player: moments}
  )
