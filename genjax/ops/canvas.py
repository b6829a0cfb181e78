"""A picture of any size from a score of patches: gradients of overlapping patches are averaged on one canvas.

A move draws patches at random places, takes the gradient of their summed score by each of them, gives every pixel the
mean over the patches that cover it, and lets a Rule (ops/langevin.py) make a step of it. The patches are divided into
parts, and each part into chunks: the memory of the net follows parts x chunk, not the number of patches. Every part
adds up its own canvas of gradients; on a mesh that splits the parts, their sum is the only exchange.

Papers   WINN  Lee, Xu, Fan & Tu, CVPR 2018; thesis (UCSD 2022) 2.5.2: a canvas of 320x320, 200 patches of 64x64 a move,
         gradients averaged where patches overlap, the 256x256 in the middle reported. It follows INNg (Lazarow, Jin
         & Tu, ICCV 2017), whose code for this was not released.
Departs  The sources leave open the number of moves, the stop and the optimiser's state; here:
         A pixel that no patch covers stands still, and so do its moments and its step number: Adam corrects the bias
         of each pixel by the moves that this pixel made. A gradient of zero instead would let the moments of unseen
         pixels move them, and would forget the last gradient.
         The canvas stops as one chain, with one threshold drawn from the range of f over the positives, as soon as the
         mean score of a move's patches reaches it; at most `steps` moves. A mean over many patches varies less than f
         does over positives, and the net leaves a canvas that stops low in the range unfinished: `above` draws higher.
         It starts as a mosaic of p0 images of the patch size, so that the net meets what it was trained from.
         Other sizes: as many patches as keep the mean number of patches over a pixel in the middle that of the thesis,
         200 * 64^2 / 257^2 = 12.4. A margin of 32 gives the outermost reported pixels half of that along each side
         (the thesis says "equal probability"; that takes a margin of 63).
         On a GPU a scatter adds in no fixed order: there two runs may differ by rounding.
Shapes   image [H, W, C] float32 in [low, high]; patches [m, h, w, C]; score: patches -> [m]
Checked  tests/ops/test_canvas.py: equal to a plain loop in numpy; a quadratic score ends where it must.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from genjax.ops.langevin import Rule

Array = jax.Array
Score = Callable[[Array], Array]  # patches [m, h, w, C] -> [m]
Noise = Callable[[Array, int], Array]  # key, m -> patches [m, h, w, C]
Spread = Callable[[Array], Array]  # constrains the first axis, of the parts, to be split over devices
THESIS_COVER = 200 * 64**2 / 257**2  # patches over a pixel in the middle of the canvas, in the mean


class Stage(NamedTuple):
  """One of a cascade."""

  score: Score
  bounds: Array  # [2] its least and greatest value over positives
  active: Array | bool = True  # a stage that was not trained yet leaves the canvas as it is


class Canvas(NamedTuple):
  """Where a canvas ended."""

  image: Array  # [H, W, C]
  score: Array  # [] mean score of freshly drawn patches
  moves: Array  # [] int32
  stopped: Array  # [] bool, whether it reached its threshold


def count_of(size: tuple[int, int], patch: tuple[int, int], cover: float = THESIS_COVER) -> int:
  """Patches a move that put `cover` of them, in the mean, over a pixel in the middle; 200 for 320x320 and 64x64."""
  _fits(size, patch)
  places = (size[0] - patch[0] + 1) * (size[1] - patch[1] + 1)
  return max(1, round(cover * places / (patch[0] * patch[1])))


class Places(NamedTuple):
  """Where patches are: L parts, K chunks in each, m patches in a chunk."""

  corner: Array  # [L, K, m, 2] int32, top and left
  real: Array  # [L, K, m] bool; the others fill up the last chunk, and count for nothing


def scatter_places(
  key: Array,
  count: int,
  size: tuple[int, int],
  patch: tuple[int, int],
  *,
  chunk: int = 32,
  parts: int = 1,
  spread: Spread = lambda parts: parts,
) -> Places:
  """Draws `count` places, uniform over all at which a patch fits; the same places for any parts and chunk.

  Args:
    chunk: patches of a part that the net sees together, at most.
    parts: how many parts the patches are divided into; a multiple of the devices.
    spread: puts the parts [L, ...] on devices.
  """
  _fits(size, patch)
  chunks = -(-count // (parts * chunk))
  width = -(-count // (parts * chunks))  # as even as it goes
  number = spread(jnp.arange(parts * chunks * width).reshape(parts, chunks, width))
  most = jnp.array([size[0] - patch[0] + 1, size[1] - patch[1] + 1])
  one = lambda number: jax.random.randint(jax.random.fold_in(key, number), (2,), 0, most)
  return Places(jax.vmap(one)(number.reshape(-1)).reshape(*number.shape, 2), number < count)


def slope(score: Score, image: Array, places: Places, patch: tuple[int, int]) -> tuple[Array, Array, Array]:
  """The mean gradient of each pixel of image [H, W, C] over the patches that cover it.

  Returns:
    gradient [H, W, C], 0 where no patch is; cover [H, W, 1] int32, patches over each pixel; mean score [].
  """
  parts, _, width = places.real.shape

  def work(sums: Array, some: Places) -> tuple[Array, Array]:
    patches = jax.vmap(jax.vmap(lambda at: lax.dynamic_slice(image, (*at, 0), (*patch, image.shape[2]))))(some.corner)
    flat = patches.reshape(parts * width, *patch, image.shape[2])
    gradient, scores = jax.grad(lambda x: _summed(score(x)), has_aux=True)(flat)
    gradient = jnp.where(some.real[..., None, None, None], gradient.reshape(patches.shape), 0.0)
    return jax.vmap(_add)(sums, some.corner, gradient), jnp.where(some.real, scores.reshape(parts, width), 0.0)

  start = jnp.zeros((parts, *image.shape))
  sums, scores = lax.scan(work, start, jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), places))
  cover = cover_of(places, image.shape[:2], patch)[..., None]
  return sums.sum(0) / jnp.maximum(cover, 1), cover, scores.sum() / places.real.sum()


def cover_of(places: Places, size: tuple[int, int], patch: tuple[int, int]) -> Array:
  """How many patches cover each pixel, [H, W] int32: corners of the patches, summed along both axes."""

  def corners(at: Array, real: Array) -> Array:
    top, left = at.reshape(-1, 2).T
    count = real.reshape(-1).astype(jnp.int32)
    steps = jnp.zeros((size[0] + 1, size[1] + 1), jnp.int32)
    for down, right, sign in ((0, 0, 1), (patch[0], 0, -1), (0, patch[1], -1), (patch[0], patch[1], 1)):
      steps = steps.at[top + down, left + right].add(sign * count)
    return steps

  return jax.vmap(corners)(*places).sum(0).cumsum(0).cumsum(1)[:-1, :-1]


def ascend(
  key: Array,
  score: Score,
  image: Array,
  *,
  patch: tuple[int, int],
  rule: Rule,
  steps: int,
  patches: int | None = None,
  threshold: Array | float | None = None,
  chunk: int = 32,
  parts: int = 1,
  spread: Spread = lambda parts: parts,
  low: float = -1.0,
  high: float = 1.0,
) -> Canvas:
  """Moves one canvas [H, W, C] up the score of its patches, at most `steps` times, clipped after each move.

  It stops as soon as the mean score of a move's patches reaches `threshold` (None: never), before that move; the rest
  of the scan does no work. A score that becomes NaN never reaches it, so that the NaN stays visible.

  Args:
    patches: a move; None: as dense as in the thesis, `count_of`.
    chunk, parts, spread: as `scatter_places` has them.
  """
  count = count_of(image.shape[:2], patch) if patches is None else patches
  if count < 1 or chunk < 1 or parts < 1:
    raise ValueError(f"{count} patches in chunks of {chunk} and {parts} parts; use at least 1 of each")
  goal = jnp.inf if threshold is None else threshold
  key_places, key_move, key_last = jax.random.split(key, 3)

  def look(key: Array, image: Array) -> tuple[Array, Array, Array]:
    places = scatter_places(key, count, image.shape[:2], patch, chunk=chunk, parts=parts, spread=spread)
    return slope(score, image, places, patch)

  def work(carry, index):
    image, moment, age, active, moves = carry
    gradient, cover, mean = look(jax.random.fold_in(key_places, index), image)
    active = active & ~(mean >= goal)
    move, after = rule.move(jax.random.fold_in(key_move, index), gradient, moment, age)
    covered = active & (cover > 0)
    image = jnp.where(covered, jnp.clip(image + move, low, high), image)
    moment = jax.tree.map(lambda old, new: jnp.where(covered, new, old), moment, after)
    return image, moment, age + covered, active, moves + active

  def body(carry, index):
    return lax.cond(carry[3], work, lambda carry, _: carry, carry, index), None

  age = jnp.zeros((*image.shape[:2], 1), jnp.int32)  # moves that a pixel made
  start = (image, rule.init(image), age, jnp.bool_(True), jnp.int32(0))
  (image, _, _, active, moves), _ = lax.scan(body, start, jnp.arange(steps, dtype=jnp.int32))
  last = look(key_last, image)[2]
  return Canvas(image, last, moves, ~active | (last >= goal))


def through(
  key: Array,
  stages: Sequence[Stage],
  image: Array,
  *,
  patch: tuple[int, int],
  rule: Rule,
  steps: int,
  above: float = 0.0,
  patches: int | None = None,
  chunk: int = 32,
  parts: int = 1,
  spread: Spread = lambda parts: parts,
) -> Canvas:
  """Takes a canvas through the stages of a cascade, each up to a threshold drawn from its own bounds.

  Args:
    above: the share of the bounds that no threshold is drawn from: 0 for all of them, 1 for the upper bound alone.
    patch, rule, steps, patches, chunk, parts, spread: as `ascend` has them.
  """
  settings = {"patch": patch, "rule": rule, "steps": steps, "patches": patches}
  settings |= {"chunk": chunk, "parts": parts, "spread": spread}
  for number, stage in enumerate(stages):
    key_threshold, key_climb = jax.random.split(jax.random.fold_in(key, number))
    least, greatest = stage.bounds
    drawn = least + (greatest - least) * jax.random.uniform(key_threshold, minval=above, maxval=1.0)
    threshold = jnp.where(stage.active, drawn, -jnp.inf)  # reached before the first move
    done = ascend(key_climb, stage.score, image, threshold=threshold, **settings)
    image = done.image
  return done


def mosaic(key: Array, noise: Noise, shape: tuple[int, int, int], patch: tuple[int, int]) -> Array:
  """A canvas [H, W, C] laid out with p0 images of the patch size; the last ones are cut off at the borders."""
  rows, columns = -(-shape[0] // patch[0]), -(-shape[1] // patch[1])
  tiles = noise(key, rows * columns).reshape(rows, columns, *patch, shape[2])
  whole = tiles.swapaxes(1, 2).reshape(rows * patch[0], columns * patch[1], shape[2])
  return whole[: shape[0], : shape[1]]


def canvases(
  *,
  noise: Noise,
  sampler: Rule,
  shape: tuple[int, int, int],
  size: int | tuple[int, int] = 256,
  margin: int = 32,
  cover: float = THESIS_COVER,
  steps: int = 2000,
  above: float = 0.0,
  chunk: int = 32,
) -> Callable[..., Array]:
  """Pictures of any size from stages that know patches of one size.

  Args:
    noise: p0 of patches.
    sampler: the rule by which the canvas climbs.
    shape: h, w, C of a patch.
    size: of the pictures, a side, or height and width.
    margin: pixels round a picture that are synthesised too and then cut off.
    cover: patches of a move over a pixel in the middle, in the mean.
    steps: at most this many moves of a canvas, in every stage.
    above: where in the range of f over positives thresholds begin, 0 to 1; see `through`.
    chunk: patches of a part that the net sees together.

  Returns:
    (key, stages, n, parts=1, spread=no constraint) -> images [n, *size, C], made one after the other.

  Raises:
    ValueError: a canvas that is smaller than a patch, and numbers out of range.
  """
  height, width = (size, size) if isinstance(size, int) else size
  patch, whole = shape[:2], (height + 2 * margin, width + 2 * margin, shape[2])
  if margin < 0 or min(height, width) < 1 or steps < 0:
    raise ValueError(f"size {size}, margin {margin}, steps {steps}; use a size of at least 1, the others at least 0")
  if not 0 <= above <= 1:
    raise ValueError(f"above {above}; use 0 for thresholds from all of the range of f, up to 1 for its upper end")
  count = count_of(whole[:2], patch, cover)

  def draw(key: Array, stages: Sequence[Stage], n: int, parts: int = 1, spread: Spread = lambda parts: parts) -> Array:
    def one(key: Array) -> Array:
      key_start, key_climb = jax.random.split(key)
      start = mosaic(key_start, noise, whole, patch)
      done = through(
        key_climb,
        stages,
        start,
        patch=patch,
        rule=sampler,
        steps=steps,
        above=above,
        patches=count,
        chunk=chunk,
        parts=parts,
        spread=spread,
      )
      return done.image[margin : margin + height, margin : margin + width]

    return lax.map(one, jax.random.split(key, n))

  return draw


def _fits(size: tuple[int, int], patch: tuple[int, int]) -> None:
  if size[0] < patch[0] or size[1] < patch[1]:
    raise ValueError(
      f"a canvas of {size[0]}x{size[1]} holds no patch of {patch[0]}x{patch[1]}; use at least the patch's size"
    )


def _add(sums: Array, places: Array, gradient: Array) -> Array:
  """Adds patches [m, h, w, C] to a canvas [H, W, C] at their places."""
  numbers = lax.ScatterDimensionNumbers(
    update_window_dims=(1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(0, 1)
  )
  return lax.scatter_add(sums, places, gradient, numbers, mode="promise_in_bounds")


def _summed(scores: Array) -> tuple[Array, Array]:
  return scores.sum(), scores
