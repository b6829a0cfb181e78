"""The two compiled functions of a run, training steps and samples, for whoever runs, measures or plans them.

Shapes   K steps a call, B batch; n images [n, H, W, C].
Checked  tests/train/test_loop.py, tests/train/test_plan.py
"""

import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh

from genjax.core import Array, State, System
from genjax.train.audit import first_not_finite
from genjax.train.mesh import batch_sharding, replicated

_NAMED = 2**32 - 1  # no step has this number: keys that belong to a name and not to a step hang from it

Sampler = Callable[[Array, State, int], Array]  # key, state, n -> images [n, H, W, C]


class Outcome(NamedTuple):
  """What one compiled call reports of its K steps."""

  metrics: Mapping[str, Array]  # each [K]
  leaf: Array  # [K] int32: first non-finite leaf after a step with a non-finite metric, else -1
  step: Array  # [] int32: state.step after the call


def make_calls(system: System, steps_per_call: int) -> Callable[[Array, State, Mapping[str, Array]], Any]:
  """Traceable: (key, state, {name: [K, B, ...]}) -> (state, Outcome) doing K steps. For `run`, and to compile ahead."""

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
  """A system's `sample`, jitted; each device makes its share where n divides, every process gets all."""

  def shared(key, state, n):
    images = sample(key, state, n)
    return images if n % mesh.size else lax.with_sharding_constraint(images, batch_sharding(mesh))

  return jax.jit(shared, static_argnums=2, out_shardings=replicated(mesh))


def named_key(key: Array, name: str) -> Array:
  """A key that belongs to a name and is never that of a step."""
  return jax.random.fold_in(jax.random.fold_in(key, _NAMED), zlib.crc32(name.encode()))


def _check_metrics(metrics: Mapping[str, Array]) -> None:
  for name, value in metrics.items():
    if jnp.shape(value) != ():
      raise ValueError(f"metric {name!r} has shape {jnp.shape(value)}; a metric is a scalar, so take a mean of it")
