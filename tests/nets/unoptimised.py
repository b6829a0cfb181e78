"""Nets compiled without optimisation, which halves the time of tests that run each program once."""

from functools import partial

import jax

KEY = jax.random.key(0)
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def start(net, *args):
  """The first variables of a net, by one compilation."""
  return jit(net.init)(KEY, *args)


def shapes_of(net, *args):
  return jax.tree_util.tree_map(lambda leaf: leaf.shape, jax.eval_shape(net.init, KEY, *args)["params"])
