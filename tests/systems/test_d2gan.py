import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.mlp import MLPCritic, MLPGenerator
from genjax.systems.d2gan import d2gan
from genjax.systems.optimizers import sgd

SHAPE = (4, 4, 1)


def _system(**changes):
  nets = (MLPGenerator(SHAPE, (8,)), MLPCritic((8,)))
  return d2gan(*nets, **({"shape": SHAPE, "latent": 3, "ema": 0.9} | changes))


def _batches(size=8):
  images = np.random.default_rng(0).uniform(-1, 1, (3, size, *SHAPE)).astype(np.float32)
  return [{"image": image} for image in images]


def test_critics_share_no_weight_and_start_apart():
  params = _system().init(jax.random.key(0), _batches()[0]).params["critic"]
  assert set(params) == {"first", "second"}
  pairs = zip(jax.tree.leaves(params["first"]), jax.tree.leaves(params["second"]), strict=True)
  assert any(not np.array_equal(a, b) for a, b in pairs)


def test_losses_are_the_papers_by_numpy():
  system = _system(optimizer=sgd(learning_rate=1e-30), ema=0.0)
  state = system.init(jax.random.key(0), _batches()[0])
  still = jax.tree.map(jnp.zeros_like, state.params["critic"])  # all logits are then the last bias
  for name, value in (("first", 0.7), ("second", -0.4)):
    still[name] = jax.tree.map(
      lambda leaf, value=value: jnp.full(1, value) if leaf.shape == (1,) else leaf, still[name]
    )
  state = state._replace(params={**state.params, "critic": still})
  _, metrics = system.step(jax.random.key(1), state, _batches()[0])
  first, second = np.log1p(np.exp(0.7)), np.log1p(np.exp(-0.4))
  critics = 0.2 * np.log(first) - first - second + 0.1 * np.log(second)
  np.testing.assert_allclose(metrics["critic_loss"], -critics, rtol=1e-5)
  np.testing.assert_allclose(metrics["generator_loss"], -first + 0.1 * np.log(second), rtol=1e-5)


def test_weights_of_the_divergences_out_of_range_are_refused():
  with pytest.raises(ValueError, match=r"alpha 0 is not in \(0, 1\]"):
    _system(alpha=0)
  with pytest.raises(ValueError, match=r"beta 2 is not in \(0, 1\]"):
    _system(beta=2)


def test_the_score_is_that_of_the_first_critic_and_a_second_kind_may_be_given():
  nets = (MLPGenerator(SHAPE, (8,)), MLPCritic((8,)), MLPCritic((4,)))
  system = d2gan(*nets, shape=SHAPE, latent=3)
  state = system.init(jax.random.key(0), _batches()[0])
  images = _batches()[1]["image"]
  logits, _ = nets[1].apply({"params": state.params["critic"]["first"]}, images)
  np.testing.assert_array_equal(system.views["score"](state, images), logits)
  assert state.params["critic"]["second"]["Dense_0"]["kernel"].shape == (16, 4)
