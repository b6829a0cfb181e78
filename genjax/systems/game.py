"""The engine of games: several players, each with variables, a loss and an optimiser of its own, and their order.

    order=(("critic", 5), ("generator", 1))     five updates of the critic, then one of the generator
    order="simultaneous"                        one update of every player, all from the same point

A step goes through the order once. The step's batch is cut into as many parts as the longest entry of the order has
updates; an entry of k updates uses the last k parts, one in each update. An entry may name several players, which then
move from the same point: (("there", "back"), 1).

Papers   GAN  Goodfellow et al. 2014, arXiv:1406.2661; how players move: see updates.py
Departs  Parts of one batch take the place of batches drawn for each update.
Shapes   B examples a step, B / k in a part. Variables are flax's: {"params": ..., other collections}.
Checked  tests/systems/test_game.py, test_gan_algorithm.py, test_gan_collections.py, test_updates.py
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax

from genjax.core import Batch, Metrics, System
from genjax.systems.averages import Average, check_averages
from genjax.systems.checks import check_counts
from genjax.systems.optimizers import Optimizer
from genjax.systems.parts import check_parts, cut
from genjax.systems.players import Aux, Group, Loss, Rules, State, Variables, update
from genjax.systems.updates import of_states

__all__ = ["Aux", "Average", "Loss", "State", "Variables", "game", "variables_of"]

Array = jax.Array
Order = Literal["simultaneous"] | Sequence[tuple[str | Group, int]]


def game(
  init: Callable[[Array, Batch], tuple[Variables, Mapping[str, Any]]],
  losses: Mapping[str, Loss],
  optimizers: Mapping[str, Optimizer],
  *,
  order: Order,
  draw: Callable[[Array, Batch], Batch] = lambda key, parts: parts,
  ema: Mapping[str, Average] | None = None,
  project: Mapping[str, Callable[[Any], Any]] | None = None,
  unroll: Mapping[str, tuple[str, int]] | None = None,
  consensus: float = 0.0,
  accumulate: int = 1,
  remat: bool = False,
  views: Mapping[str, Callable[..., Any]] | None = None,
) -> System:
  """A System in which every player descends a loss of its own.

  The metrics of a step are those of all losses, means over the updates of the step, and `<player>_gradient`, the norm
  of the gradient.

  Args:
    init: (key, batch) -> (variables, memory), each by player.
    losses: by player. In one update each loss has a key of its own, and all losses see the same part.
    optimizers: by player.
    order: see above.
    draw: (key, parts) -> parts, with what the losses of an update share beside the data added to them: latents, keys
      of an augmentation. Leaves are [k, B / k, ...], for the k updates of an entry of the order.
    ema: players whose variables are averaged.
    project: by player, parameters -> parameters, applied after each update: the clipping of WGAN.
    unroll: player -> (opponent, n): its gradient goes through the next n steps of the opponent.
    consensus: see updates.consensus; 0 for none. Takes the order "simultaneous".
    accumulate: parts in which an update works on its examples, one after the other; gradients and metrics are averaged,
      see parts.py. Of what `draw` adds, keys are split.
    remat: whether only products with weights are kept for a gradient, and the rest is computed again.
    views: by name; functions that take {player: variables in use} where a System's view takes a state.

  Raises:
    ValueError: settings that do not go together, or a name that is no player's.
  """
  ema, unroll = dict(ema or {}), dict(unroll or {})
  order = ((tuple(losses), 1),) if order == "simultaneous" else order
  entries = [((who,) if isinstance(who, str) else tuple(who), times) for who, times in order]
  _check(losses, optimizers, entries, (*ema, *(project or {}), *unroll, *(opponent for opponent, _ in unroll.values())))
  for rule in ema.values():
    check_averages(rule)
  if consensus and (len(entries) > 1 or unroll):
    raise ValueError("consensus adds to all gradients at one point; set order='simultaneous' and unroll=0")
  check_parts(accumulate, {})
  if accumulate > 1 and (consensus or unroll):
    raise ValueError("consensus and unroll are of whole batches: the mean over parts is another gradient; accumulate=1")
  longest = max(times for _, times in entries)
  each_step = {player: sum(times for group, times in entries if player in group) for player in losses}
  ready = {player: optimizers[player](each_step[player]) for player in losses}
  ahead = {opponent: optimizers[opponent](each_step[opponent], unrolled=True) for opponent, _ in unroll.values()}
  rules = Rules(losses, ready, ahead, ema, project or {}, unroll, consensus, accumulate, remat)

  def start(key: Array, batch: Batch) -> State:
    variables, memory = init(key, batch)
    parts = _cut(batch, longest)  # refuses a batch that does not divide
    check_parts(accumulate, {"batch of an update": next(iter(parts.values())).shape[1]})
    params = {player: variables[player]["params"] for player in losses}
    return State(
      step=jnp.zeros((), jnp.int32),
      params=params,
      collections={p: {k: v for k, v in variables[p].items() if k != "params"} for p in losses},
      ema={player: jax.tree.map(jnp.copy, dict(variables[player])) for player in ema} or None,
      optimizer={player: ready[player].init(params[player]) for player in losses},
      memory={player: memory[player] for player in losses},
    )

  def step(key: Array, state: State, batch: Batch) -> tuple[State, Metrics]:
    parts, metrics = _cut(batch, longest), {}
    for place, (group, times) in enumerate(entries):
      key_draw, key_update, key = jax.random.split(key, 3)
      drawn = draw(key_draw, {name: leaf[longest - times :] for name, leaf in parts.items()})
      single = times == 1 and place == len(entries) - 1  # its key is not split: the numbers of old runs depend on it
      keys = key_update[None] if single else jax.random.split(key_update, times)
      examples = next(iter(parts.values())).shape[1]
      state, more = _repeated(partial(update, rules, group, examples), state, (keys, drawn), times)
      metrics |= more
    return state._replace(step=state.step + 1), metrics

  return System(start, step, of_states(views or {}, State, variables_of))


def variables_of(state: State) -> dict[str, Mapping[str, Any]]:
  """{player: its variables in use}: the averaged ones where there are such."""
  own = {player: {"params": params, **state.collections[player]} for player, params in state.params.items()}
  return own | dict(state.ema or {})


def _repeated(update: Callable, state: State, keyed: tuple[Array, Batch], times: int) -> tuple[State, Metrics]:
  """The state after an update with each key and part, and the means of the metrics."""
  if times == 1:
    return update(state, jax.tree.map(lambda leaf: leaf[0], keyed))
  state, each = lax.scan(update, state, keyed)
  return state, {name: values.mean() for name, values in each.items()}


def _check(
  losses: Mapping[str, Any], optimizers: Mapping[str, Any], entries: Sequence[tuple[Group, int]], more: Iterable[str]
) -> None:
  """Raises ValueError unless every name is a player's, and every player moves."""
  ordered = {player for group, _ in entries for player in group}
  for player in sorted({*optimizers, *ordered, *more} - set(losses)):
    raise ValueError(f"{player!r} is no player of this game; there are {', '.join(losses)}")
  for player in set(losses) - (set(optimizers) & ordered):
    raise ValueError(f"player {player!r} never moves; give it an optimiser and a place in the order")
  check_counts({f"updates of {' and '.join(group)}": times for group, times in entries})


def _cut(batch: Batch, parts: int) -> dict[str, Array]:
  """[B, ...] -> [parts, B / parts, ...]. Raises ValueError for a batch that does not divide."""
  for name, leaf in batch.items():
    if leaf.shape[0] % parts:
      raise ValueError(f"batch {leaf.shape[0]} of {name!r} is not a multiple of {parts}, the updates that share it")
  return cut(batch, parts)
