import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.objectives.logits import (
  average_critic,
  average_generator,
  began_convergence,
  began_critic,
  cross_entropy_critic,
  ebgan_critic,
  energy_critic,
  hinge_critic,
  least_squares_critic,
  non_saturating_generator,
  pulling_away,
  relativistic_critic,
  relativistic_generator,
  saturating_generator,
  wasserstein_critic,
)
from genjax.objectives.terms import play

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


def test_where_the_critic_is_sure_only_the_saturating_generator_has_no_gradient():
  fake = jnp.array([-20.0])
  assert jax.grad(saturating_generator, 1)(fake, fake)[0] > -1e-8
  np.testing.assert_allclose(jax.grad(non_saturating_generator, 1)(fake, fake), -1, rtol=1e-6)


@pytest.mark.parametrize("loss", [cross_entropy_critic, hinge_critic, relativistic_critic, least_squares_critic])
def test_a_critic_pushes_reals_up_and_fakes_down(loss):
  real, fake = jax.grad(loss, (0, 1))(jnp.array([0.1, -0.2]), jnp.array([0.1, 0.2]))
  assert (real < 0).all()
  assert (fake > 0).all()


def test_least_squares_is_on_logits_with_labels_of_choice():
  expected = ((REAL - 1) ** 2).mean() / 2 + ((FAKE + 1) ** 2).mean() / 2
  np.testing.assert_allclose(least_squares_critic(jnp.asarray(REAL), jnp.asarray(FAKE), -1.0, 1.0), expected, rtol=1e-6)


def test_relativistic_losses_do_not_see_a_shift_of_all_logits_and_change_sides():
  real, fake = jnp.asarray(REAL[:2]), jnp.asarray(FAKE)
  for critic, generator in (
    (relativistic_critic, relativistic_generator),
    (average_critic(), average_generator()),
    (average_critic(hinge_critic), average_generator(hinge_critic)),
  ):
    np.testing.assert_allclose(critic(real + 5, fake + 5), critic(real, fake), rtol=1e-5)
    assert generator(real, fake) == critic(fake, real)
  with pytest.raises(ValueError, match="do not pair"):
    relativistic_critic(jnp.asarray(REAL), fake)


def test_an_autoencoder_becomes_a_critic_that_is_high_where_it_reconstructs_well():
  images = jax.random.normal(jax.random.key(0), (3, 2, 2, 1))
  autoencoder = lambda x: (x * jnp.array([1.0, 0.5, -1.0])[:, None, None, None], x.reshape(3, 4))
  for power in (1.0, 2.0):
    logits, aux = energy_critic(autoencoder, power)(images)
    errors = [0, 0.5, 2] * np.ones(3)
    np.testing.assert_allclose(logits, -(errors**power) * (np.abs(images) ** power).mean((1, 2, 3)), rtol=1e-5)
    assert aux["features"].shape == (3, 4)


def test_ebgan_lets_fakes_beyond_the_margin_be():
  energies = lambda real, fake: ebgan_critic(-jnp.array([real]), -jnp.array([fake]), margin=2.0)
  assert energies(0.5, 1.5) == 1.0
  assert energies(0.5, 7.0) == 0.5


def test_pulling_away_is_over_different_images_and_each_ones_own_length():
  rows = np.random.default_rng(0).normal(size=(4, 3)) * np.array([[1.0], [10.0], [0.1], [1.0]])
  unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
  expected = sum((unit[i] @ unit[j]) ** 2 for i in range(4) for j in range(4) if i != j) / 12
  np.testing.assert_allclose(pulling_away(jnp.asarray(rows, jnp.float32)), expected, rtol=1e-5)
  assert pulling_away(jnp.eye(3)) == 0
  np.testing.assert_allclose(pulling_away(jnp.ones((3, 2))), 1, rtol=1e-6)
  assert np.isfinite(jax.grad(pulling_away)(jnp.zeros((3, 2)))).all()
  with pytest.raises(ValueError, match="2 images"):
    pulling_away(jnp.ones((1, 2)))


def test_began_holds_its_balance_and_its_multiplier_in_bounds():
  term = began_critic(gamma=0.5, learning_rate=0.1)
  at = lambda real, fake: play(
    lambda x: (-jnp.where(x[:, 0] > 0, real, fake), None), jnp.ones((2, 1)), -jnp.ones((2, 1))
  )
  value, k = term.apply(jax.random.key(0), term.init(), at(2.0, 0.5))
  assert value == 2.0
  np.testing.assert_allclose(k, 0.1 * (1.0 - 0.5))
  value, k = term.apply(jax.random.key(0), k, at(2.0, 0.5))
  np.testing.assert_allclose(value, 2.0 - 0.05 * 0.5, rtol=1e-6)
  for real, fake, bound in ((1e3, 0.0, 1.0), (0.0, 1e3, 0.0)):
    assert term.apply(jax.random.key(0), k, at(real, fake))[1] == bound
  np.testing.assert_allclose(began_convergence(-jnp.array([2.0]), -jnp.array([0.5])), 2.5)
