"""A pool of images that lives on the devices: what was synthesised so far, drawn from without moving it.

The pool has one lane for each position of a batch: the image at position j is drawn from lane j, and new image i goes
to a lane fixed by i. So a mesh that shards the batch shards the pool in the same way, every read and write is local to
a device, and the result does not depend on how many devices there are. Which lane an image lands in carries no
meaning, so a draw is uniform over the pool, stratified by lane.

Papers   WINN  Lee et al., CVPR 2018, Algorithm 1: pseudo-negatives of all earlier stages are kept.
         reservoir  Vitter, "Random sampling with a reservoir", ACM TOMS 1985, Algorithm R
Departs  The released code's pool grows without bound, on disk. Here it has a capacity. Full and "reservoir": a draw is
         still uniform over every image ever appended, as if nothing had been dropped. Full and "ring": the oldest goes.
Shapes   L lanes, D depth, F = H * W * C; images [L, D, F] float32 or uint8; count [L] int32, appended so far. Images
         lie flat because a TPU pads the last two dimensions to 8 x 128: [32, 32, 3] took two to four times its bytes.
         A pool by class has K lanes for each position of a batch: lane j * K + c holds position j's images of class c.
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
  count: Array  # [L] int32; the same number in every lane, kept per lane so that reading it is local


def empty(lanes: int, depth: int, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Pool:
  """A pool for `lanes * depth` images [H, W, C]."""
  return Pool(jnp.zeros((lanes, depth, math.prod(shape)), dtype), jnp.zeros((lanes,), jnp.int32))


def to_lanes(images: Array, lanes: int) -> Array:
  """[n, ...] -> [lanes, n / lanes, ...]: a contiguous run of images per lane, so that sharding survives."""
  if images.shape[0] % lanes:
    raise ValueError(f"{images.shape[0]} images do not divide over {lanes} lanes; use a multiple of {lanes}")
  return images.reshape(lanes, images.shape[0] // lanes, *images.shape[1:])


def append(key: Array, pool: Pool, images: Array, *, policy: Policy = "reservoir") -> Pool:
  """Adds images [n, H, W, C] of the pool's own dtype, n a multiple of the lanes.

  Run i of n / lanes images goes to lane i. A full pool drops, by `policy`: "reservoir", a uniform one of all that was
  ever appended; "ring", the oldest.
  """
  if policy not in ("reservoir", "ring"):
    raise ValueError(f"pool policy {policy!r}; use 'reservoir' or 'ring'")
  lanes, depth = pool.images.shape[:2]
  size = math.prod(images.shape[1:])
  if images.dtype != pool.images.dtype or size != pool.images.shape[2]:
    raise ValueError(
      f"images are {size} values of {images.dtype}, the pool holds {pool.images.shape[2]} of {pool.images.dtype}"
    )
  fresh = to_lanes(images.reshape(-1, size), lanes)

  def put(pool: Pool, item: tuple[Array, Array]) -> tuple[Pool, None]:
    key, image = item
    oldest = pool.count % depth
    if policy == "reservoir":  # the c-th image ever stays with probability D / (c + 1), in a uniform slot
      drawn = jax.random.randint(key, (lanes,), 0, pool.count + 1)
      slot = jnp.where(pool.count < depth, oldest, drawn)  # a slot past the end drops the image
    else:
      slot = oldest
    images = jax.vmap(lambda lane, i, x: lane.at[i].set(x, mode="drop"))(pool.images, slot, image)
    return Pool(images, pool.count + 1), None

  return lax.scan(put, pool, (jax.random.split(key, fresh.shape[1]), fresh.swapaxes(0, 1)))[0]


def draw(key: Array, pool: Pool, n: int) -> Array:
  """n images uniformly with replacement, [lanes, n / lanes, F]; n a multiple of the lanes.

  Only slots that were filled are drawn; of a pool without any image, zeros.
  """
  lanes, depth = pool.images.shape[:2]
  if n % lanes:
    raise ValueError(f"{n} images do not divide over {lanes} lanes; use a multiple of {lanes}")
  filled = jnp.minimum(pool.count, depth)[:, None]
  index = jax.random.randint(key, (lanes, n // lanes), 0, jnp.maximum(filled, 1))
  return jax.vmap(lambda lane, i: lane[i])(pool.images, index)


def draw_class(key: Array, pool: Pool, label: Array) -> Array:
  """For each label one image of that class, uniformly with replacement, from a pool by class.

  Args:
    key: of the choice.
    pool: of P * K lanes: K classes for each of P positions.
    label: [P, n] int32 in 0 ... K - 1, row j the labels at position j.

  Returns:
    [P, n, F]; of a class without any image, zeros.
  """
  positions = label.shape[0]
  lanes, depth, size = pool.images.shape
  if lanes % positions:
    raise ValueError(f"{lanes} lanes do not divide over {positions} positions; give each position one lane a class")
  filled = jnp.minimum(pool.count, depth).reshape(positions, -1)
  held = jnp.maximum(jnp.take_along_axis(filled, label, axis=1), 1)
  index = jax.random.randint(key, label.shape, 0, held)
  of_class = pool.images.reshape(positions, -1, depth, size)  # only the leading axis is split: no copy on a TPU
  return jax.vmap(lambda lanes, c, i: lanes[c, i])(of_class, label, index)
