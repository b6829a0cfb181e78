import jax
import jax.numpy as jnp
import numpy as np

from genjax.ops.norms import distances, norm, root

VECTORS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def test_value_and_gradient_are_those_of_the_length():
  np.testing.assert_allclose(norm(jnp.asarray(VECTORS)), np.linalg.norm(VECTORS, axis=1), rtol=1e-6)
  gradient = jax.grad(lambda v: norm(v).sum())(jnp.asarray(VECTORS))
  np.testing.assert_allclose(gradient, VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True), rtol=1e-5)


def test_a_zero_vector_has_length_and_gradient_zero_and_does_not_spoil_the_others():
  vectors = jnp.asarray(VECTORS).at[2].set(0)
  value, gradient = jax.value_and_grad(lambda v: norm(v).sum())(vectors)
  assert np.isfinite(value)
  assert (gradient[2] == 0).all()
  np.testing.assert_allclose(gradient[1], VECTORS[1] / np.linalg.norm(VECTORS[1]), rtol=1e-5)


def test_a_length_whose_square_underflows_is_finite():
  value, slope = jax.value_and_grad(root)(jnp.float32(1e-42))
  assert np.isfinite([value, slope]).all()
  assert norm(jnp.full(3, 1e-30)) == 0


def test_distances_are_those_of_every_pair_also_far_from_the_origin():
  x, y = VECTORS[:3] + 1000, VECTORS[1:] + 1000
  expected = [[np.linalg.norm(a - b) for b in y] for a in x]
  np.testing.assert_allclose(distances(jnp.asarray(x), jnp.asarray(y)), expected, rtol=1e-5, atol=1e-6)
