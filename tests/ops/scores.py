"""Scores of images that a chain climbs in the tests, and where it starts."""

import jax
import jax.numpy as jnp


def summed(images):
  return images.sum((1, 2, 3))


def gaussian(mean=0.0, std=1.0):
  return lambda images: -(((images - mean) / std) ** 2).sum((1, 2, 3)) / 2


def wavy(images):
  """A score with curvature everywhere, another one for each pixel."""
  weight = jnp.linspace(0.5, 2.0, images[0].size).reshape(1, *images.shape[1:])
  return (jnp.sin(3 * weight * images) + weight * images).sum((1, 2, 3))


def starts(n=6, side=2):
  return jax.random.uniform(jax.random.key(9), (n, side, side, 1), minval=-1.0, maxval=1.0)
