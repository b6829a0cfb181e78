"""A smooth classifier of 6x6 images, its data, and an attack on it by one compilation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

KEY = jax.random.key(0)
EPSILON = 0.1


def _weights(shape, seed, scale):
  return jnp.asarray(np.random.default_rng(seed).normal(0, scale, shape), jnp.float32)


FIRST, SECOND = _weights((36, 24), 1, 0.4), _weights((24, 5), 2, 0.6)


@jax.jit
def net(images):
  """A smooth classifier of 6x6 images in 5 classes."""
  hidden = jnp.tanh(jnp.dot(images.reshape(images.shape[0], -1), FIRST, precision="highest"))
  return jnp.dot(hidden, SECOND, precision="highest")


def data(n=7, side=6):
  rng = np.random.default_rng(3)
  return jnp.asarray(rng.uniform(-1, 1, (n, side, side, 1)), jnp.float32), jnp.asarray(rng.integers(0, 5, n), jnp.int32)


@partial(jax.jit, static_argnums=(0, 1))
def attacked(attack, classify, images, labels, key=KEY):
  return attack(key, classify, images, labels)
