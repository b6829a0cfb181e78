"""States with a leaf of every kind, what a checkpoint of them is restored to, and the files that hold it."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from genjax.train.mesh import DEFAULT_RULES, make_mesh, state_shardings, weights
from genjax.train.paths import named_leaves

GRID = 222  # as a number of devices: 8, 2 along each axis of the mesh
OVER_ALL_AXES = ((r"^weights/", functools.partial(weights, least=1, width=2)), *DEFAULT_RULES)


def state_of(seed: int, devices: int = 8):
  """A state with a leaf of every kind, incompressible data in the larger ones."""
  return maker(devices)(jax.random.key(seed))


@functools.cache
def maker(devices: int):
  def make(key):
    return {
      "pool": jax.random.normal(key, (16, 40, 3)),
      "weights": {
        "kernel": jax.random.normal(key, (60, 50)),
        "half": jax.random.normal(key, (7,)).astype(jnp.bfloat16),
      },
      "byte": jnp.arange(11, dtype=jnp.uint8),
      "truth": jnp.array([True, False, True]),
      "key": key,
      "keys": jax.random.split(key, 8),
      "nothing": jnp.zeros((0, 3)),
      "none": None,
      "step": jax.random.key_data(key)[1].astype(jnp.int32),
    }

  shapes = jax.eval_shape(make, jax.random.key(0))
  mesh = make_mesh(fsdp=2, model=2) if devices == GRID else make_mesh(jax.devices()[:devices])
  return jax.jit(make, out_shardings=state_shardings(mesh, shapes, OVER_ALL_AXES))


def target_of(state):
  return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state)


def raw(leaf):
  return np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)


def assert_same_bits(result, wanted):
  assert jax.tree.structure(result) == jax.tree.structure(wanted)
  for (name, a), b in zip(named_leaves(result).items(), jax.tree.leaves(wanted), strict=True):
    assert a.dtype == b.dtype, name
    assert raw(a).tobytes() == raw(b).tobytes(), name
    assert a.shape == b.shape, name


def data_files(folder: Path) -> list[Path]:
  """Files that hold array data, largest first."""
  return sorted((p for p in folder.rglob("d/*") if p.is_file()), key=lambda p: -p.stat().st_size)
