"""What all data sets of images share: batches by step, preparation, held-out splits, and what is known of them.

Shapes   raw: "image" [B, H, W, C] uint8 in 0..255 and, where there are labels, "label" [B] int32. Prepared: "image"
         float32 in [-1, 1].
Checked  tests/data/test_images.py
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.core import Array, Batch, Dataset, Split
from genjax.data.epochs import Share
from genjax.data.image_batches import batches, stream
from genjax.data.image_set import ImageSet, Source, gather, inverted
from genjax.data.show import grid
from genjax.ops.augment import prepare, to_unit

MEMORY_LIMIT = 4 * 2**30  # bytes of uint8 pixels that are held in memory


class Augment(NamedTuple):
  """What happens to training images inside a step: padded with black, cropped at random, mirrored with chance 1/2.

  pad: pixels on every side. crop: side of the patch; 0 is the image's own height and width.
  """

  flip: bool = False
  pad: int = 0
  crop: int = 0


AS_THEY_ARE = Augment()


def image_dataset(
  open_split: Callable[[str], Source | ImageSet],
  share: Share,
  *,
  split: str,
  augment: Augment = AS_THEY_ARE,
  invert: bool = False,
  in_memory: bool | None = None,
  resolve: Callable[[str], str] = lambda split: split,
  show: Callable[[np.ndarray], np.ndarray] = grid,
  facts: Mapping[str, Any] | None = None,
) -> Dataset:
  """The data set whose splits `open_split` opens.

  Args:
    open_split: the images of a split by its name.
    share: of each batch.
    split: to train on.
    augment: of training images.
    invert: 255 - x in place of every x.
    in_memory: None holds up to MEMORY_LIMIT bytes of pixels in memory and streams what is larger from disk.
    resolve: a split as it is asked for -> as `open_split` takes it.
    show: what makes a picture of examples.
    facts: more of them.

  Raises:
    ValueError, OSError: of `open_split`; a crop that does not fit; a batch that does not divide.
  """

  @functools.cache
  def opened(split: str) -> Source | ImageSet:
    images = open_split(split)
    return inverted(images) if invert else images

  @functools.cache
  def held(split: str) -> ImageSet:
    images = opened(split)
    return gather(images) if isinstance(images, Source) else images

  @functools.cache
  def split_of(name: str) -> Split:
    resolved = resolve(name)
    if not in_memory and not _fits(opened(resolved)):
      raise ValueError(_too_large(opened(resolved), resolved))
    images = held(resolved)
    labels = {} if images.labels is None else {"label": images.labels}
    return Split(f"{images.name}/{resolved}", images.digest, {"image": images.images, **labels})

  train = opened(resolve(split))
  streamed = isinstance(train, Source) and not (_fits(train) if in_memory is None else in_memory)
  if streamed:
    batch = stream(train, **share._asdict())
  else:
    train = held(resolve(split))
    batch = batches(train, **share._asdict())
  known = {
    "shape": _shape(train, augment),
    "classes": train.classes,
    "train_split": resolve(split),
    "name": train.name,
    "describe": _described(train, augment, streamed),
    **(facts or {}),
  }
  return Dataset(batch, preparation(augment), known, split_of, show)


def preparation(augment: Augment) -> Callable[[Array | None, Batch], Batch]:
  """`prepare` of a Dataset: images to [-1, 1], augmented where a key is given; the rest of a batch passes unchanged."""

  def prepared(key: Array | None, raw: Batch) -> Batch:
    if key is None:
      return {**raw, "image": to_unit(raw["image"])}
    return prepare(key, raw, **augment._asdict())

  return prepared


def _fits(images: Source | ImageSet) -> bool:
  return isinstance(images, ImageSet) or images.count * int(np.prod(images.shape)) <= MEMORY_LIMIT


def _too_large(images: Source, split: str) -> str:
  return (
    f"{images.name}/{split}: {_counted(images)} do not fit into the {MEMORY_LIMIT / 2**30:g} GiB that are held in "
    f'memory; ask for a slice, such as "{split.partition("[")[0]}[:1000]", or set data.in_memory=True'
  )


def _shape(images: Source | ImageSet, augment: Augment) -> tuple[int, int, int]:
  """H, W, C of prepared images."""
  height, width, channels = images.shape
  _, pad, crop = augment
  if pad < 0 or not 0 <= crop <= min(height, width) + 2 * pad:
    raise ValueError(
      f"data.pad={pad} and data.crop={crop} do not fit images of {height}x{width}; "
      f"wanted a pad of 0 or more and a crop of 0 (none) to {min(height, width) + 2 * max(pad, 0)}"
    )
  return (crop, crop, channels) if crop else (height, width, channels)


def _counted(images: Source | ImageSet) -> str:
  return f"{images.count:,} {'image' if images.count == 1 else 'images'} of {'x'.join(map(str, images.shape))}"


def _described(images: Source | ImageSet, augment: Augment, streamed: bool) -> str:
  """One line for the start of a run: "digits: 1,297 images of 8x8x1, 10 classes"."""
  classes = {None: "no labels", 1: "1 class"}.get(images.classes, f"{images.classes} classes")
  patches = [f"in patches of {augment.crop}x{augment.crop}"] if augment.crop else []
  return ", ".join([f"{images.name}: {_counted(images)}", classes, *patches, *(["read from disk"] * streamed)])
