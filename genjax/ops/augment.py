"""From raw uint8 batches to what systems see: the range [-1, 1], flips and crops, all inside the jitted step.

Every example draws from its own key, folded in from its place in the global batch: the result does not depend on the
number of devices, nor on the other examples.

Shapes   B batch, H W C image. Raw images [B, H, W, C] uint8 in 0..255; unit images [B, H, W, C] float32 in [-1, 1].
Checked  tests/ops/test_augment.py
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from genjax.core import Array, Batch


def to_unit(images: Array) -> Array:
  """uint8 in 0..255 to float32 in [-1, 1]: x / 127.5 - 1, the same bits on every device.

  Floating images are taken to be in [-1, 1] already and only become float32.
  """
  if jnp.issubdtype(images.dtype, jnp.floating):
    return images.astype(jnp.float32)
  if images.dtype != jnp.uint8:
    raise TypeError(f"images are {images.dtype}; wanted uint8 in 0..255 or a float type in [-1, 1]")
  return (2.0 * images.astype(jnp.float32) - 255.0) * (
    1 / 255
  )  # one rounding only: jit has nothing to fuse differently


def to_uint8(images: Array) -> Array:
  """Floats in [-1, 1] to uint8: round((x + 1) * 127.5), clipped to 0..255. Undoes `to_unit` exactly."""
  return jnp.clip(jnp.round((images.astype(jnp.float32) + 1.0) * 127.5), 0.0, 255.0).astype(jnp.uint8)


def _example_keys(key: Array, images: Array) -> Array:
  if images.ndim != 4:
    raise ValueError(f"images have shape {images.shape}; wanted [B, H, W, C]")
  return jax.vmap(lambda index: jax.random.fold_in(key, index))(jnp.arange(images.shape[0]))


def flip(key: Array, images: Array) -> Array:
  """Mirror each image left to right with probability 1/2; any dtype [B, H, W, C]."""
  mirrored = jax.vmap(jax.random.bernoulli)(_example_keys(key, images))
  return jnp.where(mirrored[:, None, None, None], images[:, :, ::-1, :], images)


def crop(key: Array, images: Array, size: int | tuple[int, int]) -> Array:
  """Cut a patch of `size` (side, or height and width) out of each image at a uniform place; keeps the dtype."""
  height, width = (size, size) if isinstance(size, int) else size
  if not (0 < height <= images.shape[1] and 0 < width <= images.shape[2]):
    raise ValueError(f"crop {height}x{width} does not fit in images of {images.shape[1]}x{images.shape[2]}")

  def cut(key_place: Array, image: Array) -> Array:
    key_top, key_left = jax.random.split(key_place)
    top = jax.random.randint(key_top, (), 0, image.shape[0] - height + 1)
    left = jax.random.randint(key_left, (), 0, image.shape[1] - width + 1)
    return jax.lax.dynamic_slice(image, (top, left, 0), (height, width, image.shape[2]))

  return jax.vmap(cut)(_example_keys(key, images), images)


def pad_crop(key: Array, images: Array, pad: int) -> Array:
  """Shift each image by up to `pad` pixels each way: pad with black on all sides, then crop back to [B, H, W, C]."""
  return crop(key, _pad(images, pad), images.shape[1:3])


def _pad(images: Array, pad: int) -> Array:
  """Black is 0 in uint8 and -1 in floats."""
  if pad < 0:
    raise ValueError(f"pad {pad} is negative; wanted 0 or more pixels")
  black = -1 if jnp.issubdtype(images.dtype, jnp.floating) else 0
  return jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=black)


def prepare(key: Array, batch: Mapping[str, Array], *, flip: bool = False, pad: int = 0, crop: int = 0) -> Batch:
  """A raw batch to a Batch: crop, flip, then `to_unit`; all entries but "image" pass unchanged.

  Args:
    key: of the step.
    batch: "image" [B, H, W, C] uint8, or floats in [-1, 1].
    flip: mirror each image with probability 1/2.
    pad: pixels of black put round each image before the crop.
    crop: side of the random patch; 0 is the image's own height and width.

  Returns:
    The batch with "image" float32 in [-1, 1].
  """
  key_crop, key_flip = jax.random.split(key)
  images = batch["image"]
  if pad or crop:
    images = _crop(key_crop, _pad(images, pad), crop or images.shape[1:3])
  if flip:
    images = _flip(key_flip, images)
  return {**batch, "image": to_unit(images)}


_crop, _flip = crop, flip  # `prepare` has arguments of these names


_GREY = (0.299, 0.587, 0.114)  # of red, green and blue: Pillow's weights, and torchvision's


def jitter(key: Array, images: Array, strength: float) -> Array:
  """Brightness, contrast and saturation of each image by factors of 1 - strength to 1 + strength, in random order.

  Torchvision's ColorJitter without hue: the image is mixed with black, with its mean grey level, with its grey image.
  Grey images have no saturation.

  Args:
    images: [B, H, W, C] float32 in 0..255, C 1 or 3; the result is clipped to that range after every one.
    strength: 0 to 1.
  """
  if not 0 <= strength <= 1:
    raise ValueError(f"jitter {strength} is not in [0, 1]")
  if images.shape[-1] not in (1, 3):
    raise ValueError(f"jitter takes images of 1 or 3 channels, not {images.shape[-1]}")

  def grey(image: Array) -> Array:
    weights = jnp.array(_GREY) if image.shape[-1] == 3 else jnp.ones(1)
    return (image * weights[None, None]).sum(-1, keepdims=True)

  ways = (jnp.zeros_like, lambda image: jnp.zeros_like(image) + grey(image).mean(), grey)

  def one(key_image: Array, image: Array) -> Array:
    key_order, key_factors = jax.random.split(key_image)
    factors = jax.random.uniform(key_factors, (3,), minval=1 - strength, maxval=1 + strength)
    mixed = [lambda image, of=of, f=f: jnp.clip(f * image + (1 - f) * of(image), 0.0, 255.0)
             for of, f in zip(ways, factors, strict=True)]  # fmt: skip
    apply = lambda image, which: (jax.lax.switch(which, mixed, image), None)
    return jax.lax.scan(apply, image, jax.random.permutation(key_order, 3))[0]

  return jax.vmap(one)(_example_keys(key, images), images)


def prepare_episodes(
  key: Array | None,
  batch: Mapping[str, Array],
  *,
  mean: tuple[float, ...],
  std: tuple[float, ...],
  pad: int = 0,
  jitter: float = 0.0,
  flip: bool = False,
) -> Batch:
  """Raw episodes to what an embedding sees: crop, jitter, flip, then (x - mean) / std, in the released order.

  Args:
    key: of the step; None: nothing is augmented.
    batch: "support" and "query" [E, n, H, W, C] uint8; all other entries pass unchanged.
    mean, std: of the channels, on the scale 0 to 255; one number is of all channels.
    pad: pixels of black put round each image before it is cropped back.
    jitter: strength of `jitter`.
    flip: mirror each image with probability 1/2.
  """
  prepared = dict(batch)
  for number, name in enumerate(("support", "query")):
    raw = batch[name]
    images = raw.reshape(-1, *raw.shape[2:])
    if key is not None:
      key_crop, key_jitter, key_flip = jax.random.split(jax.random.fold_in(key, number), 3)
      images = pad_crop(key_crop, images, pad) if pad else images
      images = _jitter(key_jitter, images.astype(jnp.float32), jitter) if jitter else images
      images = _flip(key_flip, images) if flip else images
    centre, width = (jnp.asarray(moment, jnp.float32)[None, None, None] for moment in (mean, std))
    prepared[name] = ((images.astype(jnp.float32) - centre) / width).reshape(raw.shape)
  return prepared


_jitter = jitter
