"""Statistics, dropout and noise of a GAN's nets: which updates move them, and that each has draws of its own."""

from functools import cache

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from small_gan import SHAPE, STILL, M, batches_of, gan_of, one_step

from genjax.objectives.terms import Objective, Term


class _Drawing(nn.Module):
  """Images whose first pixels are drawn from its streams of dropout and of noise; it counts its training passes."""

  @nn.compact
  def __call__(self, latent, *, train=False):
    passes = self.variable("batch_stats", "passes", jnp.zeros, ())
    scale, images = self.param("scale", nn.initializers.ones, ()), jnp.zeros((len(latent), *SHAPE))
    if train:
      passes.value += 1
    for place, stream in enumerate(("dropout", "noise")):
      if self.has_rng(stream):
        images = images.at[:, 0, place].set(jax.random.uniform(self.make_rng(stream), (len(latent), 1)))
    return scale * images


class _Averaging(nn.Module):
  """Its logit is the image's mean; it counts its training passes, and adds up the means of what it saw in them."""

  @nn.compact
  def __call__(self, images, *, train=False):
    seen = self.variable("batch_stats", "seen", jnp.zeros, (2,))
    if train:
      seen.value += jnp.stack([1.0, images.mean()])
    return self.param("w", nn.initializers.ones, ()) * images.mean((1, 2, 3)), {}


@cache
def _watched():
  """A system, its state after a step, the images of that, and the fakes of both critic updates and the generator's."""

  def apply(key, state, round):
    index, fakes = state
    return round.fake_out.mean(), (index + 1, fakes.at[index].set(round.fake))

  keep = lambda updates: Term(lambda: (jnp.zeros((), jnp.int32), jnp.zeros((updates, M, *SHAPE))), apply)
  objective = Objective(keep(2), keep(1))
  nets = {"generator": _Drawing(), "critic": _Averaging()}
  system = gan_of(**nets, objective=objective, critic_steps=2, optimizer=STILL, sample_batch=4)
  batch = batches_of(2 * M, 1)[0]
  _, after = one_step(system, batch)
  fakes = np.concatenate([after.memory[player][1] for player in ("critic", "generator")])
  return system, after, batch["image"], fakes


def test_statistics_move_in_their_own_nets_updates_and_a_critics_by_reals_as_much_as_by_fakes():
  _, after, images, fakes = _watched()
  assert after.collections["generator"]["batch_stats"]["passes"] == 1
  wanted = [2, images.mean() + fakes[:2].mean()]  # two updates, of each the mean over reals and fakes
  np.testing.assert_allclose(after.collections["critic"]["batch_stats"]["seen"], wanted, rtol=1e-4)


def test_every_update_draws_dropout_and_noise_of_their_own():
  drawn = _watched()[3][:, :, 0, :2]
  assert len(np.unique(drawn.round(5))) > drawn.size - 3  # 48 numbers, hardly ever two alike


def test_samples_that_are_not_made_together_have_noise_of_their_own():
  system, after, *_ = _watched()
  images = jax.jit(system.views["sample"], static_argnums=2)(jax.random.key(3), after, 12)
  assert len(np.unique(images[:, 0, 1].round(5))) == 12
