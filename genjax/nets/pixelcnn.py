"""PixelCNN and gated PixelCNN: features of every pixel of an image from the pixels before it.

Papers   PixelCNN  van den Oord, Kalchbrenner & Kavukcuoglu 2016, arXiv:1601.06759, section 3.5, figure 5 and table 1: a
                   7x7 convolution with mask A, residual blocks with mask B, layers of 1x1
         gated     van den Oord et al. 2016, arXiv:1606.05328, section 2.1-2.2, figure 2: tanh times sigmoid; a vertical
                   stack of the rows above and a horizontal one of the row itself
Departs  Gated: 1x1 layers as PixelCNN's follow the last layer, where the paper says only that they are there.
         Dropout of a layer's features, 0 in the papers.
         PixelCNN has a blind spot: of the row r above it, a pixel sees no more than `first_kernel` // 2 + (r - 1)
         (`kernel` // 2) pixels to its right, whatever the depth. The gated net has none where its kernels reach: the
         halves of all layers add up to the width of the image less 1.
Shapes   images [B, H, W, C] in [-1, 1] -> features [B, H, W, D], C parts of which belong to channels, see masked.py.
         With `at` a pass of one pixel -> [B, D]. `row` prepares it for a row, once before the row's first pixel.
Checked  tests/nets/test_pixel_nets.py: who sees whom, by gradients; one pixel a pass against the whole pass
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from genjax.nets.masked import At, MaskedConv, RowConv, shifted_down

Array = jax.Array


class PixelCNN(nn.Module):
  """Residual blocks of masked convolutions.

  Attributes:
    shape: H, W, C.
    width: features in the middle of a block (h); 2h between blocks.
    layers: number of blocks.
    first_kernel: side of the first convolution, odd.
    kernel: side of those in the blocks, odd.
    hidden: features of the last layer (D).
    dropout: share of dropped features in a block.
    dtype: of the products.
  """

  shape: tuple[int, int, int]
  width: int = 128
  layers: int = 15
  first_kernel: int = 7
  kernel: int = 3
  hidden: int = 1024
  dropout: float = 0.0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: Array, at: At | None = None, *, train: bool = False) -> Array:
    own = {"channels": self.shape[2], "grid": self.shape[:2], "dtype": self.dtype}
    first, side = halves(self.first_kernel, self.kernel)
    drop = nn.Dropout(self.dropout, deterministic=not train)
    x = MaskedConv(2 * self.width, above=first, side=first, strict=True, **own)(images, at)
    for _ in range(self.layers):
      y = MaskedConv(self.width, **own)(nn.relu(x))
      y = nn.relu(MaskedConv(self.width, above=side, side=side, **own)(nn.relu(y), at))
      x = x + MaskedConv(2 * self.width, **own)(drop(y))
    return MaskedConv(self.hidden, **own)(nn.relu(x))


class GatedPixelCNN(nn.Module):
  """Gated layers of two stacks.

  Attributes:
    shape: H, W, C.
    width: features of each stack.
    layers: number of layers, the first included.
    first_kernel, kernel: side of the first layer's convolutions and of all others, odd.
    hidden: features of the last layer (D).
    dropout: share of dropped features of a layer.
    dtype: of the products.
  """

  shape: tuple[int, int, int]
  width: int = 128
  layers: int = 15
  first_kernel: int = 7
  kernel: int = 3
  hidden: int = 1024
  dropout: float = 0.0
  dtype: jnp.dtype = jnp.float32

  def setup(self):
    first, side = halves(self.first_kernel, self.kernel)
    own = (self.shape, self.dropout, self.dtype)
    self.stack = [GatedLayer(self.width, side if i else first, not i, *own) for i in range(self.layers)]
    self.last = MaskedConv(self.hidden, self.shape[2], self.shape[:2], dtype=self.dtype)

  def __call__(self, images: Array, at: At | None = None, *, train: bool = False) -> Array:
    vertical = horizontal = images
    for layer in self.stack:
      if at is None:
        vertical, below = layer.rows(vertical)
      else:
        below = layer.below(at)
      horizontal = layer.pixels(horizontal, below, at, train)
    return self.last(nn.relu(horizontal))

  def row(self, images: Array, number: Array) -> None:
    """Passes the row above row `number` of images through the vertical stack, whose features the cache then has."""
    above = lax.dynamic_index_in_dim(images, jnp.maximum(number - 1, 0), 1, keepdims=False)
    vertical, exists = above, (number > 0).astype(self.dtype)
    vertical = vertical * exists
    for layer in self.stack:
      vertical = layer.next_row(vertical, exists)


class GatedLayer(nn.Module):
  """One layer of both stacks; the vertical one's features of a row go to the horizontal one a row below.

  Attributes:
    width, shape, dropout, dtype: see GatedPixelCNN.
    side: half of the kernel.
    first: whether it reads images.
  """

  width: int
  side: int
  first: bool
  shape: tuple[int, int, int]
  dropout: float
  dtype: jnp.dtype

  def setup(self):
    own = {"channels": self.shape[2], "grid": self.shape[:2], "dtype": self.dtype}
    self.vertical = RowConv(2 * self.width, self.side, self.side, self.dtype)
    self.link = nn.Dense(2 * self.width, dtype=self.dtype)
    self.horizontal = MaskedConv(2 * self.width, side=self.side, strict=self.first, parts=2, **own)
    self.out = MaskedConv(self.width, **own)
    self.drop = nn.Dropout(self.dropout)

  def rows(self, vertical: Array) -> tuple[Array, Array]:
    """The vertical stack's next features [B, H, W, D], and what the horizontal one gets of them."""
    both = self.vertical(vertical)
    return gated(both), self.link(shifted_down(both))

  def next_row(self, vertical: Array, exists: Array) -> Array:
    """The same of one row [B, W, D], which `exists` (1) or is the one above the image (0): zeros."""
    both = self.vertical(vertical) * exists
    self.put_variable("cache", "below", self.link(both))
    return gated(both)

  def below(self, at: At) -> Array:
    """What the horizontal stack gets at a place: [B, 2D]."""
    return lax.dynamic_index_in_dim(self.get_variable("cache", "below"), at[1], 1, keepdims=False)

  def pixels(self, horizontal: Array, below: Array, at: At | None, train: bool) -> Array:
    """The horizontal stack's next features."""
    x = self.drop(gated(self.horizontal(horizontal, at) + below), deterministic=not train)
    return self.out(x) if self.first else horizontal + self.out(x)


def gated(x: Array) -> Array:
  """tanh of one half times sigmoid of the other."""
  a, b = jnp.split(x, 2, -1)
  return jnp.tanh(a) * nn.sigmoid(b)


def halves(*kernels: int) -> list[int]:
  """Half of each side, rounded down. Raises ValueError for an even one, and for 1."""
  if wrong := [kernel for kernel in kernels if kernel % 2 == 0 or kernel < 3]:
    raise ValueError(f"kernel {wrong[0]}; a masked convolution has a middle and pixels beside it: use 3, 5, 7 ...")
  return [kernel // 2 for kernel in kernels]
