import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.objectives.consistency import consistency, latent_consistency, latent_diversity, redrawn
from genjax.objectives.penalties import as_seen, at_real, gradient_penalty, squared
from genjax.objectives.terms import Augmentation, play
from genjax.ops.diffaugment import diffaugment, policy_of

KEY = jax.random.key(0)
REAL = jax.random.uniform(jax.random.key(1), (5, 2, 3, 1), jnp.float32, -1, 1)
FAKE = jax.random.uniform(jax.random.key(2), (5, 2, 3, 1), jnp.float32, -1, 1)
mirror = lambda key, images: images[:, :, ::-1]


def _round(critic=lambda images: (images[:, 0, 0, 0], None), **more):
  return play(critic, REAL, FAKE, **more)


def test_consistency_is_the_mean_square_of_what_the_augmentation_changes():
  for side, images in (("real", np.asarray(REAL)), ("fake", np.asarray(FAKE))):
    value = consistency(side, mirror).apply(KEY, (), _round())[0]
    np.testing.assert_allclose(value, ((images[:, 0, 0, 0] - images[:, 0, 2, 0]) ** 2).mean(), rtol=1e-6)


def test_a_critic_that_the_augmentation_does_not_move_pays_nothing():
  same = lambda images: (images.sum((1, 2, 3)), None)
  np.testing.assert_allclose(consistency("real", mirror).apply(KEY, (), _round(same))[0], 0, atol=1e-10)


def test_both_answers_have_a_gradient():
  def loss(weight):
    return consistency("real", mirror).apply(KEY, (), _round(lambda x: (weight * x[:, 0, 0, 0], None)))[0]

  gap = np.asarray(REAL)[:, 0, 0, 0] - np.asarray(REAL)[:, 0, 2, 0]
  np.testing.assert_allclose(jax.grad(loss)(2.0), 4 * (gap**2).mean(), rtol=1e-5)


def test_the_critic_is_applied_once_more_only():
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
    values = np.asarray(jax.vmap(lambda key, term=term: term.apply(key, (), round)[0])(keys), np.float64)
    assert abs(values.mean() - sign * 2 * 0.2**2) < 5 * values.std() / np.sqrt(4000)


def test_a_term_of_latents_asks_for_them():
  with pytest.raises(ValueError, match="needs latent"):
    latent_consistency().apply(KEY, (), _round())


# A critic that augments


def test_two_draws_and_slopes_of_the_image_and_of_what_the_net_sees_are_those_of_numpy():
  """A linear net w of augmented images: T is known by what it does to the image and to w."""
  shape, rng = (4, 4, 1), np.random.default_rng(3)
  images, w = rng.uniform(-1, 1, (8, *shape)).astype(np.float32), rng.normal(size=shape).astype(np.float32)
  net = lambda x: ((x * w[None]).sum((1, 2, 3)), {})
  augment = lambda key, x: diffaugment(key, x, policy_of("colour=1,translation=1,cutout=1,scaling=1"))
  key, key_term = jax.random.split(jax.random.key(5))
  round = play(lambda x: net(augment(key, x)), images, -images, augmentation=Augmentation(key, augment, net))
  for side, x in (("real", images), ("fake", -images)):
    first, second = (np.asarray(augment(k, x), np.float64) for k in (key, key_term))
    gap = ((first - second) * w).sum((1, 2, 3))
    np.testing.assert_allclose(redrawn(side, None).apply(key_term, (), round)[0], (gap**2).mean(), rtol=1e-4)
  slope = gradient_penalty(at_real, squared)
  zero = np.asarray(augment(key, jnp.zeros_like(images)), np.float64)
  slopes = []  # T is affine: the slope at the image is T's matrix, transposed, times w
  for basis in np.eye(w.size, dtype=np.float32):
    column = np.asarray(augment(key, jnp.broadcast_to(basis.reshape(shape), images.shape)), np.float64) - zero
    slopes.append((column * w).sum((1, 2, 3)))
  np.testing.assert_allclose(slope.apply(key, (), round)[0], (np.square(slopes)).sum(0).mean(), rtol=1e-4)
  np.testing.assert_allclose(as_seen(slope).apply(key, (), round)[0], (w.astype(np.float64) ** 2).sum(), rtol=1e-5)


def test_without_an_augmentation_the_net_sees_the_image_and_the_second_draw_is_the_terms_own():
  round, slope = _round(), gradient_penalty(at_real, squared)
  assert as_seen(slope).apply(KEY, (), round)[0] == slope.apply(KEY, (), round)[0]
  assert redrawn("real", mirror).apply(KEY, (), round)[0] == consistency("real", mirror).apply(KEY, (), round)[0]
