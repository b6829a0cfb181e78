"""The vanilla pair of vision transformers that ViTGAN is compared with: no technique of its own in either net.

Papers   ViTGAN, Lee et al. 2022, arXiv:2107.04589, section 3.5.2 of the thesis: generator A of figure 3.2 with a linear
         output; a critic "without any techniques discussed in Section 3.4.1". Trained with R1.
Shapes   as in nets/vitgan.py.
Checked  tests/nets/test_vitgan.py
"""

from typing import Literal

from genjax.nets.improved_spectral import Norm
from genjax.nets.self_attention import Attention
from genjax.nets.tokens import Embedding
from genjax.nets.vitgan import ViTGANCritic, ViTGANGenerator


class ViTGenerator(ViTGANGenerator):
  """w added to every position, plain LayerNorm, one linear layer to the pixels; attributes as of ViTGANGenerator."""

  trunk: Literal["modulated", "added", "prepended"] = "added"
  output: Literal["implicit", "linear"] = "linear"


class ViTCritic(ViTGANCritic):
  """Product attention, free weights, patches that touch; attributes as of ViTGANCritic."""

  embedding: Embedding = "patches"
  attention: Attention = "dot"
  conv_projection: bool = False
  norm: Norm = "none"
