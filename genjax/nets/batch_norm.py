"""Batch norm with the conventions of PyTorch, over the whole batch wherever its images lie.

Papers   Ioffe & Szegedy 2015, arXiv:1502.03167
Departs  flax.linen.BatchNorm: the running variance is that of an unbiased estimate, as in PyTorch. Both moments are
         taken from the running mean, so that devices add them up at once, forward and backward; their difference
         cancels only where the mean is many deviations away from the running one. Statistics are float32.
Shapes   x [B, H, W, C]; scale, bias, mean, var [C]. The mean over a batch that is split over devices is the mean over
         all of it: jit adds the sums.
Checked  tests/nets/test_few_shot_nets.py
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array


class BatchNorm(nn.Module):
  """Batch normalisation: in training by the statistics of the batch, else by the running ones.

  In training the running statistics are updated where the collection "batch_stats" is mutable.

  Attributes:
    momentum: weight of the new statistics (PyTorch's sense).
    epsilon: added to the variance.
  """

  momentum: float = 0.1
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    channels = x.shape[-1]
    scale = self.param("scale", nn.initializers.ones, (channels,))
    bias = self.param("bias", nn.initializers.zeros, (channels,))
    running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
    running_var = self.variable("batch_stats", "var", jnp.ones, (channels,))
    y = x.astype(jnp.float32)
    mean, var = running_mean.value, running_var.value
    if train:
      from_running = y - running_mean.value[None, None, None]
      first, second = (jnp.mean(moment, (0, 1, 2)) for moment in (from_running, from_running**2))
      mean, var = running_mean.value + first, jnp.maximum(second - first**2, 0)
      if self.is_mutable_collection("batch_stats") and not self.is_initializing():
        count = x.size // channels
        move = lambda old, new: old + self.momentum * (lax.stop_gradient(new) - old)
        running_mean.value = move(running_mean.value, mean)
        running_var.value = move(running_var.value, var * (count / max(count - 1, 1)))
    factor = scale * lax.rsqrt(var + self.epsilon)
    return ((y - mean[None, None, None]) * factor[None, None, None] + bias[None, None, None]).astype(x.dtype)
