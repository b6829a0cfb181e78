import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.objectives.generator import (
  Denoiser,
  denoise,
  denoised_feature_matching,
  feature_matching,
  mode_ratio,
  path_length,
)
from genjax.objectives.terms import play

KEY = jax.random.key(0)
MATRIX = jax.random.normal(jax.random.key(1), (3, 8))  # latents to the values of 2x2x2 images
LATENT = jax.random.normal(jax.random.key(2), (6, 3))
REAL = jax.random.normal(jax.random.key(3), (6, 2, 2, 2))


def _round(generator, real=REAL, latent=LATENT):
  flat = lambda images: images.reshape(images.shape[0], -1)
  critic = lambda images: (flat(images)[:, 0], {"features": flat(images)})
  return play(critic, real, generator(latent), generator=generator, latent=latent, styles=latent, synthesis=generator)


def _linear(latent):
  return (latent @ MATRIX).reshape(-1, 2, 2, 2)


def test_feature_matching_compares_means_not_images():
  real, fake = jnp.array([[0.0, 2.0], [2.0, 0.0]]), jnp.array([[1.0, 1.0], [1.0, 1.0], [1.0, 4.0]])
  assert feature_matching(real, fake) == 1
  assert feature_matching(real, real[::-1]) == 0


def test_a_linear_generators_path_length_is_that_of_its_matrix():
  """|J'y|^2 has mean |J|_F^2 over H W = 4; at mean 0 the penalty is the mean square."""
  term, round = path_length(decay=0.9), _round(_linear)
  values, means = jax.vmap(lambda key: term.apply(key, term.init(), round))(jax.random.split(KEY, 2000))
  assert abs(values.mean() - float((MATRIX**2).sum()) / 4) < 5 * values.std() / np.sqrt(2000)
  lengths = np.linalg.norm(np.random.default_rng(0).normal(size=(200_000, 8)) @ np.asarray(MATRIX).T / 2, axis=1)
  np.testing.assert_allclose(means.mean(), 0.1 * lengths.mean(), rtol=0.02)


def test_the_path_lengths_mean_settles_and_equal_lengths_then_cost_nothing():
  one = lambda latent: latent[:, None, None, :1] * jnp.eye(1)[None, None]
  term = path_length(decay=0.5)
  keys = jax.random.split(KEY, 60)
  _, values = jax.lax.scan(lambda mean, key: term.apply(key, mean, _round(one))[::-1], term.init(), keys)
  assert np.isfinite(values).all()
  flat = lambda latent: jnp.zeros((6, 2, 2, 2)) + 0 * latent.sum()
  value, slope = jax.value_and_grad(lambda s: term.apply(KEY, term.init(), _round(lambda z: s * flat(z)))[0])(1.0)
  assert value == slope == 0


def test_mode_seeking_is_the_inverse_of_how_far_images_move_with_latents():
  value = mode_ratio().apply(
    KEY, (), _round(lambda z: 3 * jnp.tile(z.mean(-1)[:, None, None, None], (1, 2, 2, 2)), latent=jnp.abs(LATENT))
  )[0]
  z = np.abs(np.asarray(LATENT))
  other = np.roll(z, -1, axis=0)
  ratio = 3 * np.abs(z.mean(1) - other.mean(1)) / np.abs(z - other).mean(1)
  np.testing.assert_allclose(value, 1 / (ratio.mean() + 1e-5), rtol=1e-5)
  collapsed = lambda latent: jnp.zeros((6, 2, 2, 2)) + 0 * latent.sum()
  np.testing.assert_allclose(mode_ratio().apply(KEY, (), _round(collapsed))[0], 1e5, rtol=1e-3)


def test_a_denoisers_answer_is_a_target_without_gradient():
  term = denoised_feature_matching(8, hidden=4)
  state = term.init()
  loss = lambda shift: term.apply(KEY, state, _round(lambda z: _linear(z) + shift))[0]
  fake = np.asarray(_linear(LATENT)).reshape(6, 8)
  target = np.asarray(denoise(state, jnp.asarray(fake)))
  np.testing.assert_allclose(loss(0.0), ((fake - target) ** 2).mean(), rtol=1e-5)
  np.testing.assert_allclose(jax.grad(loss)(0.0), 2 * (fake - target).mean(), rtol=1e-4)


def test_the_denoiser_learns_to_undo_noise_of_real_features():
  direction = jnp.ones(8) / 8**0.5
  real = (jax.random.normal(KEY, (256, 1)) * 3 * direction[None]).reshape(256, 2, 2, 2)
  term = denoised_feature_matching(8, hidden=32, noise=1.0, learning_rate=0.05)
  round = play(lambda x: (x.sum((1, 2, 3)), {"features": x.reshape(len(x), -1)}), real, real)
  state, _ = jax.lax.scan(lambda s, key: (term.apply(key, s, round)[1], None), term.init(), jax.random.split(KEY, 1500))
  assert isinstance(state, Denoiser)
  clean = real.reshape(256, 8)
  noisy = clean + jax.random.normal(jax.random.key(9), clean.shape)
  error = lambda x: float(((x - clean) ** 2).sum(1).mean())
  assert error(denoise(state, noisy)) < 0.3 * error(noisy)  # the best keeps one direction of eight: 0.11


def test_features_that_are_missing_are_asked_for():
  bare = play(lambda x: (x.sum((1, 2, 3)), None), REAL, REAL)
  with pytest.raises(ValueError, match=r"aux\['features'\].*returns nothing"):
    denoised_feature_matching(8).apply(KEY, denoised_feature_matching(8).init(), bare)
