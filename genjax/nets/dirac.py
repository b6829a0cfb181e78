"""The smallest GAN there is: one point, and a critic that is a line through 0. Its motion is known exactly.

Papers   Dirac-GAN  Mescheder, Geiger & Nowozin 2018, arXiv:1801.04406, definition 2.1
Shapes   latent [B, Z] -> images [B, 1, 1, 1], all at theta; images -> (logits [B] = phi * x, aux {}).
Checked  tests/systems/test_updates.py
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array


class DiracGenerator(nn.Module):
  """All its images are one pixel of value theta.

  Attributes:
    start: theta at first.
  """

  start: float = 1.0

  @nn.compact
  def __call__(self, latent: Array) -> Array:
    theta = self.param("theta", nn.initializers.constant(self.start), ())
    return jnp.broadcast_to(theta, (latent.shape[0], 1, 1, 1))


class DiracCritic(nn.Module):
  """Its logit is phi times the pixel.

  Attributes:
    start: phi at first.
  """

  start: float = 1.0

  @nn.compact
  def __call__(self, images: Array) -> tuple[Array, dict[str, Array]]:
    return self.param("phi", nn.initializers.constant(self.start), ()) * images[:, 0, 0, 0], {}
