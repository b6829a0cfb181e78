from functools import cache

import contract
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.build import build
from genjax.nets.mlp import MLPCritic, MLPGenerator
from genjax.studies.runs import settings
from genjax.systems.d2gan import Twins, d2gan

SHAPE = (4, 4, 1)


def _system(**changes):
  nets = (MLPGenerator(SHAPE, (8,)), MLPCritic((8,)), MLPCritic((8,)))
  return d2gan(*nets, **({"shape": SHAPE, "latent": 3, "ema": 0.9} | changes))


def _batches(size=8):
  images = np.random.default_rng(0).uniform(-1, 1, (3, size, *SHAPE)).astype(np.float32)
  return [{"image": image} for image in images]


@cache
def _trial():
  return contract.Trial(_system(), _batches())


@pytest.mark.parametrize("promise", contract.PROMISES, ids=lambda promise: promise.__name__)
def test_d2gan_keeps_the_contract(promise):
  promise(_trial())


def test_one_device_and_eight_agree():
  contract.one_device_and_eight_agree(contract.Trial(_system(optimizer="sgd", rate=0.01), _batches()))


def test_critics_share_no_weight_and_start_apart():
  params = _trial().start().params.critic
  assert set(params) == {"first", "second"}
  pairs = zip(jax.tree.leaves(params["first"]), jax.tree.leaves(params["second"]), strict=True)
  assert any(not np.array_equal(a, b) for a, b in pairs)


def test_losses_are_the_papers_by_numpy():
  system = _system(optimizer="sgd", rate=0.0, ema=0.0)
  state = system.init(jax.random.key(0), _batches()[0])
  still = jax.tree.map(jnp.zeros_like, state.params.critic)  # all logits are then the last bias
  for name, value in (("first", 0.7), ("second", -0.4)):
    still[name] = jax.tree.map(
      lambda leaf, value=value: jnp.full(1, value) if leaf.shape == (1,) else leaf, still[name]
    )
  state = state._replace(params=state.params._replace(critic=still))
  _, told = system.step(jax.random.key(1), state, _batches()[0])
  first, second = np.log1p(np.exp(0.7)), np.log1p(np.exp(-0.4))
  critics = 0.2 * np.log(first) - first - second + 0.1 * np.log(second)
  np.testing.assert_allclose(told["critic_loss"], -critics, rtol=1e-5)
  np.testing.assert_allclose(told["generator_loss"], -first + 0.1 * np.log(second), rtol=1e-5)


def test_weights_of_the_divergences_out_of_range_are_refused():
  with pytest.raises(ValueError, match=r"alpha 0 is not in \(0, 1\]"):
    _system(alpha=0)
  with pytest.raises(ValueError, match=r"beta 2 is not in \(0, 1\]"):
    _system(beta=2)


def test_the_config_builds_and_its_first_critic_is_its_score():
  parts = build(settings("d2gan_ring", {"data.batch": 8, "net.widths": (8,), "generator.widths": (8,)}))
  state = parts.system.init(jax.random.key(0), parts.data.batch(0))
  points = jnp.zeros((3, 1, 1, 2))
  twins = Twins(MLPCritic((8,)), MLPCritic((8,)))
  np.testing.assert_array_equal(
    parts.views["score"](state)(points), twins.apply({"params": state.params.critic}, points)[0]
  )
