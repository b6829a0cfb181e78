"""Runs of the toy system, and what they left."""

import jax
import jax.numpy as jnp
import numpy as np
import train_toy as toy

from genjax.train import loop
from genjax.train.files import read_metrics

KEY = jax.random.key(0)
FAST = {"log_every": 5, "checkpoint_every": 10, "quiet": True}


def train(workdir, steps=20, *, system=None, batch=toy.batch, **settings):
  settings = FAST | settings
  data = settings.pop("data", None) or toy.data(batch)
  return loop.train(system or toy.system(), data, workdir=workdir, key=KEY, steps=steps, **settings)


def bits(state):
  return [
    np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x).tobytes()
    for x in jax.tree.leaves(state)
  ]


def timeless(workdir):
  """The lines of metrics.jsonl without what depends on the clock."""
  return [{k: v for k, v in row.items() if k != "clock"} for row in read_metrics(workdir / "metrics.jsonl")]


def steps_in(folder):
  return sorted(int(p.name) for p in folder.iterdir())


def failing(at):
  def batch(step):
    if step == at:
      raise RuntimeError("power cut")
    return toy.batch(step)

  return batch
