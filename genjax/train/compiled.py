"""The two compiled functions of a run, training steps and samples, for whoever runs, measures or plans them.

Shapes   K steps a call, B batch; n samples [n, ...].
Checked  tests/train/test_loop.py, tests/train/test_plan.py
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh

from genjax.core import Array, State, System
from genjax.train.errors import Diverged
from genjax.train.fingerprint import first_not_finite
from genjax.train.mesh import batch_sharding, replicated

Sampler = Callable[[Array, State, int], Any]  # key, state, n -> examples [n, ...], an array or a tree of them


class Outcome(NamedTuple):
  """What one compiled call reports of its K steps."""

  metrics: Mapping[str, Array]  # each [K]
  leaf: Array  # [K] int32: first non-finite leaf after a step with a non-finite metric, else -1
  step: Array  # [] int32: state.step after the call


def make_calls(system: System, steps_per_call: int) -> Callable[[Array, State, Mapping[str, Array]], Any]:
  """Traceable: (key, state, {name: [K, B, ...]}) -> (state, Outcome) doing K steps."""

  def call(key, state, batches):
    def body(state, batch):
      state, metrics = system.step(jax.random.fold_in(key, state.step), state, batch)
      _check_metrics(metrics)
      finite = jnp.all(jnp.stack([jnp.isfinite(value) for value in metrics.values()])) if metrics else True
      # Reads the whole state, so only where it is needed; inside the scan, so that it is the state of that very step.
      leaf = lax.cond(finite, lambda _: jnp.int32(-1), first_not_finite, state)
      return state, (metrics, leaf)

    state, (metrics, leaf) = lax.scan(body, state, batches, length=steps_per_call)
    # A copy: the state's own counter is donated to the next call before this one is read.
    return state, Outcome(metrics, leaf, state.step + 0)

  return call


def jit_calls(system: System, steps_per_call: int, mesh: Mesh, shardings: Any) -> Callable[..., Any]:
  """`make_calls`, jitted: the state donated and sharded as it was, batches split over the devices."""
  copies = replicated(mesh)
  return jax.jit(
    make_calls(system, steps_per_call),
    donate_argnums=1,
    in_shardings=(copies, shardings, batch_sharding(mesh, stacked=True)),
    out_shardings=(shardings, copies),
  )


@lru_cache(maxsize=8)
def jit_sample(sample: Sampler, mesh: Mesh) -> Sampler:
  """The view `sample` of a system, jitted; each device makes its share where n divides, every process gets all."""

  def shared(key, state, n):
    examples = sample(key, state, n)
    return examples if n % mesh.size else lax.with_sharding_constraint(examples, batch_sharding(mesh))

  return jax.jit(shared, static_argnums=2, out_shardings=replicated(mesh))


def read_outcome(step: int, outcome: Outcome, names: list[str]) -> dict[str, float]:
  """Waits for a call and takes the means of its metrics.

  Args:
    step: finished steps after the call.
    outcome: of the call.
    names: paths of the state's leaves, for messages.

  Returns:
    Metric to its mean over the K steps.

  Raises:
    Diverged: a metric of one of the steps is not finite.
    ValueError: the state's own count of steps is not `step`.
  """
  metrics = {name: np.asarray(values, np.float64) for name, values in outcome.metrics.items()}
  counted, calls = int(outcome.step), len(outcome.leaf)
  if counted != step:
    raise ValueError(f"state.step is {counted} after {step} steps; a system adds 1 to it in every step")
  for k in range(calls):
    for name, values in metrics.items():
      if not np.isfinite(values[k]):
        raise diverged(step - calls + k + 1, int(outcome.leaf[k]), names, f"{name} is {values[k]}", metric=name)
  return {name: float(values.mean()) for name, values in metrics.items()}


def diverged(step: int, leaf: int, names: list[str], what: str, *, metric: str | None = None) -> Diverged:
  """The error of a run in which `what` happened at a step; `leaf` is the first non-finite leaf, or -1."""
  where = f"first non-finite leaf of the state: {names[leaf]}" if leaf >= 0 else "the state itself is finite"
  return Diverged(
    f"diverged at step {step}: {what}; {where}; the last good checkpoint stays; lower the learning rate",
    step=step,
    metric=metric,
    leaf=names[leaf] if leaf >= 0 else None,
  )


def _check_metrics(metrics: Mapping[str, Array]) -> None:
  for name, value in metrics.items():
    if jnp.shape(value) != ():
      raise ValueError(f"metric {name!r} has shape {jnp.shape(value)}; a metric is a scalar, so take a mean of it")
