import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from genjax.nets.activations import ACTIVATIONS, mu_relu

# v, chi and where v starts, in numpy
PAIRS = {
  "relu": (lambda z: np.maximum(z, 0), lambda v: np.where(v > 0, 1.0, 0.0)),
  "leaky": (lambda z: np.where(z > 0, z, 0.2 * z), lambda v: np.where(v > 0, 1.0, 0.2)),
  "elu": (lambda z: np.where(z > 0, z, np.exp(np.minimum(z, 0)) - 1), lambda v: np.minimum(1 + v, 1)),
  "softplus": (lambda z: np.log(1 + np.exp(z)), lambda v: 1 - np.exp(-v)),
  "mu_relu": (lambda z: (z + np.sqrt(z**2 + 1)) / 2, lambda v: 4 * v**2 / (4 * v**2 + 1)),
  "lsu": (
    lambda z: np.where(z < -1, 0, np.where(z < 1, (1 + z) ** 2, 4 * z)),
    lambda v: np.minimum(2 * np.sqrt(v), 4),
  ),
}
SMOOTH = ("elu", "softplus", "mu_relu")
POINTS = np.linspace(-4, 4, 80)  # without 0, -1 and 1, where the pieces meet


@pytest.fixture(scope="module")
def measured():
  """Value and slope of every activation at all points, in one program."""
  each = lambda z: {name: jax.value_and_grad(v)(z) for name, v in ACTIVATIONS.items()}
  return jax.device_get(jax.jit(jax.vmap(each))(jnp.asarray(POINTS, jnp.float32)))


@pytest.mark.parametrize("name", PAIRS)
def test_the_slope_is_chi_of_the_value_which_never_falls(name, measured):
  value, slope = measured[name]
  v, chi = PAIRS[name]
  np.testing.assert_allclose(value, v(POINTS), rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(slope, chi(v(POINTS)), rtol=1e-4, atol=1e-5)
  assert (np.diff(slope) > -1e-5).all()  # v is convex, as chi does not fall
  assert (slope[POINTS > -1] > 0).all() or name == "relu"


@pytest.mark.parametrize("name", PAIRS)
def test_the_chi_logarithm_takes_the_value_back(name):
  v, chi = PAIRS[name]
  for z in (-0.7, 0.4, 2.5) if name != "relu" else (0.4, 2.5):  # below 0 relu has no inverse
    breaks = [b for b in (0.0, 4.0) if min(v(0.0), v(z)) < b < max(v(0.0), v(z))]
    back = integrate.quad(lambda t: 1 / chi(t) if t > 0 or name != "relu" else 1.0, v(0.0), v(z), points=breaks or None)
    np.testing.assert_allclose(back[0], z, rtol=1e-6)


def test_the_condition_on_activations_holds_of_three_and_not_of_tanh_and_swish(measured):
  """Smooth, bounded below, increasing, convex; relu, leaky and lsu are limits of such."""
  for name in SMOOTH:
    value, slope = measured[name]
    assert (value > -1).all()
    assert (slope > 0).all()
    assert (np.abs(np.diff(slope)) < 1.01 * np.diff(POINTS)).all(), name  # no jump: second derivatives are at most 1
  for name in ("tanh", "swish"):
    assert (np.diff(measured[name][1]) < -1e-3).any(), name


def test_mu_goes_from_a_smooth_function_to_relu():
  z = jnp.asarray(POINTS, jnp.float32)
  np.testing.assert_allclose(mu_relu(z, 1.0), np.maximum(POINTS, 0), atol=1e-6)
  assert (mu_relu(z, 0.0) > mu_relu(z, 0.5)).all()
