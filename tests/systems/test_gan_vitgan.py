"""ViTGAN as the system `gan` trains it, with bCR and augmentation: what changes in a step, on any devices."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contract import Trial, one_device_and_a_grid_of_all_axes_agree, one_device_and_eight_agree

from genjax.nets.vitgan import ViTGANCritic, ViTGANGenerator
from genjax.objectives import zoo
from genjax.systems.gan import gan
from genjax.systems.optimizers import sgd

SMALL = {"patch": 2, "width": 8, "depth": 1, "heads": 2, "ratio": 2}


SHAPE = (4, 4, 1)


@cache
def trial():
  generator = ViTGANGenerator(SHAPE, mapping_depth=1, **SMALL)
  system = gan(
    generator,
    ViTGANCritic(**SMALL),
    shape=SHAPE,
    objective=zoo.vitgan(),
    latent=4,
    critic_steps=1,
    optimizer=sgd(learning_rate=0.01),
    ema=0.9,
    augment="thesis",
  )
  keys = jax.random.split(jax.random.key(0), 3)
  return Trial(system, [{"image": np.asarray(jax.random.uniform(key, (8, *SHAPE), minval=-1))} for key in keys])


@pytest.mark.slow
def test_a_step_moves_both_nets_and_the_vectors_but_no_sigma_init():
  first, (state, metrics) = trial().start(), trial().run(trial().start(), 0, 3)
  assert all(jnp.isfinite(value) for value in metrics[-1].values())
  for old, new in zip(jax.tree.leaves(first.params), jax.tree.leaves(state.params), strict=True):
    assert not np.array_equal(old, new)
  for (path, old), new in zip(
    jax.tree.leaves_with_path(first.collections["critic"]), jax.tree.leaves(state.collections["critic"]), strict=True
  ):
    same = path[-1].key == "sigma_init" or old.size == 1
    assert np.array_equal(old, new) == same
  assert trial().sample(jax.random.key(3), state, 5).shape == (5, *SHAPE)


@pytest.mark.slow
@pytest.mark.parametrize("agree", [one_device_and_eight_agree, one_device_and_a_grid_of_all_axes_agree])
def test_the_devices_and_their_grid_change_no_number(agree):
  agree(trial())
