"""Passes over the minibatches of a step: the update loop that WINN and the supervised WINN share.

Checked  tests/systems/test_winn_classification.py, test_winn_classifier_loss.py
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from genjax.core import Metrics
from genjax.systems.updates import norm

Array = jax.Array
Loss = Callable[[Any, Any, Array], tuple[Array, tuple[Any, Metrics]]]  # params, terms, index -> loss, (terms, metrics)


class Learner(NamedTuple):
  """The part of a state that an update changes."""

  params: Any
  ema: Any  # the average of params, or None
  optimizer: optax.OptState
  terms: Any  # states of the objective's Terms


def learn(
  learner: Learner,
  loss: Loss,
  rule: optax.GradientTransformation,
  *,
  count: Array | int,
  ema: float,
  metrics: Sequence[str],
) -> tuple[Learner, Metrics]:
  """Makes `count` updates, one after the other.

  Args:
    learner: where they start.
    loss: (params, terms, index of the update) -> (loss [], (terms, metrics)).
    rule: of the parameters.
    count: how many updates; it may depend on the state.
    ema: decay, per update, of the average; 0 where there is none.
    metrics: the names of the metrics of `loss`.

  Returns:
    The learner after them, and the means of the metrics over the updates; "gradient" is the norm of the gradient.
  """

  def update(index: Array, carry: tuple[Learner, Metrics]) -> tuple[Learner, Metrics]:
    learner, sums = carry
    grads, (terms, values) = jax.grad(loss, has_aux=True)(learner.params, learner.terms, index)
    updates, moments = rule.update(grads, learner.optimizer, learner.params)
    params = optax.apply_updates(learner.params, updates)
    average = optax.incremental_update(params, learner.ema, 1 - ema) if ema else learner.ema
    sums = jax.tree.map(jnp.add, sums, {**values, "gradient": norm(grads)})
    return Learner(params, average, moments, terms), sums

  sums = dict.fromkeys((*metrics, "gradient"), jnp.zeros(()))
  learner, sums = lax.fori_loop(0, count, update, (learner, sums))
  return learner, {name: value / count for name, value in sums.items()}
