"""Latents of images of which little was measured, for a generator whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ops.recovery import recovered

RNG = np.random.default_rng(0)
W = RNG.normal(size=(2, 12)).astype(np.float32) / 3
A = RNG.normal(size=(12, 5)).astype(np.float32)


def generate(latents):
  return (latents @ W).reshape(-1, 3, 4, 1)


def measure(images):
  return images.reshape(len(images), -1) @ A


def draw(key, n):
  return jax.random.normal(key, (n, 2))


def test_a_linear_generator_gives_the_latents_of_ridge_regression():
  truth = RNG.normal(size=(4, 2)).astype(np.float32)
  measured = measure(generate(truth)) + 0.1 * RNG.normal(size=(4, 5)).astype(np.float32)
  search = lambda key, measured: recovered(key, generate, draw, measure, measured, penalty=0.3, restarts=2, steps=400)
  result = jax.jit(search)(jax.random.key(0), measured)
  both = np.float64(W) @ A
  wanted = np.linalg.solve(both @ both.T + 0.3 * np.eye(2), both @ np.asarray(measured).T).T
  np.testing.assert_allclose(result.latents, wanted, atol=2e-3)
  np.testing.assert_allclose(result.images, generate(result.latents), rtol=1e-5)
  np.testing.assert_allclose(result.error, ((wanted @ both - measured) ** 2).sum(1), rtol=1e-2)


def test_each_example_keeps_the_best_of_its_own_starts():
  """Two valleys, at -1 and at 2; the second is deeper, and only some starts come to it."""
  generate = lambda latents: jnp.where(latents < 0, jnp.abs(latents + 1) + 0.5, jnp.abs(latents - 2))[:, None, None]
  measure = lambda images: images[:, 0, 0]
  starts = jnp.array([[-1.5], [1.0], [-0.5], [-2.0]])  # of two examples: -1.5 and -0.5, 1 and -2
  result = recovered(jax.random.key(0), generate, lambda key, n: starts, measure, jnp.zeros((2, 1)), restarts=2)
  np.testing.assert_allclose(result.latents[:, 0], [-1, 2], atol=0.05)
  with pytest.raises(ValueError, match="steps 0"):
    recovered(jax.random.key(0), generate, draw, measure, jnp.zeros((2, 1)), steps=0)
