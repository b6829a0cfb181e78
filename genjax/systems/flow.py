"""A flow: a net that can be run backwards maps images to normal latents, and so has a likelihood and samples.

Papers   RealNVP, Glow  nets/realnvp.py, nets/glow.py
         dequantisation uniform  Theis, van den Oord & Bethge 2016, arXiv:1511.01844, section 3.1
                        variational  Ho et al. 2019 (Flow++), arXiv:1902.00275, eq 12: `dequantiser_net`
Departs  Adam for both papers; Glow's code has Adamax. Fewer grey levels than the data have: the nearest one, where
         Glow's code takes the highest bits.
Shapes   batch {"image": [B, H, W, C] float32 in [-1, 1]}. net: (x [B, H, W, C] in [0, 1], reverse=False) ->
         (latents [B, D], log-determinant [B]), and back with reverse=True; D = H W C. dequantiser_net: (normal noise
         [B, H, W, C], images in [0, 1]) -> (noise in (0, 1), log-determinant [B]).
Checked  tests/systems/test_flow.py: bits of a known distribution, exact inverse, 8 devices and a copy start alike
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.core import Batch, Kernel, Metrics, System
from genjax.ops.latents import Latents
from genjax.ops.levels import to_images, to_levels
from genjax.ops.likelihood import Likelihood, log_normal
from genjax.systems.checks import check_images
from genjax.systems.fit import Variables, collections_of, fit
from genjax.systems.optimizers import Optimizer, adam

Array = jax.Array
PUBLISHED = adam(learning_rate=1e-3)
MIDDLE = 0.5  # of the interval of a grey level


class Dequantised(nn.Module):
  """A flow of grey levels with noise on them.

  Attributes: see `flow`.
  """

  net: nn.Module
  dequantiser: nn.Module | None
  levels: int | None

  def __call__(self, images: Array, noise: Array) -> tuple[Array, Array]:
    """Latents [B, D] and log p [B]: the bound that this noise gives, or without levels the density of the images."""
    size = math.prod(images.shape[1:])
    if self.levels is None:
      latents, log_det = self.encode(images)
      return latents, log_normal(latents) + log_det - size * math.log(2)
    grey, log_q = to_levels(images, self.levels).astype(jnp.float32), 0.0
    if self.dequantiser is not None:
      log_q = log_normal(noise)
      noise, of_noise = self.dequantiser(noise, grey / (self.levels - 1))
      log_q = log_q - of_noise
    latents, log_det = self.net((grey + noise) / self.levels)
    return latents, log_normal(latents) + log_det - size * math.log(self.levels) - log_q

  def encode(self, images: Array) -> tuple[Array, Array]:
    """Latents of images between whose levels there is no gap, and the log-determinant of images in [0, 1]."""
    if self.levels is None:
      return self.net((images + 1) / 2)
    return self.net(((images + 1) * ((self.levels - 1) / 2) + MIDDLE) / self.levels)

  def decode(self, latents: Array) -> Array:
    """What `encode` was given."""
    x, _ = self.net(latents, reverse=True)
    return 2 * x - 1 if self.levels is None else to_images(x * self.levels - MIDDLE, self.levels)


def flow(
  net: nn.Module,
  *,
  shape: tuple[int, int, int],
  levels: int | None = 256,
  dequantiser_net: nn.Module | None = None,
  temperature: float = 1.0,
  optimizer: Optimizer = PUBLISHED,
  ema: float = 0.0,
  accumulate: int = 1,
  remat: bool = False,
) -> System:
  """A flow as a System; the loss is in bits a dimension.

  Views: `encode` and `decode` are each other's inverse; a grey level stands for the middle of its interval. `sample`
  decodes normal latents and rounds them to grey levels. `log_weight` is log p of the image and its noise, less log q of
  the noise, in nats, and `log_prob` the same for one fixed key: a bound of log P of the grey levels. Without levels
  `log_prob` is the exact log density.

  Args:
    net: see Shapes.
    shape: H, W, C.
    levels: of grey that the data have, at equal distances from black to white. None: images are real numbers, with a
      density of their own; of images with few values it has no upper limit.
    dequantiser_net: see Shapes; None: uniform noise.
    temperature: standard deviation of the latents of `sample`.
    optimizer: of both nets.
    ema: decay of the averaged variables that the views use; 0: none.
    accumulate: parts of a batch that are worked on one after the other.
    remat: whether a step computes again what lies between its convolutions and products, to hold less.

  Raises:
    ValueError: a setting that is out of range, or settings that do not go together.
  """
  if levels is not None and not 2 <= levels <= 256:
    raise ValueError(f"levels {levels}; use 2 to 256, or None for images that are real numbers")
  if levels is None and dequantiser_net is not None:
    raise ValueError("levels None with a dequantiser_net; set levels, or leave the dequantiser_net out")
  if temperature < 0:
    raise ValueError(f"temperature {temperature}; use 0 or more")
  size, both = math.prod(shape), Dequantised(net, dequantiser_net, levels)

  def noise(key: Array, images: Array) -> Array:
    draw = jax.random.uniform if dequantiser_net is None else jax.random.normal
    return draw(key, images.shape)

  def init(key: Array, batch: Batch) -> Variables:
    """The layers start by the whole first batch, see nets/bijections.py."""
    check_images(batch["image"], shape, 1, "1")
    key_net, key_noise = jax.random.split(key)
    return both.init(key_net, batch["image"], noise(key_noise, batch["image"]))

  def log_weight(key: Array, variables: Variables, x: Array) -> Array:
    return both.apply(variables, x, noise(key, x))[1]

  def loss(key: Array, variables: Variables, batch: Batch) -> tuple[Array, tuple[Any, Metrics]]:
    images, collections = batch["image"], list(collections_of(variables))
    (latents, log_prob), after = both.apply(variables, images, noise(key, images), mutable=collections)
    return -log_prob.mean() / (size * math.log(2)), (after, {"latent_square": (latents**2).mean()})

  def draw(key: Array, n: int) -> Array:
    return temperature * jax.random.normal(key, (n, size))

  def decode(variables: Variables, latents: Array) -> Array:
    images = both.apply(variables, latents, method="decode")
    return images if levels is None else jnp.clip(images, -1, 1)

  def sample(key: Array, variables: Variables, n: int) -> Array:
    images = decode(variables, draw(key, n))
    return images if levels is None else to_images(to_levels(images, levels), levels)

  def latents(variables: Variables) -> Latents:
    return Latents(draw, lambda z, labels: z, lambda z, labels: decode(variables, z), has_w=False, normal=True)

  def likelihood(variables: Variables) -> Likelihood:
    if levels is None:
      return Likelihood("exact", "density")
    return Likelihood("bound", dequantisation="uniform" if dequantiser_net is None else "variational")

  def kernels(key: Array, batch: Batch) -> dict[str, Kernel]:
    variables, n = init(key, batch), batch["image"].shape[0]
    return {"sampler": Kernel(lambda key, variables: sample(key, variables, n), (key, variables), n, "images")}

  views = {
    "sample": sample,
    "log_prob": lambda variables, x: log_weight(jax.random.key(0), variables, x),
    "log_weight": log_weight,
    "likelihood": likelihood,
    "encode": lambda variables, x: both.apply(variables, x, method="encode")[0],
    "decode": decode,
    "latents": latents,
  }
  return fit(init, loss, optimizer, ema=ema, accumulate=accumulate, remat=remat, views=views, kernels=kernels)
