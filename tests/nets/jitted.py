"""Nets started and run by one compilation each, and random arrays for them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

KEY = jax.random.key(0)


def start(net, *args):
  """The first variables of a net. jitted: one compilation, where flax would make one for each operation."""
  return jax.jit(net.init)(KEY, *args)


def run(net, variables, *args, **more):
  """What a net gives; its compilation is for this call alone."""
  return jax.jit(partial(net.apply, **more))(variables, *args)


def normal(seed, *shape):
  return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def stirred(variables, seed=5, size=0.3):
  """Every parameter moved at random: none is 0, as strengths of noise and biases are at first."""
  leaves, form = jax.tree.flatten(variables)
  return jax.tree.unflatten(
    form, [np.asarray(leaf) + size * normal(seed + i, *leaf.shape) for i, leaf in enumerate(leaves)]
  )
