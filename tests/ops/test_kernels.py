import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ops.kernels import energy, gaussian, rational

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(4, 3)), RANDOM.normal(size=(5, 3))
EXPECTED = {
  "gaussian": (gaussian((0.5, 2.0)), lambda a, b: sum(np.exp(-((a - b) @ (a - b)) / (2 * s * s)) for s in (0.5, 2.0))),
  "rational": (rational((0.5, 3.0)), lambda a, b: sum((1 + (a - b) @ (a - b) / (2 * k)) ** -k for k in (0.5, 3.0))),
  "energy": (energy, lambda a, b: -np.linalg.norm(a - b)),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_kernel_is_its_formula_for_every_pair(name):
  kernel, formula = EXPECTED[name]
  wanted = [[formula(a, b) for b in Y] for a in X]
  np.testing.assert_allclose(kernel(jnp.asarray(X, jnp.float32), jnp.asarray(Y, jnp.float32)), wanted, rtol=1e-5)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_kernel_is_positive_on_vectors_that_sum_to_zero(name):
  values = np.asarray(EXPECTED[name][0](jnp.asarray(X, jnp.float32), jnp.asarray(X, jnp.float32)), np.float64)
  centre = np.eye(4) - 1 / 4
  assert np.linalg.eigvalsh(centre @ values @ centre).min() > -1e-6
