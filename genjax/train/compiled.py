"""The two compiled functions of a run, training steps and samples, for whoever runs, measures or plans them.

Shapes   K steps a call, B batch; n samples [n, ...].
         A run does a call in one part or in several, see pace.py.
Checked  tests/train/test_loop.py, tests/train/test_plan.py
"""

import ctypes
import sys
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
from genjax.train.mesh import batch_sharding, replicated, shares

Sampler = Callable[[Array, State, int], Any]  # key, state, n -> examples [n, ...], an array or a tree of them


class Outcome(NamedTuple):
  """What one compiled call reports of its K steps."""

  metrics: Mapping[str, Array]  # each [K]
  leaf: Array  # [K] int32: first non-finite leaf after a step with a non-finite metric, else -1
  step: Array  # [] int32: state.step after the call


def make_calls(system: System, steps_per_call: int) -> Callable[[Array, State, Mapping[str, Array]], Any]:
  """Traceable: (key, state, {name: [K, B, ...]}) -> (state, Outcome) doing K steps."""

  one = _one_step(system)

  def call(key, state, batches):
    state, (metrics, leaf) = lax.scan(lambda *a: one(key, *a), state, batches, length=steps_per_call)
    # A copy: the state's own counter is donated to the next call before this one is read.
    return state, Outcome(metrics, leaf, state.step + 0)

  return call


def make_parts(system: System, steps_per_call: int) -> Callable[..., Any]:
  """Traceable: (key, state, {name: [K, B, ...]}, at, until) -> (state, Outcome) doing the steps [at, until) of a call.

  The bounds are arguments of the program: whatever the parts, it is the same, and so are the bits of the state. A call
  of one step has no parts, and is that of `make_calls`.
  """
  if steps_per_call == 1:
    whole = make_calls(system, 1)
    return lambda key, state, batches, at, until: whole(key, state, batches)
  one = jax.jit(_one_step(system))  # traced once, for the shapes of its metrics and for the loop

  def parts(key, state, batches, at, until):
    batch = lambda i: {name: lax.dynamic_index_in_dim(rows, i, keepdims=False) for name, rows in batches.items()}
    shapes = jax.eval_shape(one, key, state, batch(at))[1]
    metrics, leaf = jax.tree.map(lambda shape: jnp.zeros(steps_per_call, shape.dtype), shapes)

    def body(i, carry):
      state, reports = carry
      state, new = one(key, state, batch(i))
      return state, jax.tree.map(lambda rows, row: rows.at[i].set(row), reports, new)

    state, (metrics, leaf) = lax.fori_loop(at, until, body, (state, (metrics, leaf)))
    return state, Outcome(metrics, leaf, state.step + 0)

  return parts


def _one_step(system: System) -> Callable[..., Any]:
  """(key, state, batch) -> (state, (metrics, first leaf that is not finite))."""

  def one(key, state, batch):
    state, metrics = system.step(jax.random.fold_in(key, state.step), state, batch)
    _check_metrics(metrics)
    finite = jnp.all(jnp.stack([jnp.isfinite(value) for value in metrics.values()])) if metrics else True
    # Reads the whole state, so only where it is needed; inside the loop, so that it is the state of that very step.
    return state, (metrics, lax.cond(finite, lambda _: jnp.int32(-1), first_not_finite, state))

  return one


def jit_calls(system: System, steps_per_call: int, mesh: Mesh, shardings: Any) -> Callable[..., Any]:
  """`make_calls`, jitted: the state donated and sharded as it was, batches split over the devices."""
  copies = replicated(mesh)
  return jax.jit(
    make_calls(system, steps_per_call),
    donate_argnums=1,
    in_shardings=(copies, shardings, batch_sharding(mesh, stacked=True)),
    out_shardings=(shardings, copies),
  )


def jit_parts(system: System, steps_per_call: int, mesh: Mesh, shardings: Any) -> Callable[..., Any]:
  """`make_parts`, jitted like `jit_calls`."""
  copies = replicated(mesh)
  return jax.jit(
    make_parts(system, steps_per_call),
    donate_argnums=1,
    in_shardings=(copies, shardings, batch_sharding(mesh, stacked=True), copies, copies),
    out_shardings=(shardings, copies),
  )


@lru_cache(maxsize=8)
def jit_sample(sample: Sampler, mesh: Mesh) -> Sampler:
  """The view `sample` of a system, jitted; each device makes its share where n divides, every process gets all."""

  def shared(key, state, n):
    examples = sample(key, state, n)
    return examples if n % shares(mesh) else lax.with_sharding_constraint(examples, batch_sharding(mesh))

  return jax.jit(shared, static_argnums=2, out_shardings=replicated(mesh))


def trim_heap() -> None:
  """Gives back to the system what compiling left free on glibc's heap; elsewhere nothing.

  XLA's compiler needs about half a megabyte for each of a program's kernels on a CPU, and the heap keeps it: it would
  stay resident beside the arrays of the run. MetaOptNet's steps of 2 episodes, the most that is resident while they
  run, jaxlib 0.10.2: ResNet-12 2,198 MiB, with this 1,528; Conv-4 944 and 481. Compiling itself: 1,326 and 739.
  """
  trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
  if trim is not None:
    trim(ctypes.c_size_t(0))


def read_outcome(step: int, outcome: Outcome, names: list[str], at: int, until: int) -> dict[str, np.ndarray]:
  """Waits for a part of a call, and takes its metrics.

  Args:
    step: finished steps after the part.
    outcome: of the part.
    names: paths of the state's leaves, for messages.
    at, until: the steps of the call that the part did.

  Returns:
    Metric to its values [until - at], float64.

  Raises:
    Diverged: a metric of one of the steps is not finite.
    ValueError: the state's own count of steps is not `step`.
  """
  metrics = {name: np.asarray(values, np.float64)[at:until] for name, values in outcome.metrics.items()}
  counted, leaves = int(outcome.step), np.asarray(outcome.leaf)[at:until]
  if counted != step:
    raise ValueError(f"state.step is {counted} after {step} steps; a system adds 1 to it in every step")
  for k, leaf in enumerate(leaves):
    for name, values in metrics.items():
      if not np.isfinite(values[k]):
        raise diverged(step - len(leaves) + k + 1, int(leaf), names, f"{name} is {values[k]}", metric=name)
  return metrics


def joined(before: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray], at: int) -> dict[str, np.ndarray]:
  """Values of the steps of a call so far: those of a part that starts after `at` of them, behind those before."""
  return {name: np.concatenate([before[name], rows]) if at and name in before else rows for name, rows in new.items()}


def means(values: Mapping[str, np.ndarray]) -> dict[str, float]:
  """Metric to its mean over the steps of a call."""
  return {name: float(rows.mean()) for name, rows in values.items()}


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
