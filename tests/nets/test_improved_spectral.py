"""Improved spectral normalisation: a kernel keeps its first singular value, by numpy's SVD."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from unoptimised import KEY, jit, shapes_of, start

from genjax.nets.improved_spectral import Kernel, NormedConv, NormedDense

SHAPES = [(6, 9), (3, 3, 4, 5), (7, 1)]


def _sigma(kernel):
  return np.linalg.svd(np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


@pytest.mark.parametrize("equalised", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_sigma_init_is_the_first_singular_value_of_the_first_weights(shape, equalised):
  free = Kernel(shape, "none", equalised)
  kept = Kernel(shape, "isn", equalised)
  variables = start(kept)
  first = free.apply({"params": variables["params"]})
  np.testing.assert_allclose(variables["spectral"]["sigma_init"], _sigma(first), rtol=1e-5)
  np.testing.assert_allclose(kept.apply(variables), first, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(first.std(), np.prod(shape[:-1]) ** -0.5, rtol=0.5)


@pytest.mark.parametrize("norm", ["isn", "sn"])
@pytest.mark.parametrize("shape", SHAPES)
def test_sigma_stays_what_it_was_after_any_number_of_updates(shape, norm):
  net, train = Kernel(shape, norm), Kernel(shape, norm, train=True)
  variables = start(net)
  wanted = float(variables["spectral"]["sigma_init"]) if norm == "isn" else 1.0

  def step(variables, key):
    change = jax.random.normal(key, shape) * 0.02  # ten times as far as Adam's steps at the paper's learning rate
    variables = variables | {"params": {"kernel": variables["params"]["kernel"] + change}}
    kernel, after = train.apply(variables, mutable=["spectral"])
    return variables | after, kernel

  still = lambda variables, _: (variables | train.apply(variables, mutable=["spectral"])[1], None)
  keys = jax.random.split(jax.random.key(1), 100)
  variables, kernels = jit(lambda variables: lax.scan(step, variables, keys))(variables)
  for kernel in np.asarray(kernels):
    assert abs(_sigma(kernel) / wanted - 1) < 0.03
  variables, _ = jit(lambda variables: lax.scan(still, variables, length=300))(variables)
  np.testing.assert_allclose(_sigma(net.apply(variables)), wanted, rtol=1e-4)


def test_power_iteration_finds_the_singular_vector_of_quite_other_weights():
  net = Kernel((8, 6), "isn", train=True)
  variables = start(net)
  other = jax.random.normal(jax.random.key(5), (8, 6))
  variables = variables | {"params": {"kernel": other}}
  step = lambda variables, _: (variables | net.apply(variables, mutable=["spectral"])[1], None)
  variables, _ = jit(lambda variables: lax.scan(step, variables, length=300))(variables)
  right = np.linalg.svd(np.asarray(other, np.float64))[2][0]
  np.testing.assert_allclose(abs(np.asarray(variables["spectral"]["u"]) @ right), 1, rtol=1e-5)


def test_the_vector_is_updated_in_training_and_sigma_init_never():
  net, x = NormedDense(5, "isn"), jax.random.normal(KEY, (3, 4))
  variables = start(net, x)
  variables = variables | {"params": jax.tree.map(lambda leaf: leaf + 1, variables["params"])}
  y, after = net.clone(train=True).apply(variables, x, mutable=["spectral"])
  assert not np.array_equal(after["spectral"]["u"], variables["spectral"]["u"])
  np.testing.assert_array_equal(after["spectral"]["sigma_init"], variables["spectral"]["sigma_init"])
  still, unchanged = net.apply(variables, x, mutable=["spectral"])
  jax.tree.map(np.testing.assert_array_equal, unchanged["spectral"], variables["spectral"])
  assert not np.array_equal(still, y)


@pytest.mark.parametrize("norm", ["isn", "sn"])
def test_the_gradient_sees_sigma(norm):
  """Longer weights are the same weights, so the gradient is at right angles to them; and finite differences agree."""
  net, weight = Kernel((6, 4), norm, equalised=False), np.asarray(jax.random.normal(jax.random.key(2), (6, 4)))
  variables = start(net)
  kernel = np.asarray(variables["params"]["kernel"], np.float64)
  loss = lambda kernel: (net.apply(variables | {"params": {"kernel": kernel}}) * weight).sum()
  gradient = np.asarray(jax.grad(loss)(jnp.asarray(kernel, jnp.float32)))
  np.testing.assert_allclose((gradient * kernel).sum(), 0, atol=1e-5)
  wanted = float(variables["spectral"]["sigma_init"]) if norm == "isn" else 1.0
  for seed in range(3):
    way = np.random.default_rng(seed).normal(size=kernel.shape)
    up, down = ((wanted * k / _sigma(k) * weight).sum() for k in (kernel + 1e-5 * way, kernel - 1e-5 * way))
    np.testing.assert_allclose((gradient * way).sum(), (up - down) / 2e-5, rtol=1e-3, atol=1e-4)


def test_a_convolution_is_that_of_lax_with_the_normed_kernel():
  net, x = NormedConv(5, 2, "sn"), jax.random.normal(KEY, (2, 7, 4, 3))
  variables = start(net, x)
  kernel = np.asarray(variables["params"]["kernel"])
  expected = lax.conv_general_dilated(
    x, kernel / np.float32(_sigma(kernel)), (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
  )
  np.testing.assert_allclose(net.apply(variables, x), expected, rtol=1e-4, atol=1e-5)
  with pytest.raises(ValueError, match="norm 'spectral'; use 'isn', 'sn' or 'none'"):
    shapes_of(net.clone(norm="spectral"), x)
