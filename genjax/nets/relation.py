"""The relation module: a learned comparison of class and query maps, as a head of few-shot learning.

Papers   Sung et al. 2018, arXiv:1711.06025, section 3: scores in [0, 1], trained by squared error
Departs  The maps of a class are summed over its shots, as published; its maps and those of a query are joined along the
         channels. Poolings are left out where a map is a single pixel. Batch norm has the statistics of the episode.
Shapes   n supports, m queries, K ways. support [n, h, w, c], labels [n], query [m, h, w, c] -> scores [m, K].
Checked  tests/nets/test_few_shot_nets.py
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from genjax.nets.convnet import Conv
from genjax.nets.pooling import max_pool
from genjax.ops.one_hot import one_hot

Array = jax.Array


class Relation(nn.Module):
  """Two blocks of a 3x3 convolution, norm, ReLU and pooling, then two linear layers and a sigmoid.

  Attributes:
    width: of the convolutions.
    hidden: of the first linear layer.
  """

  width: int = 64
  hidden: int = 8

  @nn.compact
  def __call__(self, support: Array, labels: Array, query: Array, *, ways: int) -> Array:
    onehot = one_hot(labels, ways, support.dtype)
    classes = jnp.einsum("nk,nhwc->khwc", onehot, support, precision=lax.Precision.HIGHEST)
    shape = (len(query), ways, *query.shape[1:])
    pairs = [jnp.broadcast_to(each, shape) for each in (classes[None], query[:, None])]
    x = jnp.concatenate(pairs, -1).reshape(-1, *query.shape[1:3], 2 * query.shape[3])
    for number in range(2):
      x = nn.relu(_episode_norm(Conv(self.width, (3, 3), use_bias=False)(x), self, f"norm_{number}"))
      if min(x.shape[1:3]) > 1:
        x = max_pool(x)
    x = nn.relu(nn.Dense(self.hidden)(x.reshape(len(x), -1)))
    return nn.sigmoid(nn.Dense(1)(x)).reshape(len(query), ways)


def _episode_norm(x: Array, module: nn.Module, name: str) -> Array:
  """Moments over all pairs of the episode, scale and offset per channel."""
  scale = module.param(f"{name}_scale", nn.initializers.ones, (x.shape[-1],))
  bias = module.param(f"{name}_bias", nn.initializers.zeros, (x.shape[-1],))
  mean = x.mean((0, 1, 2), keepdims=True)
  var = ((x - mean) ** 2).mean((0, 1, 2), keepdims=True)
  return (x - mean) * lax.rsqrt(var + 1e-5) * scale[None, None, None] + bias[None, None, None]
