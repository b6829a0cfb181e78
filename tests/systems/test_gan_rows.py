"""Every row of the zoo with a generator in the system `gan`, with the optimisers and the critic that it names."""

import jax
import numpy as np
import pytest

from genjax.nets.autoencoder import Autoencoder
from genjax.nets.mlp import MLPCritic, MLPGenerator
from genjax.objectives.rows import PLAYED, ROWS
from genjax.objectives.zoo import OBJECTIVES
from genjax.systems import optimizers
from genjax.systems.gan import gan
from genjax.systems.updates import clipped

SHAPE = (1, 1, 2)


def _system(name, **settings):
  row = ROWS[name]
  critic = {
    "plain": MLPCritic((8,)),
    "spectral": MLPCritic((8,), spectral=True),
    "autoencoder": Autoencoder((8,), code=4, error=row.error),
  }[row.critic]
  arguments = {"pad": 0} if row.shifts else {"features": 8} if name == "denoising" else {}
  made = {key: _optimizer(value) if isinstance(value, dict) else value for key, value in row.needs.items()}
  objective = OBJECTIVES[name](**arguments)
  return gan(MLPGenerator(SHAPE, (8,)), critic, shape=SHAPE, objective=objective, latent=3, **made | settings)


def test_clipping_holds_the_encoder_of_a_critic_and_leaves_its_decoder():
  params = Autoencoder((8,), code=4).init(jax.random.key(0), np.ones((1, *SHAPE), np.float32))["params"]
  after = clipped(0.01, params)
  for before, leaf in zip(jax.tree.leaves(params["encoder"]), jax.tree.leaves(after["encoder"]), strict=True):
    np.testing.assert_array_equal(leaf, np.clip(before, -0.01, 0.01))
  jax.tree.map(np.testing.assert_array_equal, after["decoder"], params["decoder"])
  assert all(max(np.abs(leaf).max() for leaf in jax.tree.leaves(params[part])) > 0.01 for part in params)


def _optimizer(section):
  return getattr(optimizers, section["name"])(**{key: value for key, value in section.items() if key != "name"})


@pytest.mark.slow
@pytest.mark.parametrize(
  ("row", "rule"),
  [
    *((row, {"consensus": 0.5}) for row in PLAYED),
    *((row, {"unroll": 2}) for row in ("wgan_gp", "sn_gan", "ebgan", "style_gan", "big_gan")),
  ],
  ids=lambda each: each if isinstance(each, str) else next(iter(each)),
)
def test_every_row_can_be_unrolled_and_brought_to_consensus(row, rule):
  """Traced, not compiled: each rule differentiates the losses once more, and all of them have that derivative."""
  system = _system(row, critic_steps=1, order="simultaneous", **rule)
  batch = {"image": np.zeros((8, *SHAPE), np.float32)}
  state = jax.eval_shape(system.init, jax.random.key(0), batch)
  after, _ = jax.eval_shape(system.step, jax.random.key(0), state, batch)
  forms = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), each) for each in (state, after)]
  assert forms[0] == forms[1]
