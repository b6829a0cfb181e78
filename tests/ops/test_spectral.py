import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ops.spectral import normalise, singular, start_vector

KERNELS = {
  "dense": jax.random.normal(jax.random.key(0), (7, 4)),
  "conv": jax.random.normal(jax.random.key(1), (3, 3, 2, 5)),
}


@pytest.mark.parametrize("name", KERNELS)
def test_many_iterations_find_the_largest_singular_value_and_its_vector(name):
  kernel = KERNELS[name]
  left, values, right = np.linalg.svd(np.reshape(kernel, (-1, kernel.shape[-1])), full_matrices=False)
  sigma, u = jax.jit(lambda k, u: singular(k, u, 100))(kernel, start_vector(jax.random.key(2), kernel))
  np.testing.assert_allclose(sigma, values[0], rtol=1e-5)
  np.testing.assert_allclose(abs(np.vdot(u, right[0])), 1, rtol=1e-4)


@pytest.mark.parametrize("name", KERNELS)
def test_the_gradient_of_sigma_is_that_of_the_exact_one(name):
  kernel = KERNELS[name]
  _, u = singular(kernel, start_vector(jax.random.key(2), kernel), 200)
  gradient = jax.grad(lambda kernel: singular(kernel, u, 1)[0])(kernel)
  left, _, right = np.linalg.svd(np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1]), full_matrices=False)
  np.testing.assert_allclose(gradient, np.outer(left[:, 0], right[0]).reshape(kernel.shape), atol=2e-4)


def test_the_normalised_weights_gradient_goes_through_sigma():
  kernel, weight = KERNELS["dense"], jax.random.normal(jax.random.key(3), (7, 4))
  _, u = singular(kernel, start_vector(jax.random.key(2), kernel), 200)
  gradient = jax.grad(lambda kernel: (normalise(kernel, u)[0] * weight).sum())(kernel)
  exact = np.asarray(kernel, np.float64)
  loss = lambda matrix: (matrix / np.linalg.svd(matrix, compute_uv=False)[0] * np.asarray(weight)).sum()
  numeric = np.zeros_like(exact)
  for place in np.ndindex(exact.shape):
    step = np.zeros_like(exact)
    step[place] = 1e-6
    numeric[place] = (loss(exact + step) - loss(exact - step)) / 2e-6
  np.testing.assert_allclose(gradient, numeric, atol=3e-4)
  np.testing.assert_allclose(np.vdot(gradient, exact), 0, atol=1e-4)  # it does not depend on the weight's length


def test_one_iteration_a_step_gets_there_too():
  kernel = KERNELS["conv"]
  u, one = start_vector(jax.random.key(2), kernel), jax.jit(normalise)
  result = []
  for _ in range(60):
    normed, u = one(kernel, u)
    result.append(float(np.linalg.norm(np.reshape(normed, (-1, 5)), 2)))
  np.testing.assert_allclose(result[-1], 1, rtol=1e-4)
  assert result[0] >= result[10] >= result[-1] - 1e-6  # sigma is a lower bound that grows


def test_a_kernel_of_rank_one_needs_one_iteration():
  kernel = jnp.outer(jnp.arange(1.0, 4.0), jnp.array([2.0, -1.0]))
  sigma, _ = singular(kernel, start_vector(jax.random.key(5), kernel))
  np.testing.assert_allclose(sigma, np.sqrt(14 * 5), rtol=1e-5)


def test_measuring_leaves_the_vector_where_it_is():
  kernel, u = KERNELS["dense"], start_vector(jax.random.key(2), KERNELS["dense"])
  sigma, after = singular(kernel, u, 0)
  np.testing.assert_array_equal(after, u)
  np.testing.assert_allclose(sigma, np.linalg.norm(np.asarray(kernel) @ np.asarray(u)), rtol=1e-5)


def test_a_zero_kernel_stays_zero_and_its_gradient_is_finite():
  kernel = jnp.zeros((3, 2))
  normed, u = normalise(kernel, start_vector(jax.random.key(0), kernel))
  assert (normed == 0).all()
  assert np.isfinite(u).all()
  assert np.isfinite(jax.grad(lambda k: normalise(k, u)[0].sum())(kernel)).all()


def test_a_bfloat16_kernel_is_measured_in_float32():
  kernel = KERNELS["dense"].astype(jnp.bfloat16)
  sigma, u = singular(kernel, start_vector(jax.random.key(2), kernel), 50)
  assert sigma.dtype == u.dtype == jnp.float32
  assert normalise(kernel, u)[0].dtype == jnp.bfloat16
