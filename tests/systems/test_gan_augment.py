"""The augmentation of a GAN: one draw for all Terms of an update, and gradients that reach the generator."""

import contract
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_gan import SHAPE, M, batches_of, flat, gan_of, one_step

from genjax.nets.mlp import MLPCritic
from genjax.objectives import zoo
from genjax.objectives.terms import Objective, Term, on_logits
from genjax.systems.optimizers import sgd


class _Seen:
  """A Term whose loss is the critic's gap, and whose state is all images of its Round, bare and as the net saw them."""

  def __init__(self):
    self.term = Term(lambda: [jnp.zeros((M, *SHAPE))] * 6, self._apply)

  def _apply(self, key, state, round):
    again = [round.critic(images)[1]["seen"] for images in (round.real, round.fake)]
    seen = [round.real_aux["seen"], round.fake_aux["seen"]]
    return round.fake_out.mean() - round.real_out.mean(), [round.real, round.fake, *seen, *again]


class _Looking(nn.Module):
  @nn.compact
  def __call__(self, images):
    return MLPCritic((4,))(images)[0], {"seen": images}


def _looked(augment, **changes):
  objective = Objective(_Seen().term, _Seen().term)
  system = gan_of(critic=_Looking(), objective=objective, critic_steps=1, augment=augment, **changes)
  batch = batches_of(M, 1)[0]
  _, after = one_step(system, batch)
  return batch["image"], jax.device_get(after.memory)


def _shifts(seen, image):
  """The shifts by up to a pixel that make `seen` of `image`; of a grey image, all."""
  padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
  places = [(dy, dx) for dy in range(3) for dx in range(3)]
  return [(dy, dx) for dy, dx in places if np.allclose(padded[dy : dy + 4, dx : dx + 4], seen, atol=1e-6)]


@pytest.mark.parametrize("order", ["alternating", "simultaneous"])
def test_all_terms_of_an_update_see_every_image_through_one_draw_of_the_augmentation(order):
  images, memory = _looked("translation=1", order=order)
  draws = []
  for real, fake, real_seen, fake_seen, real_again, fake_again in memory.values():
    np.testing.assert_array_equal(real, images)  # Terms of images see them as they are
    np.testing.assert_array_equal(real_again, real_seen)
    np.testing.assert_array_equal(fake_again, fake_seen)
    draw = [_shifts(*pair)[0] for pair in zip(real_seen, real, strict=True)]
    assert all(shift in _shifts(*pair) for shift, *pair in zip(draw, fake_seen, fake, strict=True))
    assert len(set(draw)) > 2
    draws.append(draw)
  assert (draws[0] == draws[1]) == (order == "simultaneous")


def test_without_an_augmentation_the_net_sees_images_as_they_are():
  images, memory = _looked("")
  np.testing.assert_array_equal(memory["critic"][2], images)


def test_gradients_reach_the_generator_through_the_augmentation():
  gap = on_logits(lambda real, fake: fake.mean() - real.mean())
  settings = {"objective": Objective(gap, gap), "critic_steps": 1, "optimizer": sgd(learning_rate=1e-3)}
  plain, shifted = (
    one_step(gan_of(**settings, augment=augment), batches_of(M, 1)[0]) for augment in ("", "translation=1,cutout=1")
  )
  moves = [flat(after.params["generator"]) - flat(before.params["generator"]) for before, after in (plain, shifted)]
  assert np.abs(moves[1]).max() > 0
  assert not np.allclose(*moves)


@pytest.mark.slow
def test_an_augmented_step_is_the_same_on_one_device_and_on_eight():
  objective = zoo.vitgan(gamma=0.1)
  settings = {"critic_steps": 1, "optimizer": sgd(learning_rate=1e-3), "objective": objective, "augment": "thesis"}
  contract.one_device_and_eight_agree(contract.Trial(gan_of(**settings), batches_of(M)))
