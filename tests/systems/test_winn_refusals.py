"""What WINN refuses: settings that cannot work, batches and nets that do not fit; and its defaults."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from small_winn import NET, NOISE, SHAPE, Mean, batches_of, winn_of

from genjax.nets.dcgan import DCGANCritic
from genjax.nets.noise import gaussian
from genjax.objectives.zoo import winn_objective
from genjax.systems.winn import winn


@pytest.mark.parametrize(
  ("changes", "says"),
  [
    ({"synthesis": 20}, "synthesis 20 is not a multiple of the minibatch 8; use 16"),
    ({"initial": 4}, "initial 4 is not a multiple of the minibatch 8; use 8"),
    ({"capacity": 50}, "capacity 50 is not a multiple of the minibatch 8; use 48"),
    ({"initial": 56}, "initial 56 is more than the pool's capacity 48"),
    ({"synthesis_batch": 12}, "synthesis_batch 12 must divide synthesis 16 and be a multiple of minibatch 8"),
    ({"synthesis_batch": 4}, "synthesis_batch 4 must divide"),
    ({"ema": 1.0}, r"ema 1.0 is not in \[0, 1\)"),
    ({"passes": 0}, "passes 0; use at least 1"),
    ({"minibatch": 0}, "minibatch 0; use at least 1"),
    ({"ramp": 0}, "ramp 0; use at least 1"),
    ({"stop": "image"}, "stop 'image'; use 'example' or 'batch'"),
    ({"policy": "newest"}, "policy 'newest'; use 'reservoir' or 'ring'"),
    ({"pool_dtype": "float16"}, "pool_dtype 'float16'; use 'float32' or 'uint8'"),
  ],
)
def test_what_cannot_work_is_refused_before_anything_is_compiled(changes, says):
  with pytest.raises(ValueError, match=says):
    winn_of(**changes)


def test_a_batch_that_does_not_fit_is_refused():
  system = winn_of()
  with pytest.raises(ValueError, match="batch 20 is not a multiple of the minibatch 8"):
    jax.eval_shape(system.init, jax.random.key(0), batches_of(1, 20)[0])
  with pytest.raises(ValueError, match=r"images are \(4, 4, 1\), the system was built for \(8, 8, 1\)"):
    jax.eval_shape(system.init, jax.random.key(0), {"image": jnp.zeros((32, 4, 4, 1))})


class _Bare(nn.Module):
  """No critic: it returns logits without an aux."""

  @nn.compact
  def __call__(self, images):
    return Mean()(images)[0]


@pytest.mark.parametrize(
  ("net", "says"),
  [
    (_Bare(), r"_Bare returns \(1,\) for 1 image; a critic returns \(logits \[B\], aux\)"),
    (DCGANCritic((4,), norm="spectral"), "DCGANCritic keeps spectral; use a net without batch or spectral normalis"),
    (DCGANCritic((4, 4), norm="batch"), "DCGANCritic keeps batch_stats"),
  ],
)
def test_a_net_that_is_no_critic_of_single_images_is_refused(net, says):
  system = winn(net, NOISE, shape=SHAPE, minibatch=8, synthesis=8, synthesis_batch=8, initial=8, capacity=8)
  with pytest.raises(ValueError, match=says):
    jax.eval_shape(system.init, jax.random.key(0), batches_of()[0])


def test_the_defaults_are_the_papers():
  """k = 3, minibatches of 50, and a pool and synthesis that they divide: it builds, with the default objective."""
  system = winn(NET, gaussian(SHAPE), shape=SHAPE)
  state = jax.eval_shape(system.init, jax.random.key(0), {"image": jnp.zeros((50, *SHAPE))})
  assert state.pool.images.shape == (50, 200, math.prod(SHAPE))
  assert len(state.terms) == len(winn_objective().critic.init()) == 2
