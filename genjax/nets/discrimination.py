"""Minibatch discrimination as a layer: a critic's features, and beside them how near each image is to the others.

Papers   Salimans et al. 2016, arXiv:1606.03498, section 3.2: K = 100 kernels of C = 5 rows
Departs  T starts as normal numbers of deviation 0.05, and works in float32 whatever the precision of the features.
Shapes   features [B, A] -> [B, A + K] float32. B is the whole batch that the critic is given, on all devices; a device
         then reads the rows of the others.
Checked  tests/nets/test_gan_nets.py; the sum itself in tests/ops/test_minibatch.py
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.ops.minibatch import discrimination

Array = jax.Array


class Discrimination(nn.Module):
  """Only for critics whose logit of an image may depend on its batch: not with a penalty of single images.

  Attributes:
    kernels: K, how many numbers it adds.
    rows: C, of each kernel's row.
  """

  kernels: int = 100
  rows: int = 5

  @nn.compact
  def __call__(self, features: Array) -> Array:
    features = features.astype(jnp.float32)
    shape = (features.shape[1], self.kernels, self.rows)
    projection = self.param("projection", nn.initializers.normal(0.05), shape)
    return jnp.concatenate([features, discrimination(features, projection)], axis=1)
