"""Variational dequantisation: noise for a flow's grey levels that is learned, not uniform.

Papers   Flow++  Ho et al. 2019, arXiv:1902.00275, section 3.1: the noise is a flow of normal noise, given the image
Departs  The flow: affine couplings by masks, of nothing at first, so that one layer moves all places by the image
         alone, then of a checkerboard and its complement in turn; their nets see 2x2 places as channels. The sigmoid
         that follows makes the noise almost uniform at first: that of 1.75 z, z standard normal, is 0.014 bits away.
Shapes   noise [B, H, W, C] standard normal, images [B, H, W, C] in [0, 1] -> (noise in (0, 1), log-determinant [B]).
         H and W are even.
Checked  tests/nets/test_bijections.py
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.bijections import MaskedCoupling, Result, repeated
from genjax.ops.squeeze import squeezed, unsqueezed

Array = jax.Array
SLOPE = 1.75  # at which a sigmoid of standard normal numbers is nearest to uniform


class Dequantiser(nn.Module):
  """Noise in [0, 1] that depends on the image it is added to.

  Attributes:
    depth: couplings.
    blocks: residual blocks of a coupling's net.
    width: of their layers.
    dtype: of the nets' convolutions.
  """

  depth: int = 3
  blocks: int = 1
  width: int = 32
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, noise: Array, images: Array) -> Result:
    board = jnp.tile(jnp.array([1.0, 0.0, 0.0, 1.0]), images.shape[3])[None, None]  # by channels, see ops/squeeze.py
    masks = [jnp.zeros_like(board), *(board if number % 2 else 1 - board for number in range(1, self.depth))]
    step, given = MaskedCoupling(self.width, self.blocks, self.dtype, name="couplings"), squeezed(images)
    coupled = lambda step, x, mask: step(x, mask, given)
    x, log_det = repeated(step, coupled, squeezed(noise), jnp.stack(masks), False)
    slopes = math.log(SLOPE) + nn.log_sigmoid(SLOPE * x) + nn.log_sigmoid(-SLOPE * x)
    return unsqueezed(nn.sigmoid(SLOPE * x)), log_det + slopes.sum((1, 2, 3))
