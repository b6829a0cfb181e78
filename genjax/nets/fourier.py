"""A code of places: the sine of a linear layer of their coordinates.

Papers   ViTGAN  Lee et al. 2022, arXiv:2107.04589, section 3.5.1 of the thesis: coordinates in [-1, 1]
         CIPS    Anokhin et al. 2021, arXiv:2011.13775: weights uniform, of variance 3 / 2 for 2 coordinates
Departs  A phase as uniform as a period, where neither paper names one: all codes then have mean square 1 / 2.
Shapes   rows * columns places -> [rows * columns, D] float32.
Checked  tests/nets/test_vitgan_layers.py
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.convnet import uniform
from genjax.ops.patches import coordinates

Array = jax.Array


class FourierCode(nn.Module):
  """One code for every place of a grid, learned.

  Attributes:
    features: D.
  """

  features: int

  @nn.compact
  def __call__(self, rows: int, columns: int) -> Array:
    kernel = self.param("kernel", uniform(1.5**0.5), (2, self.features))
    phase = self.param("bias", uniform(jnp.pi / 3**0.5), (self.features,))
    return jnp.sin(jnp.matmul(coordinates(rows, columns), kernel, precision="highest") + phase[None])
