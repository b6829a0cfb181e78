"""Images as tokens: patches that touch or overlap, read by a matrix, or a stem of convolutions that halve the image.

Papers   ViT     Dosovitskiy et al. 2021, arXiv:2010.11929
         ViTGAN  Lee et al. 2022, arXiv:2107.04589, section 3.4.1 of the thesis: kernel 2P, stride P; section 3.5.1: the
                 stem of its 128x128 critic, 3x3 convolutions of stride 2 "until desired sequence length"
         stem    Xiao et al. 2021, arXiv:2106.14881: widths that double, ReLU between, a last 1x1 layer
Departs  The stem has no batch normalisation, which would show a critic other images of its batch.
Shapes   images [B, H, W, C] -> tokens [B, L, D], L = H W / P^2.
Checked  tests/nets/test_vitgan_layers.py: what a token depends on, the convolution of lax.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.improved_spectral import Norm, NormedConv, NormedDense
from genjax.ops.patches import cut, cut_overlapping, grid

Array = jax.Array
Embedding = Literal["patches", "overlapping", "stem"]


class Tokens(nn.Module):
  """One token for each patch.

  Attributes:
    width: D.
    patch: P; of a stem a power of 2, as it halves log2(P) times.
    embedding: how a patch is read.
    norm, equalised, dtype, train: of the layers, see nets/improved_spectral.py.
  """

  width: int
  patch: int
  embedding: Embedding = "overlapping"
  norm: Norm = "none"
  equalised: bool = True
  dtype: jnp.dtype = jnp.float32
  train: bool = False

  @nn.compact
  def __call__(self, images: Array) -> Array:
    rows, columns = grid(images.shape[1:], self.patch)
    own = {"norm": self.norm, "equalised": self.equalised, "dtype": self.dtype, "train": self.train}
    match self.embedding:
      case "patches":
        x = cut(images, self.patch)
      case "overlapping":
        x = cut_overlapping(images, self.patch)
      case "stem":
        halvings = self.patch.bit_length() - 1
        if self.patch != 2**halvings:
          raise ValueError(f"patch {self.patch} is no number of halvings; with a stem use a power of 2")
        x = images
        for number in range(halvings):
          channels = max(1, self.width >> (halvings - 1 - number))
          x = nn.relu(NormedConv(channels, 2, **own, name=f"stem_{number}")(x))
        x = x.reshape(x.shape[0], rows * columns, -1)
      case _:
        raise ValueError(f"embedding {self.embedding!r}; use 'patches', 'overlapping' or 'stem'")
    return NormedDense(self.width, **own, name="embed")(x)
