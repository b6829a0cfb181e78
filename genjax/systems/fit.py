"""The engine of one loss: gradient descent on the parameters of one set of nets. Most systems are one call of it.

Departs  With `accumulate`, each part of a batch has batch statistics of its own, and the parts go through them in turn.
Checked  tests/systems/test_fit.py
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from genjax.core import Batch, Kernel, Metrics, System
from genjax.systems.averages import Average, averaged, check_averages
from genjax.systems.checks import check_counts
from genjax.systems.optimizers import Optimizer
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
    views, kernels: see System; a view takes variables where a System's takes a state.

  Raises ValueError for `ema` outside [0, 1), or `accumulate` below 1.
  """
  average = Average(ema)
  check_averages(average)
  check_counts({"accumulate": accumulate})
  rule = optimizer()

  def start(key: Array, batch: Batch) -> State:
    sizes = {leaf.shape[0] for leaf in jax.tree.leaves(dict(batch)) if accumulate > 1}
    if any(size % accumulate for size in sizes):
      raise ValueError(f"batch {max(sizes)} is not a multiple of accumulate {accumulate}; set config.data.batch to one")
    variables = init(key, batch)
    params, copy = variables["params"], jax.tree.map(jnp.copy, dict(variables)) if ema else None
    return State(jnp.zeros((), jnp.int32), params, collections_of(variables), copy, rule.init(params))

  def value(params: Any, collections: Any, key: Array, batch: Batch) -> tuple[Array, tuple[Any, Metrics]]:
    result, (after, metrics) = loss(key, {"params": params, **collections}, batch)
    return result, (after, {**metrics, "loss": result})

  def gradient(params: Any, collections: Any, key: Array, batch: Batch) -> tuple[Any, tuple[Any, Metrics]]:
    of = jax.grad(value, has_aux=True)
    if accumulate == 1:
      return of(params, collections, key, batch)

    # Place j of every part comes from the same contiguous run of the batch: devices exchange nothing.
    cut = lambda leaf: leaf.reshape(-1, accumulate, *leaf.shape[1:]).swapaxes(0, 1)

    def part(collections: Any, keyed: tuple[Array, Batch]) -> tuple[Any, tuple[Any, Metrics]]:
      grads, (collections, metrics) = of(params, collections, *keyed)
      return collections, (grads, metrics)

    keyed = (jax.random.split(key, accumulate), jax.tree.map(cut, dict(batch)))
    collections, each = lax.scan(part, collections, keyed)
    grads, metrics = jax.tree.map(lambda leaf: leaf.mean(0), each)
    return grads, (collections, metrics)

  def step(key: Array, state: State, batch: Batch) -> tuple[State, Metrics]:
    grads, (collections, metrics) = gradient(state.params, state.collections, key, batch)
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
