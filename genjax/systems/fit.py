"""The engine of one loss: gradient descent on the parameters of one set of nets. Most systems are one call of it.

Departs  With `accumulate`, each part of a batch has batch statistics of its own, see parts.py.
Checked  tests/systems/test_fit.py
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from genjax.core import Batch, Kernel, Metrics, System, parted, whole
from genjax.systems.averages import Average, averaged, check_averages
from genjax.systems.optimizers import Optimizer
from genjax.systems.parts import check_parts, in_parts, rematerialised
from genjax.systems.updates import norm, of_states

Array = jax.Array
Variables = Mapping[str, Any]  # "params" and the other collections of flax
Loss = Callable[[Array, Variables, Batch], tuple[Array, tuple[Mapping[str, Any], Metrics]]]


class State(NamedTuple):
  step: Array  # [] int32, finished updates
  params: Any
  collections: Mapping[str, Any]  # all collections but "params": batch statistics, counters
  ema: Variables | None  # the average of all variables over the updates, or None
  optimizer: Any


def fit(
  init: Callable[[Array, Batch], Variables],
  loss: Loss,
  optimizer: Optimizer,
  *,
  ema: float = 0.0,
  accumulate: int = 1,
  remat: bool = False,
  views: Mapping[str, Callable[..., Any]] | None = None,
  kernels: Callable[[Array, Batch], Mapping[str, Kernel]] | None = None,
) -> System:
  """A System whose step is one update of the parameters against the gradient of `loss`.

  Args:
    init: (key, batch) -> variables.
    loss: (key, variables, batch) -> (loss [], (collections, metrics)); the collections are those other than "params"
      after this pass, structured as before. The step's metrics have "loss" and "gradient", the gradient's norm, too.
    optimizer: see optimizers.py.
    ema: decay, per update, of an average of the variables that the views then use; 0 keeps none.
    accumulate: parts of a batch that are worked on one after the other, each with a key of its own; their gradients
      and metrics are averaged.
    remat: whether only products with weights are kept for the gradient, and the rest is computed again.
    views, kernels: see System; a view takes variables where a System's takes a state.

  Raises ValueError for `ema` outside [0, 1), or `accumulate` below 1.
  """
  average = Average(ema)
  check_averages(average)
  check_parts(accumulate, {})
  rule = optimizer()

  def start(key: Array, batch: Batch) -> State:
    check_parts(accumulate, {"batch": jax.tree.leaves(dict(batch))[0].shape[0]})
    variables = init(key, batch)
    params, copy = variables["params"], jax.tree.map(jnp.copy, dict(variables)) if ema else None
    return State(jnp.zeros((), jnp.int32), params, collections_of(variables), copy, rule.init(params))

  def gradient(params: Any, collections: Any, key: Array, batch: Batch) -> tuple[Any, Any]:
    def value(params: Any, collections: Any, key: Array, batch: Batch) -> tuple[Array, tuple[Any, Metrics]]:
      result, (after, metrics) = loss(key, {"params": params, **collections}, batch)
      return result, (after, {**metrics, "loss": result})

    of = jax.grad(rematerialised(value, remat), has_aux=True)
    grads, (after, metrics) = of(params, collections, key, batch)
    return (grads, metrics), after

  def step(key: Array, state: State, batch: Batch) -> tuple[State, Metrics]:
    of_part = partial(gradient, whole(state.params))
    (grads, metrics), collections = in_parts(accumulate, of_part, state.collections, key, batch)
    grads = parted(grads)
    updates, moments = rule.update(grads, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    new = averaged(average, state.step, 1, {"params": params, **collections}, state.ema) if ema else None
    return State(state.step + 1, params, collections, new, moments), {**metrics, "gradient": norm(grads)}

  return System(start, step, of_states(views or {}, State, variables_of), kernels)


def variables_of(state: State) -> Variables:
  """The variables in use: the averaged ones where there are such."""
  return {"params": state.params, **state.collections} if state.ema is None else state.ema


def collections_of(variables: Variables) -> dict[str, Any]:
  """All collections but the parameters."""
  return {name: value for name, value in variables.items() if name != "params"}
