"""RealNVP: couplings by masks, of a checkerboard and of channels, on several scales.

Papers   Dinh, Sohl-Dickstein & Bengio 2017, arXiv:1605.08803, sections 3.4 to 3.7 and 4.1. The defaults are the paper's
         net for 32x32 images
Departs  Logits are of alpha + (1 - 2 alpha) x, as in the released code; the paper's range ends at 1. More in
         bijections.py.
Shapes   x [B, H, W, C] float32 in [0, 1] <-> latents [B, H W C], the finest scale first; and the log-determinant [B].
         H and W are multiples of 2^(scales - 1).
Checked  tests/nets/test_bijections.py
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.bijections import ActNorm, MaskedCoupling, Result, repeated
from genjax.ops.squeeze import checkerboard, squeezed, unflattened, unsqueezed

Array = jax.Array
COUPLINGS, LAST = 3, 4  # by each kind of mask on a scale, and by a checkerboard on the last


class RealNVP(nn.Module):
  """Images to latents and, with `reverse`, latents to images; the log-determinant of the way that was gone.

  Attributes:
    shape: H, W, C.
    scales: all but the last halve the image and give half of their channels to the latents.
    blocks: residual blocks of a coupling's net.
    width: of their layers on the first scale; each scale doubles it.
    alpha: how far the logits' argument stays from 0 and 1; None: images are taken as they are, without logits.
    remat: whether a coupling's activations are computed again for their gradients, in place of being kept.
    dtype: of the nets' convolutions; all else, log-determinants too, is float32.
  """

  shape: tuple[int, int, int]
  scales: int = 2
  blocks: int = 8
  width: int = 64
  alpha: float | None = 0.05
  remat: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, reverse: bool = False) -> Result:
    if self.alpha is not None and not 0 < self.alpha < 0.5:
      raise ValueError(f"alpha {self.alpha}; use a number between 0 and 0.5, or None for no logits")
    return self._decode(x) if reverse else self._encode(x)

  def _encode(self, x: Array) -> Result:
    x, log_det = (x, jnp.zeros(x.shape[0])) if self.alpha is None else logits(x, self.alpha)
    latents = []
    for scale in range(self.scales - 1):
      x, by_places = self._couplings(scale, x, "places", False)
      x, by_channels = self._couplings(scale, squeezed(x), "channels", False)
      x, taken = jnp.split(x, 2, -1)
      log_det = log_det + by_places + by_channels
      latents.append(taken.reshape(len(taken), -1))
    x, more = self._couplings(self.scales - 1, x, "places", False)
    return jnp.concatenate([*latents, x.reshape(len(x), -1)], 1), log_det + more

  def _decode(self, latents: Array) -> Result:
    *parts, x = unflattened(latents, self._shapes())
    x, log_det = self._couplings(self.scales - 1, x, "places", True)
    for scale in reversed(range(self.scales - 1)):
      x = jnp.concatenate([x, parts[scale]], -1)
      x, by_channels = self._couplings(scale, x, "channels", True)
      x, by_places = self._couplings(scale, unsqueezed(x), "places", True)
      log_det = log_det + by_places + by_channels
    if self.alpha is None:
      return x, log_det
    images = (nn.sigmoid(x) - self.alpha) / (1 - 2 * self.alpha)
    return images, log_det - logits(images, self.alpha)[1]

  def _couplings(self, scale: int, x: Array, by: str, reverse: bool) -> Result:
    """Masks alternate."""
    count = LAST if scale == self.scales - 1 else COUPLINGS
    if by == "places":
      mask = checkerboard(*x.shape[1:3])
    else:
      mask = (jnp.arange(x.shape[3]) < x.shape[3] // 2).astype(jnp.float32)[None, None]
    masks = jnp.stack([mask if number % 2 == 0 else 1 - mask for number in range(count)])
    step = Step(self.width << scale, self.blocks, self.dtype, name=f"{by}{scale}")
    return repeated(step, lambda step, x, mask: step(x, mask, reverse), x, masks, reverse, self.remat)

  def _shapes(self) -> list[tuple[int, int, int]]:
    """Of the latents of every scale."""
    (height, width, channels), last = self.shape, self.scales - 1
    halves = [(height >> scale + 1, width >> scale + 1, channels << scale + 1) for scale in range(last)]
    return [*halves, (height >> last, width >> last, channels << last)]


class Step(nn.Module):
  """A masked coupling, then actnorm.

  Attributes:
    width, blocks, dtype: of the coupling's net.
  """

  width: int
  blocks: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, mask: Array, reverse: bool = False) -> Result:
    coupling, norm = MaskedCoupling(self.width, self.blocks, self.dtype), ActNorm()
    if reverse:
      x, of_norm = norm(x, True)
      x, more = coupling(x, mask, reverse=True)
      return x, of_norm + more
    x, more = coupling(x, mask)
    x, of_norm = norm(x)
    return x, of_norm + more


def logits(x: Array, alpha: float) -> Result:
  """log p / (1 - p) of p = alpha + (1 - 2 alpha) x, and the log-determinant [B]."""
  p = alpha + (1 - 2 * alpha) * x
  log_p, log_rest = jnp.log(p), jnp.log1p(-p)
  log_det = (math.log(1 - 2 * alpha) - log_p - log_rest).reshape(len(x), -1).sum(1)
  return log_p - log_rest, log_det
