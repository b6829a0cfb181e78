"""Glow: steps of actnorm, an invertible 1x1 convolution and affine coupling, on several scales.

Papers   Kingma & Dhariwal 2018, arXiv:1807.03039, figure 2 and table 1. The defaults are the paper's net for CIFAR-10
Departs  Latents are standard normal on every scale: the mean and the deviation that a coarser scale gives those of a
         finer one, and the learned ones of the last scale, are layers of the flow here. More in bijections.py.
Shapes   x [B, H, W, C] float32, in [0, 1] or nearby, <-> latents [B, H W C], the finest scale first; and the
         log-determinant [B]. H and W are multiples of 2^levels.
Checked  tests/nets/test_bijections.py
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nets.bijections import ActNorm, Coupling, InvertibleConv, Result, Standardised, repeated
from genjax.ops.squeeze import squeezed, unflattened, unsqueezed

Array = jax.Array


class Glow(nn.Module):
  """Images to latents and, with `reverse`, latents to images; the log-determinant of the way that was gone.

  Attributes:
    shape: H, W, C.
    levels: scales, L; each halves the image, and all but the last give half of their channels to the latents.
    depth: steps of a scale, K; they compile once a scale.
    width: of the hidden layers of a coupling.
    remat: whether a step's activations are computed again for their gradients, in place of being kept.
    dtype: of the coupling's convolutions; all else, log-determinants too, is float32.
  """

  shape: tuple[int, int, int]
  levels: int = 3
  depth: int = 32
  width: int = 512
  remat: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, reverse: bool = False) -> Result:
    return self._decode(x) if reverse else self._encode(x)

  def _encode(self, x: Array) -> Result:
    x, log_det, latents = x - 0.5, jnp.zeros(x.shape[0]), []
    for level in range(self.levels):
      x, more = self._steps(level, squeezed(x), False)
      left, taken = self._halves(level, x)
      taken, of_prior = self._prior(level, taken, left, False)
      log_det, x = log_det + more + of_prior, left
      latents.append(taken.reshape(len(taken), -1))
    return jnp.concatenate(latents, 1), log_det

  def _decode(self, latents: Array) -> Result:
    parts = unflattened(latents, self._shapes())
    x, log_det = None, jnp.zeros(latents.shape[0])
    for level in reversed(range(self.levels)):
      taken, of_prior = self._prior(level, parts[level], x, True)
      x = taken if x is None else jnp.concatenate([x, taken], -1)
      x, more = self._steps(level, x, True)
      x, log_det = unsqueezed(x), log_det + more + of_prior
    return x + 0.5, log_det

  def _steps(self, level: int, x: Array, reverse: bool) -> Result:
    step = Step(self.width, self.dtype, name=f"level{level}")
    return repeated(step, lambda step, x, _: step(x, reverse), x, self.depth, reverse, self.remat)

  def _prior(self, level: int, x: Array, given: Array | None, reverse: bool) -> Result:
    return Standardised(self.dtype, name=f"prior{level}")(x, given, reverse)

  def _halves(self, level: int, x: Array) -> tuple[Array | None, Array]:
    """What goes on, and what becomes latents."""
    return (None, x) if level == self.levels - 1 else tuple(jnp.split(x, 2, -1))

  def _shapes(self) -> list[tuple[int, int, int]]:
    """Of the latents of every scale: half of the channels, and all of the last."""
    (height, width, channels), last = self.shape, self.levels - 1
    halves = lambda level: (height >> level + 1, width >> level + 1, channels << level + 1 + (level == last))
    return [halves(level) for level in range(self.levels)]


class Step(nn.Module):
  """Actnorm, an invertible 1x1 convolution, affine coupling.

  Attributes:
    width, dtype: of the coupling's net.
  """

  width: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, reverse: bool = False) -> Result:
    layers = (ActNorm(), InvertibleConv(), Coupling(self.width, self.dtype))
    log_det = 0.0
    for layer in reversed(layers) if reverse else layers:
      x, more = layer(x, reverse)
      log_det = log_det + more
    return x, log_det
