"""A system of each kind as a TPU will run it, small enough to compile in seconds.

Checked  tests/test_tpu.py compiles each row for the slice that it names.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from genjax.core import System
from genjax.nets.coder import ConvDecoder, ConvEncoder
from genjax.nets.conv4 import Conv4
from genjax.nets.convnet import ConvNet
from genjax.nets.dcgan import DCGANCritic, DCGANGenerator
from genjax.nets.noise import decoder
from genjax.objectives.zoo import OBJECTIVES
from genjax.systems.gan import gan
from genjax.systems.heads import svm
from genjax.systems.metaoptnet import metaoptnet
from genjax.systems.vae import vae
from genjax.systems.winn import winn

SHAPE = (32, 32, 3)
WAYS = 5


class Row(NamedTuple):
  """A system, depth-reduced, and what is known of it beforehand."""

  slice: str  # what it is compiled for
  build: Callable[[int], System]  # from the capacity of its pool; a system without a pool ignores it
  capacities: tuple[int, ...]  # two sizes of the pool that divide over all devices; (0,): there is no pool
  activation: tuple[int, ...]  # [H, W, C] of an inner layer that no other array has: it shows the images in work
  in_step: int  # images that have this activation together, over all devices, in the step
  updates: Mapping[str, int]  # player -> its updates in a step; "": all parameters
  beside: int  # bytes of batch statistics and scalars that a step sends at most, beside the gradients
  in_sample: int = 0  # and in the sampler; 0: there is none
  samples: int = 512  # asked of the sampler
  batch: int = 256  # images, or episodes where `shots` says how many supports of each class they have
  shots: int = 0


def batch_of(row: Row) -> dict[str, jax.ShapeDtypeStruct]:
  """One step's global batch."""
  if not row.shots:
    return {"image": jax.ShapeDtypeStruct((row.batch, *SHAPE), jnp.float32)}
  images = {"support": WAYS * row.shots, "query": WAYS * row.shots}
  episodes = {name: jax.ShapeDtypeStruct((row.batch, n, *SHAPE), jnp.float32) for name, n in images.items()}
  labels = {f"{name}_label": jax.ShapeDtypeStruct((row.batch, n), jnp.int32) for name, n in images.items()}
  return episodes | labels


def _winn(capacity: int) -> System:
  return winn(
    ConvNet(((32,),)),
    decoder(SHAPE, width=64),
    shape=SHAPE,
    minibatch=64,
    ascent_steps=20,
    synthesis=256,
    synthesis_batch=128,
    initial=256,
    capacity=capacity,
    ema=0.99,
  )


def _gan(_: int) -> System:
  return gan(
    DCGANGenerator(SHAPE, (64, 48)),
    DCGANCritic((32, 64), norm="layer"),
    shape=SHAPE,
    objective=OBJECTIVES["wgan_gp"](),
    critic_steps=4,
    ema=0.99,
    sample_batch=64,
  )


def _vae(_: int) -> System:
  return vae(ConvEncoder((32, 64)), ConvDecoder(SHAPE, (48, 24)), shape=SHAPE, ema=0.99)


def _metaoptnet(_: int) -> System:
  return metaoptnet(Conv4(24), svm(ways=WAYS), shape=SHAPE, ways=WAYS, together=True)


# v3:4x4 has 32 devices, v4:2x2x4 has 16. Batch norms sum over images before places, so gan's send [8, 8, 64] for [64].
ROWS = {
  "winn": Row("v3:4x4", _winn, (512, 2048), (32, 32, 32), in_step=128, updates={"": 12}, beside=1 << 10, in_sample=128),
  "gan": Row("v4:2x2x4", _gan, (0,), (16, 16, 48), 64, {"critic": 4, "generator": 1}, 240_000, in_sample=64),
  "vae": Row("v4:2x2x4", _vae, (0,), (16, 16, 24), in_step=256, updates={"": 1}, beside=16 << 10, in_sample=512),
  "metaoptnet": Row(
    "v4:2x2x4", _metaoptnet, (0,), (32, 32, 24), in_step=160, updates={"": 1}, beside=4 << 10, batch=16, shots=1
  ),
}
