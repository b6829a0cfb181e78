"""ResNet-12: the embedding of MetaOptNet, with its dropout and DropBlock.

Papers   Lee 2021 (thesis), section 4.4.1; Lee et al. 2019, arXiv:1904.03758; Oreshkin et al. 2018, arXiv:1805.10123
Departs  Stages 1 and 2 drop elements (the thesis' blocks of 1), stages 3 and 4 blocks. DropBlock's rate rises with the
         number of calls, held in the collection "counter"; the released code counts evaluations too, here only
         training counts. `legacy_dataparallel`: as on the authors' four GPUs, where the count was lost and stayed 1, so
         that blocks are hardly ever dropped. Batch norm is that of the whole batch, not of each device's part.
Shapes   images [B, H, W, C] float32 -> features [B, d], aux with "map" [B, h, w, widths[-1]]. At 84x84 d is 16,000, at
         32x32 2,560. 12,424,320 parameters with 3 channels.
Checked  tests/nets/test_few_shot_nets.py, tests/ops/test_dropblock.py
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.batch_norm import BatchNorm
from genjax.nets.convnet import Conv
from genjax.nets.pooling import check_sides, max_pool
from genjax.ops.dropblock import dropblock, keep_rate, seed_rate

Array = jax.Array
SLOPE = 0.1
he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class ResNet12(nn.Module):
  """Four residual blocks of three convolutions, each closed by the greatest of 2x2.

  Attributes:
    widths: of the blocks.
    block: side of the squares that stages 3 and 4 drop: 5 for 84x84, 2 for 32x32.
    drop: dropout rate, and the amount by which DropBlock's keep rate falls; 0: none.
    drop_over: training calls over which it falls.
    legacy_dataparallel: see Departs.
    dtype: of the convolutions; statistics and features are float32.
  """

  widths: Sequence[int] = (64, 160, 320, 640)
  block: int = 5
  drop: float = 0.1
  drop_over: float = 40_000.0
  legacy_dataparallel: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> tuple[Array, dict[str, Array]]:
    check_sides(images, len(self.widths), "larger images")
    calls = self.variable("counter", "calls", jnp.zeros, (), jnp.int32)
    count = calls.value + 1
    if train and self.is_mutable_collection("counter") and not self.is_initializing():
      calls.value = count
    keep = keep_rate(1 if self.legacy_dataparallel else count, drop=self.drop, over=self.drop_over)
    x = images.astype(self.dtype)
    for number, width in enumerate(self.widths):
      x = self._stage(x, width, train)
      if not train or not self.drop:
        continue
      if number < 2:
        x = nn.Dropout(self.drop, deterministic=False)(x)
      else:
        gamma = seed_rate(keep, self.block, x.shape[1])
        x = dropblock(self.make_rng("dropout"), x, gamma, self.block)
    x = x.astype(jnp.float32)
    return x.reshape(len(x), -1), {"map": x}

  def _stage(self, x: Array, width: int, train: bool) -> Array:
    conv = lambda kernel: Conv(width, kernel, use_bias=False, kernel_init=he_normal, dtype=self.dtype)
    inner = x
    for place in range(3):
      inner = BatchNorm()(conv((3, 3))(inner), train)
      inner = nn.leaky_relu(inner, SLOPE) if place < 2 else inner
    short = BatchNorm()(conv((1, 1))(x), train)
    return max_pool(nn.leaky_relu(inner + short, SLOPE))
