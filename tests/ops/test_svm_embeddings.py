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
  single = jax.jit(jax.vmap(jax.grad(value)))(x.astype(np.float32))
  with in_float64():
    double = np.asarray(jax.jit(jax.vmap(jax.grad(value)))(x))
  error = np.linalg.norm(single - double, axis=(1, 2)) / np.linalg.norm(double, axis=(1, 2))
  assert error.max() < 1e-3, error


def test_a_fixed_count_of_steps_beyond_the_last_useful_one_keeps_gradients_finite():
  dual = lambda x: svm.svm_dual(x, jnp.asarray(LABELS), ways=WAYS, iterations=40)
  gradient = jax.jit(jax.vmap(jax.grad(lambda x: (dual(x).alpha ** 2).sum())))(features().astype(np.float32))
  assert jnp.isfinite(gradient).all()


def scores(features, query):
  """Of queries: they depend on the separators alone, which are unique where alpha is not."""
  return jnp.sin(query @ features.T @ svm.svm_dual(features, jnp.asarray(LABELS), ways=WAYS).alpha).sum()


def test_gradients_of_scores_hold_where_a_class_has_more_free_alphas_than_features_have_dimensions():
  """The matrix of such a class is singular, though the whole system is not."""
  draw = np.random.default_rng(0)
  x = np.maximum(draw.normal(1.5, 1.0, (EPISODES, WAYS * SHOTS, 4)), 0.01)
  single = jax.jit(jax.vmap(jax.grad(scores)))(x.astype(np.float32), x[:, ::3].astype(np.float32))
  with in_float64():
    value = jax.jit(jax.vmap(scores))
    double = np.asarray(jax.jit(jax.vmap(jax.grad(scores)))(x, x[:, ::3]))
    way = draw.normal(size=x.shape)
    ahead, behind = (np.asarray(value(x + sign * 1e-6 * way, x[:, ::3])) for sign in (1, -1))
    np.testing.assert_allclose((double * way).sum((1, 2)), (ahead - behind) / 2e-6, rtol=1e-4, atol=1e-6)
  error, size = (np.linalg.norm(of, axis=(1, 2)).max() for of in (single - double, double))
  assert error < 3e-4 * size  # some are 0, where every alpha is at a bound


def test_gradients_are_finite_for_any_length_offset_and_number_of_features():
  gradient = jax.jit(jax.vmap(jax.grad(scores)))
  for dims in (1, 4, 32):
    for offset in (0.0, 1.0, 20.0):
      for scale in (1e-2, 1.0, 1e2):
        draw = np.random.default_rng(0)
        x = draw.normal(offset, 1.0, (EPISODES, WAYS, dims)).repeat(SHOTS, 1)
        x = scale * np.maximum(x + 0.5 * draw.normal(size=x.shape), 0)
        x[::2, 1] = x[::2, 0]
        x = x.astype(np.float32)
        assert np.isfinite(gradient(x, x[:, ::3])).all(), (dims, offset, scale)
