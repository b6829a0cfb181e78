"""What a loss is made of: a Term is a pair of pure functions, an Objective two sums of Terms, a Round all they may see.

Shapes   Every Term returns a float32 scalar. Terms are keyword-free but for the Round, so real and fake cannot be
         swapped by position.
Checked  tests/objectives/test_terms.py
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array
Critic = Callable[[Array], tuple[Array, Any]]  # images [B, H, W, C] -> (logits [B], aux)


class Round(NamedTuple):
  """All that a loss may look at in one step. jit prunes what no Term reads."""

  critic: Critic
  real: Array  # [B, H, W, C] float32 in [-1, 1]
  fake: Array  # [B, H, W, C]
  real_out: Array  # [B] logits of `real`, computed once for all Terms
  fake_out: Array  # [B]
  generator: Callable[[Array], Array] | None = None
  latent: Array | None = None
  labels: Array | None = None
  real_aux: Any = None  # what the critic says of `real` beside its logits
  fake_aux: Any = None


class Term(NamedTuple):
  """One summand of a loss. `state` is the Term's own: a moving mean, a multiplier; most have none."""

  init: Callable[[], Any]
  apply: Callable[[Array, Any, Round], tuple[Array, Any]]  # key, state, round -> scalar, state


class Objective(NamedTuple):
  """What the critic minimises and, where there is a generator, what it minimises."""

  critic: Term
  generator: Term | None = None


def play(critic: Critic, real: Array, fake: Array, **more: Any) -> Round:
  """The Round of one step: the critic's logits of both sides, each computed once, in float32 or better."""
  (real_out, real_aux), (fake_out, fake_aux) = critic(real), critic(fake)
  return Round(critic, real, fake, _wide(real_out), _wide(fake_out), real_aux=real_aux, fake_aux=fake_aux, **more)


def stateless(value: Callable[[Array, Round], Array]) -> Term:
  """A Term without state from (key, round) -> scalar."""
  return Term(lambda: (), lambda key, state, round: (value(key, round), state))


def on_logits(value: Callable[[Array, Array], Array]) -> Term:
  """A Term from a function of (real logits, fake logits), always in that order."""
  return stateless(lambda key, round: value(round.real_out, round.fake_out))


def total(*weighted: tuple[float, Term]) -> Term:
  """The weighted sum of Terms; its state is the tuple of theirs."""

  def apply(key, state, round):
    keys = jax.random.split(key, len(weighted))
    value, states = jnp.zeros(()), []
    for (weight, term), key_term, state_term in zip(weighted, keys, state, strict=True):
      summand, state_term = term.apply(key_term, state_term, round)
      value += weight * summand
      states.append(state_term)
    return value, tuple(states)

  return Term(lambda: tuple(term.init() for _, term in weighted), apply)


def _wide(logits: Array) -> Array:
  return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
