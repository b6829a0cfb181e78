"""A small real system for the tests of the loop: an autoencoder of 4x4 images with momentum, noise and a pool.

It has everything that a loop could get wrong: parameters, an optimiser state, random noise in every step, a typed key,
a pool of 8 slots that is split over the devices, whole numbers, a bfloat16 leaf and an empty one.

Run as a script it is one attempt of a run in its own process: `train_toy.py WORKDIR '{"steps": 40, ...}' PAUSE_MS`.
"""

import json
import os
import resource
import sys
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax.core import Array, Dataset, System

SIDE, CODE, SLOTS, BATCH = 4, 6, 8, 16


class State(NamedTuple):
  step: Array
  params: dict
  optimiser: tuple
  pool: Array
  half: Array
  nothing: Array
  key: Array


def system(*, traces: list | None = None, poison_step: int = -1, poison: str = "params", optimiser=None) -> System:
  """The toy; `traces` grows by one for each trace of `step`; at `poison_step` one leaf of the new state becomes NaN."""
  tx = optimiser or optax.sgd(0.05, momentum=0.9)

  def init(key, batch):
    key_in, key_out, key_pool, key_own = jax.random.split(key, 4)
    pixels = int(np.prod(batch["image"].shape[1:]))
    params = {
      "in": {"kernel": jax.random.normal(key_in, (pixels, CODE)) * 0.2},
      "out": {"kernel": jax.random.normal(key_out, (CODE, pixels)) * 0.2, "bias": jnp.zeros((pixels,))},
    }
    return State(
      step=jnp.int32(0),
      params=params,
      optimiser=tx.init(params),
      pool=jax.random.normal(key_pool, (SLOTS, pixels)),
      half=jnp.ones((3,), jnp.bfloat16),
      nothing=jnp.zeros((0, 2)),
      key=key_own,
    )

  def decode(params, code):
    return jnp.tanh(code @ params["out"]["kernel"] + params["out"]["bias"][None])

  def step(key, state, batch):
    if traces is not None:
      traces.append(1)
    key_noise, key_pool = jax.random.split(key)
    flat = batch["image"].reshape(batch["image"].shape[0], -1)

    def loss_of(params):
      code = flat @ params["in"]["kernel"]
      code = code + 0.01 * jax.random.normal(key_noise, code.shape)
      return jnp.mean((decode(params, code) - flat) ** 2)

    loss, grads = jax.value_and_grad(loss_of)(state.params)
    updates, optimiser = tx.update(grads, state.optimiser, state.params)
    params = optax.apply_updates(state.params, updates)
    pool = 0.9 * state.pool + 0.1 * jax.random.normal(key_pool, state.pool.shape)
    bad = state.step == poison_step - 1  # the step that is number `poison_step` when it is done
    if poison == "params":
      params["out"]["bias"] = jnp.where(bad, jnp.nan, params["out"]["bias"])
    if poison == "pool":
      pool = jnp.where(bad, jnp.nan, pool)
    logged = jnp.where(bad, jnp.nan, loss) if poison == "params" else loss
    new = state._replace(
      step=state.step + 1, params=params, optimiser=optimiser, pool=pool, half=state.half * jnp.bfloat16(0.99)
    )
    return new, {"loss": logged, "pool": jnp.mean(pool)}

  def sample(key, state, n):
    code = jax.random.normal(key, (n, CODE))
    return decode(state.params, code).reshape(n, SIDE, SIDE, 1)

  return System(init, step, {"sample": sample})


def batch(step: int, *, rows: int = BATCH, process: int = 0, processes: int = 1) -> dict[str, np.ndarray]:
  """Images that depend on the step alone; with several processes, this one's share of them."""
  images = np.random.default_rng((7, step)).uniform(-1, 1, (rows, SIDE, SIDE, 1)).astype(np.float32)
  share = rows // processes
  return {"image": images[process * share : (process + 1) * share]}


def show(images: np.ndarray) -> np.ndarray:
  """The images as bytes, one below the other: [n * SIDE, SIDE, 1]."""
  return np.rint((images.reshape(-1, SIDE, 1) + 1) * 127.5).astype(np.uint8)


def data(batch=batch, **fields) -> Dataset:
  return Dataset(**{"batch": batch, "show": show, **fields})


_SAMPLE = jax.jit(system().views["sample"], static_argnums=2)


def evaluate(key, state):
  """An evaluator: the mean of some samples."""
  return {"mean": float(np.mean(_SAMPLE(key, state, 8)))}


def main(workdir: str, settings: dict, pause_ms: float) -> None:
  """One attempt. Settings beside those of `train`: stuck_at (a batch that never comes), file_limit_after_step,
  forbidden_after_step (no more checkpoints may be written)."""
  from genjax.train.loop import train

  forbidden_after = settings.pop("forbidden_after_step", None)
  stuck_at, limit_after = settings.pop("stuck_at", None), settings.pop("file_limit_after_step", None)

  def slow_batch(step):
    time.sleep(pause_ms / 1000)
    if step == stuck_at:
      time.sleep(1000)
    if step == forbidden_after:
      os.chmod(os.path.join(workdir, "checkpoints"), 0o555)
    if step == limit_after:  # from here on every file that grows beyond 100 bytes fails, as on a full disk
      resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    return batch(step)

  evaluators = {"mean": evaluate}
  train(system(), data(slow_batch), workdir=workdir, key=jax.random.key(0), evaluators=evaluators, **settings)


if __name__ == "__main__":
  from genjax.train.errors import RunError

  jax.config.update("jax_num_cpu_devices", 2)
  try:
    main(sys.argv[1], json.loads(sys.argv[2]), float(sys.argv[3]))
  except RunError as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
