"""A critic that is an autoencoder: its logit is minus its reconstruction error.

Papers   EBGAN  Zhao et al. 2017, arXiv:1609.03126: squared error; BEGAN  Berthelot et al. 2017, arXiv:1703.10717:
         absolute error; MMD-GAN  Li et al. 2017, arXiv:1705.08584: the kernel sees the code
Departs  Fully connected, for points and small images; errors are means over pixels, so a margin suits any size.
         The layers are in two parts, "encoder" and "decoder": a system that clips weights leaves the decoder's alone.
Shapes   images [B, H, W, C] -> (logits [B] <= 0, aux {"reconstruction" [B, H, W, C], "features": the code [B, D]}).
Checked  tests/nets/test_gan_nets.py
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.activations import Activation
from genjax.nets.mlp import hidden

Array = jax.Array


class Autoencoder(nn.Module):
  """Layers down to a code, and the same widths back up.

  Attributes:
    widths: of the encoder's hidden layers; the decoder's are these in reverse.
    code: D.
    activation: of the hidden layers; the code and the image are linear.
    error: the error of a pixel, which is averaged over pixels.
    dtype: of the hidden layers; the code and the image are float32.
  """

  widths: tuple[int, ...] = (128, 128)
  code: int = 16
  activation: Activation = "relu"
  error: Literal["squared", "absolute"] = "squared"
  dtype: jnp.dtype = jnp.float32
  per_image = True

  @nn.compact
  def __call__(self, images: Array) -> tuple[Array, dict[str, Array]]:
    if self.error not in ("squared", "absolute"):
      raise ValueError(f"error {self.error!r}; use 'squared' (EBGAN) or 'absolute' (BEGAN)")
    flat = images.reshape(images.shape[0], -1)
    code = _Layers(self.widths, self.code, self.activation, self.dtype, name="encoder")(flat)
    reconstruction = _Layers(self.widths[::-1], flat.shape[1], self.activation, self.dtype, name="decoder")(code)
    difference = flat - reconstruction
    error = (difference**2 if self.error == "squared" else jnp.abs(difference)).mean(1)
    return -error, {"reconstruction": reconstruction.reshape(images.shape), "features": code}


class _Layers(nn.Module):
  """Hidden layers of these widths, then a linear one."""

  widths: tuple[int, ...]
  out: int
  activation: Activation
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    return nn.Dense(self.out)(hidden(x, self.widths, self.activation, dtype=self.dtype).astype(jnp.float32))
