"""Every system as a TPU will run it, small enough to compile in seconds: a later system adds a row here.

Checked  tests/test_tpu.py compiles each row for the slices it names.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from genjax.core import System
from genjax.nets.convnet import ConvNet
from genjax.nets.dcgan import DCGANCritic, DCGANGenerator
from genjax.nets.noise import decoder
from genjax.objectives.zoo import OBJECTIVES
from genjax.systems.gan import gan
from genjax.systems.winn import winn
from genjax.systems.winn_classifier import winn_classifier


class Row(NamedTuple):
  """A system, depth-reduced, and what is known of it beforehand."""

  build: Callable[[int], System]  # from the capacity of its pool; a system without a pool ignores it
  batch: dict[str, jax.ShapeDtypeStruct]  # one step's global batch
  capacities: tuple[int, int] | None  # two sizes of the pool that divide over all devices; None: there is no pool
  activation: tuple[int, ...]  # [H, W, C] of an inner layer that no other array has: it tells the images in work
  ascended: int  # images that are generated together, over all devices, by the step and by the sampler
  samples: int  # asked of the sampler; several times `ascended`
  image: tuple[int, int, int]


def _winn(capacity: int) -> System:
  return winn(
    ConvNet(((32, 64), (64, 64))),
    decoder((32, 32, 3), width=64),
    shape=(32, 32, 3),
    minibatch=64,
    ascent_steps=20,
    synthesis=256,
    synthesis_batch=128,
    initial=256,
    capacity=capacity,
    ema=0.99,
  )


def _gan(capacity: int) -> System:
  del capacity
  return gan(
    DCGANGenerator((32, 32, 3), (64, 48)),
    DCGANCritic((32, 64), norm="layer"),
    shape=(32, 32, 3),
    objective=OBJECTIVES["wgan_gp"](),
    critic_steps=4,
    ema=0.99,
    sample_batch=64,
  )


def _winn_classifier(capacity: int) -> System:
  return winn_classifier(
    ConvNet(((32, 64), (64, 64)), classes=4),
    decoder((32, 32, 3), width=64),
    shape=(32, 32, 3),
    classes=4,
    minibatch=64,
    ascent_steps=20,
    synthesis=64,
    synthesis_batch=128,
    initial=64,
    capacity=capacity // 4,  # of each class
    ema=0.99,
  )


ROWS = {
  "winn": Row(
    build=_winn,
    batch={"image": jax.ShapeDtypeStruct((256, 32, 32, 3), jnp.float32)},
    capacities=(512, 2048),
    activation=(32, 32, 32),
    ascended=128,
    samples=512,
    image=(32, 32, 3),
  ),
  "winn_classifier": Row(
    build=_winn_classifier,
    batch={
      "image": jax.ShapeDtypeStruct((256, 32, 32, 3), jnp.float32),
      "label": jax.ShapeDtypeStruct((256,), jnp.int32),
    },
    capacities=(512, 2048),
    activation=(32, 32, 32),
    ascended=128,
    samples=512,
    image=(32, 32, 3),
  ),
  "gan": Row(
    build=_gan,
    batch={"image": jax.ShapeDtypeStruct((256, 32, 32, 3), jnp.float32)},
    capacities=None,
    activation=(16, 16, 48),
    ascended=64,
    samples=512,
    image=(32, 32, 3),
  ),
}
