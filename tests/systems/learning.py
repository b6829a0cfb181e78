"""Small real data, and a loop of one compiled call, for tests in which a system learns."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

WELL = {
  "xla_backend_optimization_level": 2,
  "xla_llvm_disable_expensive_passes": False,
}  # as for users: see conftest.py


@cache
def digits():
  """1,400 training images and 397 others, [N, 8, 8, 1] in [-1, 1]."""
  images = (load_digits().images[..., None] / 8 - 1).astype(np.float32)
  order = np.random.default_rng(0).permutation(len(images))
  return images[order[:1400]], images[order[1400:]]


def learned(system, examples, *, batch, steps):
  """The state after so many steps on random batches of `examples`, {name: [N, ...]}; each name has draws of its own."""

  def draw(key):
    keys = jax.random.split(key, len(examples))
    pick = lambda key, each: jnp.asarray(each)[jax.random.randint(key, (batch,), 0, len(each))]
    return {name: pick(key, each) for key, (name, each) in zip(keys, examples.items(), strict=True)}

  def one(state, key):
    key_batch, key_step = jax.random.split(key)
    return system.step(key_step, state, draw(key_batch))[0], None

  def run(key):
    key_init, key = jax.random.split(key)
    return jax.lax.scan(one, system.init(key_init, draw(key_init)), jax.random.split(key, steps))[0]

  return jax.jit(run, compiler_options=WELL)(jax.random.key(0))
