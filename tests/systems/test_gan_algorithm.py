"""A step of `gan` is Algorithm 1 of WGAN-GP, by hand, and shows every image once."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_gan import MLPS, SHAPE, WGAN, M, batches_of, gan_of

from genjax.objectives.terms import Objective, Term
from genjax.systems.gan import gan
from genjax.systems.optimizers import adam


class _Point(nn.Module):
  """Always the same image, whatever the latent."""

  @nn.compact
  def __call__(self, latent):
    point = self.param("point", nn.initializers.normal(0.5), (2,))
    return jnp.broadcast_to(point.reshape(1, 1, 1, 2), (latent.shape[0], 1, 1, 2))


class _Plane(nn.Module):
  """A linear critic: its slope is |w| at every point, so the penalty does not depend on where it is measured."""

  @nn.compact
  def __call__(self, images):
    w = self.param("w", nn.initializers.normal(0.5), (2,))
    return images.reshape(-1, 2) @ w, {}


def _by_hand(w, point, batches, critic_steps, learning_rate, weight, b1, b2):
  """Algorithm 1 in numpy, float64, for the two nets above."""

  def adam(value, gradient, moments):
    mean, square, count = moments
    mean, square, count = b1 * mean + (1 - b1) * gradient, b2 * square + (1 - b2) * gradient**2, count + 1
    step = learning_rate * (mean / (1 - b1**count)) / (np.sqrt(square / (1 - b2**count)) + 1e-8)
    return value - step, (mean, square, count)

  of_w, of_point = (0.0, 0.0, 0), (0.0, 0.0, 0)
  for images in batches:
    for part in range(critic_steps):
      real = images.reshape(-1, critic_steps, 2)[:, part].mean(0)
      slope = np.linalg.norm(w)
      w, of_w = adam(w, point - real + weight * 2 * (slope - 1) * w / slope, of_w)
    point, of_point = adam(point, -w, of_point)
  return w, point


@pytest.mark.parametrize("critic_steps", [1, 5])
def test_a_step_is_algorithm_1_of_wgan_gp(critic_steps):
  rng = np.random.default_rng(0)
  batches = rng.uniform(-1, 1, (3, 8 * critic_steps, 1, 1, 2)).astype(np.float32)
  settings = {"latent": 2, "critic_steps": critic_steps, "optimizer": adam(learning_rate=0.01, b1=0.0, b2=0.9)}
  system = gan(_Point(), _Plane(), shape=(1, 1, 2), objective=WGAN, **settings)
  state, step = jax.jit(system.init)(jax.random.key(0), {"image": batches[0]}), jax.jit(system.step)
  start = [np.asarray(leaf, np.float64) for leaf in (state.params["critic"]["w"], state.params["generator"]["point"])]
  for i, images in enumerate(batches):
    state, _ = step(jax.random.key(i), state, {"image": images})
  w, point = _by_hand(*start, np.asarray(batches, np.float64), critic_steps, 0.01, 10.0, 0.0, 0.9)
  np.testing.assert_allclose(state.params["critic"]["w"], w, rtol=1e-5)
  np.testing.assert_allclose(state.params["generator"]["point"], point, rtol=1e-5)


def test_the_defaults_are_those_of_algorithm_1():
  """Five critic updates a step, and Adam's first step is the learning rate: b1, b2 as in the test above."""
  system = gan(**MLPS, shape=SHAPE, objective=WGAN)
  batch = batches_of(5 * M, 1)[0]
  before = jax.jit(system.init)(jax.random.key(0), batch)
  after, _ = jax.jit(system.step)(jax.random.key(1), before, batch)
  moved = jnp.abs(after.params["generator"]["Dense_1"]["bias"] - before.params["generator"]["Dense_1"]["bias"])
  np.testing.assert_allclose(moved, 1e-4, rtol=1e-2)
  assert after.optimizer["critic"][0].count == 5
  assert after.optimizer["generator"][0].count == 1


class _Diary:
  """A Term that writes down, in its state, the mean of every image and of every latent that it is shown."""

  def __init__(self, updates):
    self.term = Term(lambda: (jnp.zeros((), jnp.int32), jnp.zeros((updates, 3, M))), self._apply)

  def _apply(self, key, state, round):
    index, pages = state
    page = jnp.stack([round.real.mean((1, 2, 3)), round.fake.mean((1, 2, 3)), round.latent.mean(1)])
    return round.fake_out.mean() - round.real_out.mean(), (index + 1, pages.at[index].set(page))


def test_every_update_has_latents_of_its_own_and_a_step_shows_the_critic_each_image_once():
  system = gan_of(objective=Objective(_Diary(6).term, _Diary(2).term), critic_steps=3)
  batches = batches_of(3 * M, 2)
  state, step = jax.jit(system.init)(jax.random.key(0), batches[0]), jax.jit(system.step)
  for i, batch in enumerate(batches):
    state, _ = step(jax.random.key(i), state, batch)
  pages, last = (np.asarray(term[1]) for term in state.memory.values())
  for i, batch in enumerate(batches):
    shown = np.sort(pages[3 * i : 3 * i + 3, 0].ravel())
    np.testing.assert_allclose(shown, np.sort(batch["image"].mean((1, 2, 3))), atol=1e-6)
  latents = np.concatenate([pages[:, 2], last[:, 2]]).ravel()
  assert len(np.unique(latents)) == latents.size
  np.testing.assert_allclose(last[:, 0], pages[[2, 5], 0], atol=1e-6)  # terms that compare see the last part
