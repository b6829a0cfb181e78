"""Differentiable augmentation: changes of the images that a critic sees, so that it cannot memorise the data.

    colour -> mirror, scale, shift in one resampling -> a square of grey

Each change applies to each image with a probability of its own. Given the draws, every map is affine in the images.

Papers   DiffAugment  Zhao et al. 2020, arXiv:2006.10738: colour, translation, cutout, always applied ("stock")
         ADA          Karras et al. 2020, arXiv:2006.06676: scaling by 2^(0.2 n), n normal
         ViTGAN       Lee et al. 2022, arXiv:2107.04589: colour, translation, cutout, scaling, p = 0.8 ("thesis"); the
                      released code has other numbers ("released")
Departs  Outside the image all is 0, grey, as in DiffAugment, also for scaling; ADA mirrors the edge, and filters.
         The order is that of DiffAugment, with mirror and scaling before the shift.
Shapes   images [B, H, W, C] float in [-1, 1], C any: with one channel there is nothing to saturate. A change of
         colour may leave that range.
Keys     image j draws from fold_in(key, j): the result does not depend on the devices or on the other images.
Checked  tests/ops/test_diffaugment.py: numpy, pixel by pixel.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
BRIGHTNESS = 0.5  # added, -0.5 to 0.5
SATURATION = 1.0  # factor 0 to 2
CONTRAST = 0.5  # factor 0.5 to 1.5
TRANSLATION = 0.125  # of the side, each way
CUTOUT = 0.5  # of the side
SCALING = 0.2  # standard deviation of the factor's binary logarithm


class Policy(NamedTuple):
  """The probability that an image meets each change."""

  colour: float = 0.0  # brightness, saturation and contrast, all three or none
  brightness: float = 0.0  # each of them by itself, in place of `colour`
  saturation: float = 0.0
  contrast: float = 0.0
  flip: float = 0.0
  scaling: float = 0.0
  translation: float = 0.0
  cutout: float = 0.0


POLICIES = {
  "thesis": Policy(colour=0.8, scaling=0.8, translation=0.8, cutout=0.8),
  "stock": Policy(colour=1.0, translation=1.0, cutout=1.0),
  "released": Policy(brightness=0.8, saturation=0.8, contrast=0.8, flip=0.45, translation=0.8, cutout=0.3),
}


def policy_of(text: str) -> Policy:
  """A Policy from a name in POLICIES, or from changes with their probabilities: "translation=0.8,cutout=0.3".

  Raises:
    ValueError: another word, a number outside [0, 1], or `colour` beside one of its three.
  """
  if text in POLICIES:
    return POLICIES[text]
  chances: dict[str, float] = {}
  for pair in text.replace(" ", "").split(","):
    name, _, number = pair.partition("=")
    try:
      chances[name] = float(number)
    except ValueError:
      chances[name] = -1.0
    if name not in Policy._fields or not 0 <= chances[name] <= 1:
      raise ValueError(
        f"augment {text!r}: {pair!r} is no change; use {', '.join(POLICIES)}, or NAME=PROBABILITY joined by commas, "
        f"NAME one of {', '.join(Policy._fields)}"
      )
  policy = Policy(**chances)
  if policy.colour and (policy.brightness or policy.saturation or policy.contrast):
    raise ValueError(f"augment {text!r}: colour is brightness, saturation and contrast together; use it or those")
  return policy


def diffaugment(key: Array, images: Array, policy: Policy) -> Array:
  """Images [B, H, W, C], each changed by its own draw; gradients reach `images`."""
  if images.ndim != 4:
    raise ValueError(f"images have shape {images.shape}; wanted [B, H, W, C]")
  count, height, width, _ = images.shape
  each = jax.vmap(lambda index: jax.random.fold_in(key, index))(jnp.arange(count))
  key_gate, key_amount, key_scale = jnp.moveaxis(jax.vmap(lambda key: jax.random.split(key, 3))(each), 1, 0)
  gates = jax.vmap(lambda key: jax.random.uniform(key, (len(policy),)))(key_gate)
  on = Policy(*(gates[:, place] < chance for place, chance in enumerate(policy)))  # [B] each
  amount = jax.vmap(lambda key: jax.random.uniform(key, (7,)))(key_amount).T  # [7, B] in [0, 1)

  def between(low: float, high: float, place: int) -> Array:
    return low + (high - low) * amount[place]

  def one_of(numbers: int, place: int) -> Array:
    """An integer in 0 .. numbers - 1; the product may round up to `numbers`."""
    return jnp.minimum((numbers * amount[place]).astype(jnp.int32), numbers - 1)

  if policy.colour or policy.brightness or policy.saturation or policy.contrast:
    images = coloured(
      images,
      jnp.where(on.colour | on.brightness, between(-BRIGHTNESS, BRIGHTNESS, 0), 0.0),
      jnp.where(on.colour | on.saturation, between(1 - SATURATION, 1 + SATURATION, 1), 1.0),
      jnp.where(on.colour | on.contrast, between(1 - CONTRAST, 1 + CONTRAST, 2), 1.0),
    )
  if policy.flip or policy.scaling or policy.translation:
    factor = 2 ** (SCALING * jax.vmap(jax.random.normal)(key_scale))
    shift = []
    for place, side in ((3, height), (4, width)):
      most = int(side * TRANSLATION + 0.5)
      shift.append(jnp.where(on.translation, one_of(2 * most + 1, place) - most, 0))
    images = moved(images, jnp.stack(shift, 1), jnp.where(on.scaling, factor, 1.0), on.flip)
  if policy.cutout:
    sizes = [int(side * CUTOUT + 0.5) for side in (height, width)]
    middles = [
      one_of(side + 1 - size % 2, place) for place, side, size in zip((5, 6), (height, width), sizes, strict=True)
    ]
    starts = jnp.stack([middle - size // 2 for middle, size in zip(middles, sizes, strict=True)], 1)
    images = jnp.where(on.cutout[:, None, None, None], cut(images, starts, tuple(sizes)), images)
  return images


def coloured(images: Array, brightness: Array, saturation: Array, contrast: Array) -> Array:
  """x + brightness; then mixed with each pixel's mean over channels; then with the image's mean. Numbers [B]."""
  of_image = lambda values: values[:, None, None, None].astype(images.dtype)
  images = images + of_image(brightness)
  for factor, axes in ((saturation, (3,)), (contrast, (1, 2, 3))):
    images = images * of_image(factor) + images.mean(axes, keepdims=True) * (1 - of_image(factor))
  return images


def moved(images: Array, shift: Array, factor: Array, mirrored: Array) -> Array:
  """Images mirrored left to right, made `factor` times as large about their middle, and moved down and right.

  Bilinear, as two products of matrices of an image: no gather, and no scatter in the gradient. Whole shifts alone are
  exact. Outside is 0.

  Args:
    shift: [B, 2] pixels down and right.
    factor: [B].
    mirrored: [B] bool.
  """
  tables = []
  for axis, side in enumerate(images.shape[1:3]):
    middle, grid = (side - 1) / 2, jnp.arange(side, dtype=jnp.float32)
    places = (grid[None] - shift[:, axis, None] - middle) / factor[:, None] + middle
    if axis == 1:
      places = jnp.where(mirrored[:, None], side - 1 - places, places)
    tables.append(jax.nn.relu(1 - jnp.abs(places[:, :, None] - grid[None, None])).astype(images.dtype))
  exact = lax.Precision.HIGHEST
  images = jnp.einsum("bih,bhwc->biwc", tables[0], images, precision=exact)
  return jnp.einsum("bjw,biwc->bijc", tables[1], images, precision=exact)


def cut(images: Array, starts: Array, size: tuple[int, int]) -> Array:
  """Grey (0) in a rectangle of `size` with its first corner at starts [B, 2]; what is outside the image is no loss."""
  inside = []
  for axis, (side, long) in enumerate(zip(images.shape[1:3], size, strict=True)):
    gap = jnp.arange(side)[None] - starts[:, axis, None]
    inside.append((gap >= 0) & (gap < long))
  hole = inside[0][:, :, None, None] & inside[1][:, None, :, None]
  return jnp.where(hole, jnp.zeros((), images.dtype), images)
