import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.objectives.consistency import consistency, latent_consistency, latent_diversity
from genjax.objectives.terms import play

KEY = jax.random.key(0)
REAL = jax.random.uniform(jax.random.key(1), (5, 2, 3, 1), jnp.float32, -1, 1)
FAKE = jax.random.uniform(jax.random.key(2), (5, 2, 3, 1), jnp.float32, -1, 1)
mirror = lambda key, images: images[:, :, ::-1]


def _round(critic=lambda images: (images[:, 0, 0, 0], None), **more):
  return play(critic, REAL, FAKE, **more)


def test_consistency_is_the_mean_square_of_what_the_augmentation_changes():
  for side, images in (("real", np.asarray(REAL)), ("fake", np.asarray(FAKE))):
    told = consistency(side, mirror).apply(KEY, (), _round())[0]
    np.testing.assert_allclose(told, ((images[:, 0, 0, 0] - images[:, 0, 2, 0]) ** 2).mean(), rtol=1e-6)


def test_a_critic_that_the_augmentation_does_not_move_pays_nothing():
  same = lambda images: (images.sum((1, 2, 3)), None)
  np.testing.assert_allclose(consistency("real", mirror).apply(KEY, (), _round(same))[0], 0, atol=1e-10)


def test_both_answers_have_a_gradient():
  def loss(weight):
    return consistency("real", mirror).apply(KEY, (), _round(lambda x: (weight * x[:, 0, 0, 0], None)))[0]

  gap = np.asarray(REAL)[:, 0, 0, 0] - np.asarray(REAL)[:, 0, 2, 0]
  np.testing.assert_allclose(jax.grad(loss)(2.0), 4 * (gap**2).mean(), rtol=1e-5)


def test_the_critic_is_asked_once_more_only():
  seen = []
  critic = lambda images: (seen.append(images.shape), (images[:, 0, 0, 0], None))[1]
  consistency("fake", mirror).apply(KEY, (), _round(critic))
  assert len(seen) == 3


def test_latents_near_each_other_give_the_critic_and_the_generator_opposite_wishes():
  latent = jnp.zeros((5, 2))
  generator = lambda z: FAKE + z.sum(-1)[:, None, None, None]
  round = _round(generator=generator, latent=latent)
  keys = jax.random.split(KEY, 4000)
  for term, sign in ((latent_consistency(0.2), 1), (latent_diversity(0.2), -1)):
    told = np.asarray(jax.vmap(lambda key, term=term: term.apply(key, (), round)[0])(keys), np.float64)
    assert abs(told.mean() - sign * 2 * 0.2**2) < 5 * told.std() / np.sqrt(4000)


def test_a_term_of_latents_asks_for_them():
  with pytest.raises(ValueError, match="needs latent"):
    latent_consistency().apply(KEY, (), _round())
