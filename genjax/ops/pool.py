"""A pool of images that lives on the devices: what was synthesised so far; draws move nothing between devices.

The pool has one slot for each position of a batch: the image at position j is drawn from slot j, and a new image i goes
to a slot that i fixes. So a mesh that shards the batch shards the pool in the same way, every read and write is local
to a device, and the result does not depend on the number of devices. The slot of an image carries no meaning, so a draw
is uniform over the pool, stratified by slot.

Papers   WINN  Lee et al., CVPR 2018, Algorithm 1: pseudo-negatives of all earlier stages are kept.
         reservoir  Vitter, "Random sampling with a reservoir", ACM TOMS 1985, Algorithm R
Departs  The released code's pool grows without bound, on disk. Here it has a capacity. Full and "reservoir": a draw is
         still uniform over every image ever appended, as if nothing had been dropped. Full and "ring": the oldest goes.
Shapes   L slots, D places in each, F = H * W * C; images [L, D, F] float32 or uint8; count [L] int32, appended so far.
         Images lie flat because a TPU pads the last two dimensions to 8 x 128: [32, 32, 3] took two to four times its
         bytes. A pool by class has K slots for each position of a batch: slot j * K + c holds position j's images of
         class c.
Checked  tests/ops/test_pool.py: the reservoir stays uniform over all that was appended; no collectives on 8 devices.
"""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
Policy = Literal["reservoir", "ring"]


class Pool(NamedTuple):
  images: Array  # [L, D, F]
  count: Array  # [L] int32; the same number for every slot, kept for each of them so that reading it is local


def empty(slots: int, depth: int, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Pool:
  """A pool for `slots * depth` images [H, W, C]."""
  return Pool(jnp.zeros((slots, depth, math.prod(shape)), dtype), jnp.zeros((slots,), jnp.int32))


def to_slots(images: Array, slots: int) -> Array:
  """[n, ...] -> [slots, n / slots, ...]: a contiguous run of images for each slot, so that sharding survives."""
  _check_multiple(images.shape[0], slots)
  return images.reshape(slots, images.shape[0] // slots, *images.shape[1:])


def append(key: Array, pool: Pool, images: Array, *, policy: Policy = "reservoir") -> Pool:
  """Adds images [n, H, W, C] of the pool's own dtype, n a multiple of the slots.

  Run i of n / slots images goes to slot i. A full pool drops, by `policy`: "reservoir", a uniform one of all that was
  ever appended; "ring", the oldest.

  Raises:
    ValueError: another policy, dtype or size of image, or a number that the slots do not divide.
  """
  if policy not in ("reservoir", "ring"):
    raise ValueError(f"pool policy {policy!r}; use 'reservoir' or 'ring'")
  slots, depth = pool.images.shape[:2]
  size = math.prod(images.shape[1:])
  if images.dtype != pool.images.dtype or size != pool.images.shape[2]:
    raise ValueError(
      f"images are {size} values of {images.dtype}, the pool holds {pool.images.shape[2]} of {pool.images.dtype}"
    )
  fresh = to_slots(images.reshape(-1, size), slots)

  def put(pool: Pool, item: tuple[Array, Array]) -> tuple[Pool, None]:
    key, image = item
    oldest = pool.count % depth
    if policy == "reservoir":  # the c-th image ever stays with probability D / (c + 1), at a uniform place
      drawn = jax.random.randint(key, (slots,), 0, pool.count + 1)
      place = jnp.where(pool.count < depth, oldest, drawn)  # a place past the end drops the image
    else:
      place = oldest
    images = jax.vmap(lambda slot, i, x: slot.at[i].set(x, mode="drop"))(pool.images, place, image)
    return Pool(images, pool.count + 1), None

  return lax.scan(put, pool, (jax.random.split(key, fresh.shape[1]), fresh.swapaxes(0, 1)))[0]


def choose(key: Array, pool: Pool, n: int) -> Array:
  """Places of n images of the pool, uniformly with replacement: [slots, n / slots] int32; n a multiple of the slots."""
  slots, depth = pool.images.shape[:2]
  _check_multiple(n, slots)
  filled = jnp.minimum(pool.count, depth)[:, None]
  return jax.random.randint(key, (slots, n // slots), 0, jnp.maximum(filled, 1))


def at(pool: Pool, places: Array) -> Array:
  """The images at places [slots, k] or [slots] of each slot: [slots, k, F] or [slots, F]."""
  return jax.vmap(lambda slot, i: slot[i])(pool.images, places)


def draw(key: Array, pool: Pool, n: int) -> Array:
  """n images uniformly with replacement, [slots, n / slots, F]; n a multiple of the slots.

  Only places that were filled are drawn from; a pool without any image gives zeros.
  """
  return at(pool, choose(key, pool, n))


def draw_class(key: Array, pool: Pool, label: Array) -> Array:
  """For each label one image of that class, uniformly with replacement, from a pool by class.

  Args:
    key: of the choice.
    pool: of P * K slots: K classes for each of P positions.
    label: [P, n] int32 in 0 ... K - 1, row j the labels at position j.

  Returns:
    [P, n, F]; of a class without any image, zeros.
  """
  positions = label.shape[0]
  slots, depth, size = pool.images.shape
  if slots % positions:
    raise ValueError(f"{slots} slots do not divide over {positions} positions; give each position one slot a class")
  filled = jnp.minimum(pool.count, depth).reshape(positions, -1)
  held = jnp.maximum(jnp.take_along_axis(filled, label, axis=1), 1)
  index = jax.random.randint(key, label.shape, 0, held)
  of_class = pool.images.reshape(positions, -1, depth, size)  # only the leading axis is split: no copy on a TPU
  return jax.vmap(lambda slots, c, i: slots[c, i])(of_class, label, index)


def _check_multiple(n: int, slots: int) -> None:
  if n % slots:
    raise ValueError(f"{n} images do not divide over {slots} slots; use a multiple of {slots}")
