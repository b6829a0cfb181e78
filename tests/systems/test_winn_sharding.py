"""The pool stays where it is: WINN on 8 devices sends gradients and scalars, no image, and ends where 1 device does."""

import math
import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.convnet import ConvNet
from genjax.nets.noise import decoder
from genjax.ops import langevin
from genjax.systems.winn import winn
from genjax.train import plan
from genjax.train.mesh import make_mesh, place, state_shardings

SHAPE = (8, 8, 1)
WIDTH = 12  # channels of the first convolution: its output [B, 8, 8, 12] tells how many images a device works on
MINIBATCH, CHUNK, SYNTHESIS, BATCH, CAPACITY = 16, 48, 96, 32, 256
BATCH_SHAPES = {"image": jax.ShapeDtypeStruct((BATCH, *SHAPE), jnp.float32)}


def system():
  return winn(
    ConvNet(((WIDTH,), (16,))),
    decoder(SHAPE, width=16),
    shape=SHAPE,
    # Linear in the gradient: Adam's first move is its sign, which rounding flips (platform.md, Determinism).
    sampler=langevin.langevin(0.01),
    passes=2,
    minibatch=MINIBATCH,
    ascent_steps=6,
    synthesis=SYNTHESIS,
    synthesis_batch=CHUNK,
    initial=64,
    capacity=CAPACITY,
    ema=0.9,
    queues=8,
  )


@cache
def step_plan():
  """What follows the capacity of the pool is read of a TPU's programs, in tests/test_tpu.py."""
  return plan.compile_step(system(), BATCH_SHAPES, make_mesh())


def at_work(text):
  """Numbers of images whose first activations one device computes together."""
  side = f"{SHAPE[0]},{SHAPE[1]},{WIDTH}"
  return {math.prod(map(int, lead.split(","))) for lead in re.findall(rf"f32\[((?:\d+,?)+),{side}\]", text)}


def test_a_step_sends_only_sums_of_gradients_and_scalars():
  exchanges = step_plan().collectives
  assert {exchange.name for exchange in exchanges} == {"all-reduce"}
  parameters = sum(size for path, size in step_plan().state.items() if path.startswith("params/"))
  assert sum(exchange.bytes for exchange in exchanges) < 5 * parameters  # one gradient of each summand of the loss


@pytest.mark.slow
def test_each_device_holds_its_share_of_the_pool_and_gives_it_back_in_place():
  share = CAPACITY // 8 * math.prod(SHAPE) * 4
  assert step_plan().state["pool/images"] == share
  assert step_plan().memory["alias"] >= share


def test_each_device_ascends_only_its_share_of_the_synthesis():
  assert max(at_work(step_plan().text)) == CHUNK // 8


def test_each_device_samples_only_its_share_of_every_batch():
  n = 4 * CHUNK
  planned = plan.compile_sample(system(), BATCH_SHAPES, make_mesh(), n)
  assert max(at_work(planned.text)) == CHUNK // 8
  gathers = [exchange for exchange in planned.collectives if exchange.name != "all-reduce"]
  assert [(gather.name, gather.bytes) for gather in gathers] == [("all-gather", n * math.prod(SHAPE) * 4)]  # the result


@pytest.mark.slow
def test_the_initial_pool_is_made_without_any_exchange():
  assert plan.compile_init(system(), BATCH_SHAPES, make_mesh()).collectives == ()


@pytest.mark.slow
def test_two_steps_on_one_device_and_on_eight_agree():
  images = np.random.default_rng(0).uniform(-1, 1, (2, BATCH, *SHAPE)).astype(np.float32)
  (one, metrics_one), (eight, metrics_eight) = (_trained(n, images) for n in (1, 8))
  assert {shard.data.shape for shard in eight.pool.images.addressable_shards} == {(2, 16, math.prod(SHAPE))}
  assert metrics_one["moves"] > 1  # else nothing was ascended
  for name in metrics_one:
    np.testing.assert_allclose(metrics_eight[name], metrics_one[name], rtol=2e-5, atol=1e-5, err_msg=name)
  np.testing.assert_array_equal(eight.pool.count, one.pool.count)
  np.testing.assert_allclose(eight.pool.images, one.pool.images, atol=1e-5)


def _trained(devices, images):
  mesh, built = make_mesh(jax.devices()[:devices]), system()
  batches = [place(mesh, {"image": image}) for image in images]
  shardings = state_shardings(mesh, jax.eval_shape(built.init, jax.random.key(0), batches[0]))
  state = jax.jit(built.init, out_shardings=shardings)(jax.random.key(0), batches[0])
  step = jax.jit(built.step, donate_argnums=1, out_shardings=(shardings, None))
  for i, batch in enumerate(batches):
    state, metrics = step(jax.random.key(i + 1), state, batch)
  return state, metrics
