"""A transformer in which every token sees all others: the net of masked token models.

Papers   MaskGIT  Chang et al. 2022, arXiv:2202.04200, section 4: 24 blocks, 8 heads, width 768, an MLP of 3072,
                  dropout 0.1, as in BERT, Devlin et al. 2019, arXiv:1810.04805
Departs  The norm comes first in each block and once more at the end (GPT-2, ViT), where BERT's comes last: no warm-up
         is needed.
Shapes   x [B, L, D] -> [B, L, D] float32. Norms are float32.
Checked  tests/systems/test_maskgit.py
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array


class BidirectionalTransformer(nn.Module):
  """Blocks of self-attention and an MLP.

  Attributes:
    width: D.
    depth: number of blocks.
    heads: of each attention; they share the width evenly.
    dropout: share of dropped activations after each residual layer.
    dtype: of the products.
  """

  width: int = 768
  depth: int = 24
  heads: int = 8
  dropout: float = 0.1
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, *, train: bool = False) -> Array:
    if self.width % self.heads:
      raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}; use a multiple of it")
    drop = nn.Dropout(self.dropout, deterministic=not train)
    norm = lambda x: nn.LayerNorm(1e-5, dtype=jnp.float32)(x).astype(self.dtype)
    for _ in range(self.depth):
      x = x + drop(nn.MultiHeadDotProductAttention(self.heads, dtype=self.dtype)(norm(x)))
      up = nn.gelu(nn.Dense(4 * self.width, dtype=self.dtype)(norm(x)))
      x = x + drop(nn.Dense(self.width, dtype=self.dtype)(up))
    return norm(x).astype(jnp.float32)
