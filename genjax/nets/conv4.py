"""Conv-4: the four convolutions of prototypical networks, and their wider relative of R2D2.

Papers   Conv4    Snell et al. 2017, arXiv:1703.05175; widths and start as in the released MetaOptNet
         R2D2Net  Bertinetto et al. 2019, arXiv:1805.08136
Shapes   images [B, H, W, C] float32 -> features [B, d], aux with "map" [B, h, w, c], the last block's.
         Conv4: d = width * (H // 16) * (W // 16): 1600 at 84x84, 256 at 32x32; 112,832 parameters with 3 channels.
         R2D2Net: the maps of blocks 3 and 4 side by side: 51,200 at 84x84, 8,192 at 32x32.
Checked  tests/nets/test_few_shot_nets.py
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.batch_norm import BatchNorm
from genjax.nets.convnet import Conv
from genjax.nets.pooling import check_sides, max_pool

Array = jax.Array


class Conv4(nn.Module):
  """Four blocks of a 3x3 convolution without bias, batch norm, ReLU, and the greatest of 2x2.

  Attributes:
    width: of every block.
    dtype: of the convolutions; statistics and features are float32.
  """

  width: int = 64
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> tuple[Array, dict[str, Array]]:
    check_sides(images, 4, "larger images")
    start = nn.initializers.normal((2 / (9 * self.width)) ** 0.5)
    x = images.astype(self.dtype)
    for _ in range(4):
      x = Conv(self.width, (3, 3), use_bias=False, kernel_init=start, dtype=self.dtype)(x)
      x = max_pool(nn.relu(BatchNorm()(x, train)))
    x = x.astype(jnp.float32)
    return x.reshape(len(x), -1), {"map": x}


class R2D2Net(nn.Module):
  """Four blocks of a 3x3 convolution, batch norm, and the greatest of 2x2; the features are the last two maps.

  Attributes:
    widths: of the blocks.
    dropout: dropout rate of each block.
    dtype: of the convolutions; statistics and features are float32.
  """

  widths: Sequence[int] = (96, 192, 384, 512)
  dropout: Sequence[float] = (0.0, 0.0, 0.1, 0.3)
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, *, train: bool = False) -> tuple[Array, dict[str, Array]]:
    check_sides(images, 4, "larger images")
    x, maps = images.astype(self.dtype), []
    for number, (width, dropout) in enumerate(zip(self.widths, self.dropout, strict=True)):
      x = Conv(width, (3, 3), dtype=self.dtype)(x)
      x = max_pool(BatchNorm()(x, train))
      if number < 3:
        x = nn.leaky_relu(x, 0.1)
      x = nn.Dropout(dropout, deterministic=not train)(x)
      maps.append(x.astype(jnp.float32))
    flat = [x.reshape(len(x), -1) for x in maps[2:]]
    return jnp.concatenate(flat, -1), {"map": maps[-1]}
