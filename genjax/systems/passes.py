"""Passes over the minibatches of a step: the update loop that WINN and the supervised WINN share.

Checked  tests/systems/test_winn_classification.py, test_winn_classifier_loss.py
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from genjax.core import Batch, Metrics, parted, whole
from genjax.systems.parts import in_parts, rematerialised
from genjax.systems.updates import norm

Array = jax.Array
Loss = Callable[[Array, Any, Any, Batch], tuple[Array, tuple[Any, Metrics]]]


class Learner(NamedTuple):
  """The part of a state that an update changes."""

  params: Any
  ema: Any  # the average of params, or None
  optimizer: optax.OptState
  terms: Any  # states of the objective's Terms


def learn(
  key: Array,
  learner: Learner,
  minibatch: Callable[[Array], Batch],
  loss: Loss,
  rule: optax.GradientTransformation,
  *,
  count: Array | int,
  ema: float,
  metrics: Sequence[str],
  accumulate: int = 1,
  remat: bool = False,
) -> tuple[Learner, Metrics]:
  """Makes `count` updates, one after the other.

  Args:
    key: of them all; update i has fold_in(key, i).
    learner: where they start.
    minibatch: index of the update -> its examples, leaves [m, ...].
    loss: (key, params, terms, minibatch) -> (loss [], (terms, metrics)).
    rule: of the parameters.
    count: how many updates; it may depend on the state.
    ema: decay, per update, of the average; 0 where there is none.
    metrics: the names of the metrics of `loss`.
    accumulate: parts of a minibatch that are worked on one after the other, see parts.py.
    remat: whether only products with weights are kept for the gradient, and the rest is computed again.

  Returns:
    The learner after them, and the means of the metrics over the updates; "gradient" is the norm of the gradient.
  """

  def gradient(params: Any, terms: Any, key: Array, examples: Batch) -> tuple[Any, Any]:
    value = rematerialised(lambda params: loss(key, params, terms, examples), remat)
    grads, (terms, values) = jax.grad(value, has_aux=True)(params)
    return (grads, values), terms

  def update(index: Array, carry: tuple[Learner, Metrics]) -> tuple[Learner, Metrics]:
    learner, sums = carry
    of_part, own = partial(gradient, whole(learner.params)), jax.random.fold_in(key, index)
    (grads, values), terms = in_parts(accumulate, of_part, learner.terms, own, minibatch(index))
    grads = parted(grads)
    updates, moments = rule.update(grads, learner.optimizer, learner.params)
    params = optax.apply_updates(learner.params, updates)
    average = optax.incremental_update(params, learner.ema, 1 - ema) if ema else learner.ema
    sums = jax.tree.map(jnp.add, sums, {**values, "gradient": norm(grads)})
    return Learner(params, average, moments, terms), sums

  sums = dict.fromkeys((*metrics, "gradient"), jnp.zeros(()))
  learner, sums = lax.fori_loop(0, count, update, (learner, sums))
  return learner, {name: value / count for name, value in sums.items()}
