"""Patches generated pixel by pixel: a two-layer MLP of a pixel's place, its weights modulated by the patch's token.

A hidden layer of modulated weights, h_npo = sum over i of e_pi s_ni w_io, is linear in the token's style s_n. So the
codes e_p of the P^2 places are folded into the weights, [I, P^2 O], and one product with the styles is the layer: as
many multiplications as with a style's weights for each token, and nothing as large as tokens x places x I is kept.

Papers   ViTGAN     Lee et al. 2022, arXiv:2107.04589, eq 3.12 of the thesis
         CIPS       Anokhin et al. 2021, arXiv:2011.13775: modulated layers, the last one not demodulated
         StyleGAN2  Karras et al. 2020, arXiv:1912.04958, eq 1 and 3: demodulation by the length of w' = s w
Shapes   y [B, L, D] -> patches [B, L, P * P * C] float32, in the order of ops/patches.py.
Checked  tests/nets/test_vitgan_layers.py: weights for each token, in numpy.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from genjax.nets.equalised import leaky
from genjax.nets.fourier import FourierCode
from genjax.nets.improved_spectral import Kernel, NormedDense, with_bias

Array = jax.Array


class ImplicitPatches(nn.Module):
  """Hidden layer: modulated, demodulated, leaky ReLU. Output layer: modulated.

  Attributes:
    patch: P.
    channels: C.
    hidden: width of the hidden layer; None: D.
    equalised: whether learning rates are equalised, see nets/improved_spectral.py.
    dtype: of the products; styles and lengths are float32.
  """

  patch: int
  channels: int
  hidden: int | None = None
  equalised: bool = True
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, y: Array) -> Array:
    width, places = y.shape[-1], self.patch**2
    hidden = self.hidden or width
    codes = FourierCode(width, name="place")(self.patch, self.patch)
    style = NormedDense(width, equalised=self.equalised, dtype=self.dtype, name="style")
    style_out = NormedDense(hidden, equalised=self.equalised, dtype=self.dtype, name="style_out")
    kernel = Kernel((width, hidden), equalised=self.equalised, name="hidden_layer")()
    s, s_out = 1 + style(y), 1 + style_out(y)
    folded = (codes.T[:, :, None] * kernel[:, None]).astype(self.dtype).reshape(width, -1)
    h = (s @ folded).reshape(*y.shape[:2], places, hidden)
    lengths = jnp.matmul(s.astype(jnp.float32) ** 2, kernel**2)
    h = with_bias(self, h * lax.rsqrt(lengths + 1e-8).astype(self.dtype)[:, :, None])
    h = leaky(h) * s_out[:, :, None]
    patches = NormedDense(self.channels, equalised=self.equalised, dtype=self.dtype, name="out")(h)
    return patches.astype(jnp.float32).reshape(*y.shape[:2], -1)
