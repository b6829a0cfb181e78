from functools import cache

import contract
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.mlp import MLPCritic, MLPGenerator
from genjax.objectives.boosting import training_weights
from genjax.objectives.zoo import OBJECTIVES
from genjax.systems.adagan import adagan, redraw

SHAPE = (4, 4, 1)
STAGES = {"components": 3, "component_steps": 2, "mixture_critic_steps": 1, "candidates": 2}


def _system(**changes):
  nets = (MLPGenerator(SHAPE, (8,)), MLPCritic((8,)))
  objective = OBJECTIVES["non_saturating"]()
  return adagan(*nets, **({"shape": SHAPE, "objective": objective, "latent": 3, "ema": 0.9} | STAGES | changes))


def _batches(size=8):
  images = np.random.default_rng(0).uniform(-1, 1, (3, size, *SHAPE)).astype(np.float32)
  return [{"image": image} for image in images]


@cache
def _trial():
  return contract.Trial(_system(), _batches())


def test_stages_follow_each_other_and_a_finished_generator_is_left_alone():
  trial, state = _trial(), _trial().start()
  seen = []
  for i in range(8):  # mixture critic and generator of stages 2 and 3 have a step each; the last generator goes on
    before = jax.device_get(state.params)
    state, metrics = trial.step(jax.random.key(i), state, trial.batches[i % 3])
    leaves = zip(jax.tree.leaves(before), jax.tree.leaves(jax.device_get(state.params)), strict=True)
    moved = [any(not np.array_equal(a[k], b[k]) for a, b in leaves) for leaves, k in ((list(leaves), 0),)]
    seen.append(
      (
        int(metrics["component"]),
        bool(metrics["mixture_critic_loss"] != 0),
        bool(metrics["generator_loss"] != 0),
        moved[0],
      )
    )
  assert seen == [
    (1, False, True, True),
    (1, False, True, True),
    (2, True, False, False),
    (2, False, True, False),
    (3, True, False, False),
    (3, False, True, False),
    (3, False, True, False),
    (3, False, True, False),
  ]


class _Point(nn.Module):
  """Always the same image."""

  @nn.compact
  def __call__(self, latent):
    point = self.param("point", nn.initializers.zeros, SHAPE)
    return jnp.broadcast_to(point, (latent.shape[0], *SHAPE))


def test_the_mixture_is_of_the_generators_that_have_trained():
  nets = (_Point(), MLPCritic((8,)))
  system = adagan(*nets, **({"shape": SHAPE, "objective": OBJECTIVES["non_saturating"](), "latent": 3} | STAGES))
  state = system.init(jax.random.key(0), _batches()[0])
  points = jnp.arange(3.0).reshape(3, 1, 1, 1) / 4 * jnp.ones((3, *SHAPE))
  state = state._replace(params={"params": {"point": points}})
  sample = jax.jit(system.views["sample"], static_argnums=2)
  for step, shares in (
    (1, (1, 0, 0)),
    (3, (1, 0, 0)),
    (4, (1 / 2, 1 / 2, 0)),
    (5, (1 / 2, 1 / 2, 0)),
    (6, (1 / 3,) * 3),
  ):
    images = np.asarray(sample(jax.random.key(1), state._replace(step=jnp.int32(step)), 3000))[:, 0, 0, 0]
    np.testing.assert_allclose([(images == k / 4).mean() for k in range(3)], shares, atol=0.04, err_msg=str(step))


def test_images_are_redrawn_as_often_as_they_weigh():
  weights = np.array([0.0, 0.5, 0.125, 0.0, 0.25, 0.125], np.float32)
  places = jax.jit(redraw, static_argnums=2)(jax.random.key(0), jnp.asarray(weights), 16)
  np.testing.assert_array_equal(np.bincount(places, minlength=6), 16 * weights)
  assert not np.array_equal(places, np.sort(places))
  for seed in range(5):
    uneven = jax.nn.softmax(jax.random.normal(jax.random.key(seed), (9,)))
    counts = np.bincount(redraw(jax.random.key(seed), uneven, 7), minlength=9)
    assert (np.abs(counts - 7 * np.asarray(uneven)) < 1 + 1e-4).all()


def test_what_the_mixture_never_makes_fills_the_next_generators_batch():
  """A mixture of the first of two equal modes: half of the data have h = 2, the others 0; beta is 1/2."""
  logits = jnp.log(jnp.array([0.5] * 8 + [1e6] * 8))
  places = redraw(jax.random.key(0), training_weights(logits, 0.5), 16)
  assert (np.asarray(places) >= 8).all()


def test_settings_that_do_not_go_together_are_refused():
  with pytest.raises(ValueError, match="component_steps 1 leave no step"):
    _system(component_steps=1)
  with pytest.raises(ValueError, match="candidates 0; use at least 1"):
    _system(candidates=0)
  with pytest.raises(ValueError, match="batch 9 is not a multiple of candidates 2 times critic_steps 1"):
    _system().init(jax.random.key(0), _batches(9)[0])
  spectral = (MLPGenerator(SHAPE, (8,)), MLPCritic((8,), spectral=True))
  system = adagan(*spectral, shape=SHAPE, objective=OBJECTIVES["non_saturating"](), **STAGES)
  with pytest.raises(ValueError, match="use a critic with params alone"):
    system.init(jax.random.key(0), _batches()[0])
