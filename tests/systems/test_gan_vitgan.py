"""ViTGAN as the system `gan` trains it: what changes in a step, and that no number depends on the devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contract import Trial, one_device_and_a_grid_of_all_axes_agree

from genjax.nets.vitgan import ViTGANCritic, ViTGANGenerator
from genjax.objectives import zoo
from genjax.systems.gan import gan
from genjax.systems.optimizers import adam, sgd

SMALL = {"patch": 2, "width": 8, "depth": 1, "heads": 2, "ratio": 2}


@pytest.mark.slow
def test_a_step_moves_both_nets_and_the_vectors_but_no_sigma_init():
  shape = (4, 4, 1)
  generator = ViTGANGenerator(shape, mapping_depth=1, **SMALL)
  system = gan(
    generator,
    ViTGANCritic(**SMALL),
    shape=shape,
    objective=zoo.non_saturating(),
    latent=4,
    critic_steps=1,
    optimizer=adam(learning_rate=2e-3, b1=0.0, b2=0.9),
    ema=0.9,
  )
  batch = {"image": jax.random.uniform(jax.random.key(0), (8, *shape), minval=-1)}
  first = jax.jit(system.init)(jax.random.key(1), batch)
  step = jax.jit(system.step)
  state = first
  for number in range(3):
    state, metrics = step(jax.random.key(number), state, batch)
  assert step._cache_size() == 1
  assert all(jnp.isfinite(value) for value in metrics.values())
  for old, new in zip(jax.tree.leaves(first.params), jax.tree.leaves(state.params), strict=True):
    assert not np.array_equal(old, new)
  for (path, old), new in zip(
    jax.tree.leaves_with_path(first.collections["critic"]), jax.tree.leaves(state.collections["critic"]), strict=True
  ):
    same = path[-1].key == "sigma_init" or old.size == 1
    assert np.array_equal(old, new) == same
  assert system.views["sample"](jax.random.key(3), state, 5).shape == (5, *shape)


@pytest.mark.xfail(
  reason="a known fault: the critic's gradient is 7 % off on this grid, its cause not found", strict=True
)
@pytest.mark.slow
def test_the_devices_and_their_grid_change_no_number():
  """With bCR and augmentation."""
  nets = ViTGANGenerator((4, 4, 1), mapping_depth=1, **SMALL), ViTGANCritic(**SMALL)
  settings = {"latent": 4, "critic_steps": 1, "optimizer": sgd(learning_rate=0.01), "augment": "thesis"}
  system = gan(*nets, shape=(4, 4, 1), objective=zoo.vitgan(), **settings)
  keys = jax.random.split(jax.random.key(0), 3)
  batches = [{"image": np.asarray(jax.random.uniform(key, (8, 4, 4, 1), minval=-1))} for key in keys]
  one_device_and_a_grid_of_all_axes_agree(Trial(system, batches))
