"""The SVM on what an embedding really gives: features above 0, nearly parallel, more rounding than the tolerance."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from genjax.ops import svm

in_float64 = partial(jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64, True)
EPISODES, WAYS, SHOTS, DIMS = 8, 5, 5, 32


def features():
  """Largest eigenvalue of the kernel matrix about 1300, smallest about 0.3, as of an untrained Conv-4 on glyphs."""
  draw = np.random.default_rng(0)
  means = draw.normal(1.1, 0.5, (EPISODES, WAYS, DIMS)).repeat(SHOTS, 1)
  return np.maximum(means + 0.3 * draw.normal(size=means.shape), 0)


LABELS = np.repeat(np.arange(WAYS), SHOTS)


def value(features):
  return (svm.svm_dual(features, jnp.asarray(LABELS), ways=WAYS).alpha ** 2).sum()


def test_nearly_parallel_features_converge_in_float32_and_gradients_are_those_of_float64():
  x = features()
  dual = jax.jit(jax.vmap(lambda x: svm.svm_dual(x, jnp.asarray(LABELS), ways=WAYS)))(x.astype(np.float32))
  assert dual.converged.all()
  assert dual.residual.max() < 1e-5
  narrow = jax.jit(jax.vmap(jax.grad(value)))(x.astype(np.float32))
  with in_float64():
    wide = np.asarray(jax.jit(jax.vmap(jax.grad(value)))(x))
  error = np.linalg.norm(narrow - wide, axis=(1, 2)) / np.linalg.norm(wide, axis=(1, 2))
  assert error.max() < 1e-3, error


def test_a_fixed_count_of_steps_beyond_the_last_useful_one_keeps_gradients_finite():
  dual = lambda x: svm.svm_dual(x, jnp.asarray(LABELS), ways=WAYS, iterations=40)
  gradient = jax.jit(jax.vmap(jax.grad(lambda x: (dual(x).alpha ** 2).sum())))(features().astype(np.float32))
  assert jnp.isfinite(gradient).all()
