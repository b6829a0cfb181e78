import jax
import jax.numpy as jnp
import numpy as np

from genjax.objectives.logits import cross_entropy_critic, wasserstein_critic

REAL, FAKE = np.array([1.0, 4.0, -2.0], np.float32), np.array([0.5, -1.5], np.float32)


def test_wasserstein_is_the_fakes_mean_minus_the_reals():
  np.testing.assert_allclose(wasserstein_critic(jnp.asarray(REAL), jnp.asarray(FAKE)), (0.5 - 1.5) / 2 - 3 / 3)


def test_wasserstein_pushes_reals_up_and_fakes_down():
  real, fake = jax.grad(wasserstein_critic, (0, 1))(jnp.asarray(REAL), jnp.asarray(FAKE))
  np.testing.assert_allclose(real, [-1 / 3] * 3)
  np.testing.assert_allclose(fake, [0.5] * 2)


def test_wasserstein_does_not_see_a_shift_and_changes_sign_when_sides_are_swapped():
  value = wasserstein_critic(jnp.asarray(REAL), jnp.asarray(FAKE))
  np.testing.assert_allclose(wasserstein_critic(jnp.asarray(REAL) + 7, jnp.asarray(FAKE) + 7), value, rtol=1e-6)
  np.testing.assert_allclose(wasserstein_critic(jnp.asarray(FAKE), jnp.asarray(REAL)), -value, rtol=1e-6)


def test_cross_entropy_is_that_of_a_sigmoid_and_stays_finite_when_it_saturates():
  sigmoid = lambda x: 1 / (1 + np.exp(-x.astype(np.float64)))
  expected = -np.log(sigmoid(REAL)).mean() - np.log(1 - sigmoid(FAKE)).mean()
  np.testing.assert_allclose(cross_entropy_critic(jnp.asarray(REAL), jnp.asarray(FAKE)), expected, rtol=1e-6)
  far = jnp.asarray([-1e4, 1e4], jnp.float32)
  np.testing.assert_allclose(cross_entropy_critic(far, far), 1e4, rtol=1e-6)
  assert jnp.isfinite(jax.grad(cross_entropy_critic)(far, far)).all()
