"""A small WINN of 8x8 images, its batches, and the mean pixel as a critic."""

import flax.linen as nn
import jax
import numpy as np

from genjax.nets.convnet import ConvNet
from genjax.nets.noise import decoder
from genjax.ops import langevin
from genjax.systems.optimizers import adam
from genjax.systems.winn import winn

SHAPE = (8, 8, 1)
MINIBATCH, BATCH, SYNTHESIS, INITIAL, CAPACITY = 8, 32, 16, 16, 48
NET = ConvNet(((8, 8), (16,)))
NOISE = decoder(SHAPE, width=8)
KEY = jax.random.key(0)


def adam_of(**settings):
  return adam(learning_rate=1e-3, b1=0.0, b2=0.9, **settings)


def winn_of(**changes):
  settings = {
    "passes": 2,
    "minibatch": MINIBATCH,
    "optimizer": adam_of(),
    "sampler": langevin.adam(learning_rate=0.05),
    "ascent_steps": 12,
    "synthesis": SYNTHESIS,
    "synthesis_batch": SYNTHESIS,
    "initial": INITIAL,
    "capacity": CAPACITY,
  }
  return winn(NET, NOISE, shape=SHAPE, **(settings | changes))


def batches_of(count=3, size=BATCH):
  rng = np.random.default_rng(0)
  return [{"image": rng.uniform(-1, 1, (size, *SHAPE)).astype(np.float32)} for _ in range(count)]


def f_of(params, images):
  """f of each image by itself."""
  return np.concatenate([NET.apply(params, image[None])[0] for image in images])


class Mean(nn.Module):
  """f is the mean pixel: Adam climbs it in moves of its learning rate, so f of a sample shows its threshold."""

  @nn.compact
  def __call__(self, images):
    scale = self.param("scale", nn.initializers.ones, (1,))
    return scale * images.mean((1, 2, 3)), {}
