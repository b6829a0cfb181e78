"""The manifold tangent classifier: its penalty by finite differences, and that it becomes flat along the tangents."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.heads import Head
from genjax.nets.mlp import MLPCritic
from genjax.ops.tangents import tangents
from genjax.systems.optimizers import sgd
from genjax.systems.tangent_prop import tangent_prop

SHAPE = (4, 4, 1)
RNG = np.random.default_rng(0)
W = RNG.normal(size=(16, 3)).astype(np.float32)
BATCH = {
  "image": RNG.uniform(-1, 1, (8, *SHAPE)).astype(np.float32),
  "label": RNG.integers(0, 3, 8).astype(np.int32),
}


class Classifier(nn.Module):
  head_classes: int | None = None

  @nn.compact
  def __call__(self, images):
    return Head(self.head_classes)(jnp.tanh(nn.Dense(6)(images.reshape(len(images), -1))))


def encode(images):
  return jnp.tanh(images.reshape(len(images), -1) @ W)


def test_the_penalty_is_the_squared_slopes_of_the_probabilities_along_the_tangents():
  system = tangent_prop(Classifier(), encode, shape=SHAPE, classes=3, directions=2, weight=4.0)
  state = jax.jit(system.init)(jax.random.key(0), BATCH)
  _, metrics = jax.jit(system.step)(jax.random.key(1), state, BATCH)
  _, vectors = tangents(encode, BATCH["image"], 2)
  step = 1e-3
  p = lambda images: np.float64(jax.nn.softmax(system.views["classify"](state, images)))
  slopes = [
    (p(BATCH["image"] + step * vectors[:, k]) - p(BATCH["image"] - step * vectors[:, k])) / 2e-3 for k in (0, 1)
  ]
  np.testing.assert_allclose(metrics["tangent_slopes"], np.square(slopes).sum((0, 2)).mean(), rtol=2e-2)
  np.testing.assert_allclose(metrics["loss"], metrics["cross_entropy"] + 4 * metrics["tangent_slopes"], rtol=1e-5)


def test_training_by_the_penalty_alone_makes_the_answer_flat_along_the_tangents():
  system = tangent_prop(
    Classifier(), encode, shape=SHAPE, classes=3, directions=3, weight=100.0, optimizer=sgd(learning_rate=3e-3)
  )
  state, step = jax.jit(system.init)(jax.random.key(0), BATCH), jax.jit(system.step)
  slopes = []
  for number in range(40):
    state, metrics = step(jax.random.key(number), state, BATCH)
    slopes.append(float(metrics["tangent_slopes"]))
  assert slopes[-1] < slopes[0] / 2


def test_what_does_not_go_together_is_refused():
  with pytest.raises(ValueError, match="the data have none"):
    tangent_prop(MLPCritic(), encode, shape=SHAPE)
  with pytest.raises(ValueError, match=r"weight 1.0 without an encoder"):
    tangent_prop(MLPCritic(), shape=SHAPE, classes=3)
