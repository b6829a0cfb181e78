"""A small WINN that classifies 8x8 images, its batches, and cross-entropy by hand."""

from functools import partial

import flax.linen as nn
import jax
import numpy as np

from genjax.nets.convnet import ConvNet
from genjax.nets.heads import Drop
from genjax.nets.noise import decoder
from genjax.ops import langevin
from genjax.systems.winn_classifier import winn_classifier

SHAPE, CLASSES = (8, 8, 1), 3
MINIBATCH, BATCH, SYNTHESIS, INITIAL, CAPACITY = 8, 32, 16, 8, 40
NOISE = decoder(SHAPE, width=8)
BASELINE = {"alpha": 0.0, "synthesis": 0}


class Net(nn.Module):
  """The released arrangement: f is a linear layer on the class logits."""

  dropout: float = 0.0

  @nn.compact
  def __call__(self, images, *, train=False):
    _, aux = ConvNet(((8,), (8,)))(images)
    features = Drop(self.dropout)(aux["features"], train)
    logits = nn.Dense(CLASSES)(features)
    return nn.Dense(1)(logits)[:, 0], {"features": features, "class_logits": logits}


def classifier_of(net=Net(), **changes):  # noqa: B008 - a flax module is frozen
  settings = {
    "minibatch": MINIBATCH,
    "sampler": langevin.adam(learning_rate=0.05, b1=0.9, b2=0.9),
    "ascent_steps": 6,
    "synthesis": SYNTHESIS,
    "synthesis_batch": SYNTHESIS,
    "initial": INITIAL,
    "capacity": CAPACITY,
  }
  return winn_classifier(net, NOISE, shape=SHAPE, classes=CLASSES, **(settings | changes))


def batches_of(count=3, size=BATCH):
  rng = np.random.default_rng(0)
  return [
    {
      "image": rng.uniform(-1, 1, (size, *SHAPE)).astype(np.float32),
      "label": rng.integers(0, CLASSES, size).astype(np.int32),
    }
    for _ in range(count)
  ]


@partial(jax.jit, static_argnums=0)
def read(net, params, images):
  f, aux = net.apply(params, images)
  return f, aux["class_logits"]


def cross_entropy(logits, label):
  """Cross-entropy of each image, by hand."""
  logits = np.asarray(logits, np.float64)
  return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(label)), label]
