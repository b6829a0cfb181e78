"""Small GANs of 4x4 images, their batches and their first step: what the tests of the system share."""

import jax
import numpy as np

from genjax.nets.mlp import MLPCritic, MLPGenerator
from genjax.objectives.logits import wasserstein_critic
from genjax.objectives.penalties import gradient_penalty
from genjax.objectives.terms import Objective, on_logits, total
from genjax.systems.gan import gan
from genjax.systems.optimizers import adam, sgd

SHAPE = (4, 4, 1)
M, LATENT, CLASSES = 8, 3, 3
WGAN = Objective(
  total((1.0, on_logits(wasserstein_critic)), (10.0, gradient_penalty())), on_logits(lambda real, fake: -fake.mean())
)
MLPS = {"generator": MLPGenerator(SHAPE, (8,)), "critic": MLPCritic((8,))}
STILL = sgd(learning_rate=1e-30)


def gan_of(**changes):
  settings = {"shape": SHAPE, "objective": WGAN, "latent": LATENT, "critic_steps": 2}
  settings["optimizer"] = adam(learning_rate=1e-3, b1=0.0, b2=0.9)
  return gan(**(MLPS | settings | changes))


def batches_of(size, count=3, shape=SHAPE):
  rng = np.random.default_rng(0)
  images = rng.uniform(-1, 1, (count, size, *shape)).astype(np.float32)
  return [{"image": image, "label": rng.integers(0, CLASSES, size).astype(np.int32)} for image in images]


def one_step(system, batch):
  before = jax.jit(system.init)(jax.random.key(0), batch)
  after, _ = jax.jit(system.step)(jax.random.key(1), before, batch)
  return before, after


def flat(tree):
  return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
