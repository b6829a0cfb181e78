"""Images in memory, class after class, for few-shot learning: what episodes are drawn from.

Shapes   N images, K classes, H W C image. images [N, H, W, C] uint8; labels [N] int32 in 0..K-1, ascending.
Checked  tests/data/test_few_shot_sets.py
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from genjax.data.image_set import image_set

_NAMED = 5  # classes that an error names


class FewShotSet(NamedTuple):
  """Images in memory, class after class. Build it with `few_shot_set`, which sorts them and names the content."""

  images: np.ndarray  # [N, H, W, C] uint8
  labels: np.ndarray  # [N] int32 in 0..K-1, ascending
  starts: np.ndarray  # [K] int64: where each class begins
  counts: np.ndarray  # [K] int64: images of each class
  class_ids: tuple[int, ...] | tuple[str, ...]  # [K], ascending: what the source calls them
  name: str
  split: str
  digest: str  # sha256 of shape, pixels and labels

  @property
  def shape(self) -> tuple[int, int, int]:
    """H, W, C of every image."""
    return self.images.shape[1:]

  @property
  def classes(self) -> int:
    return len(self.class_ids)


def few_shot_set(images: np.ndarray, ids: Sequence[int] | Sequence[str], *, name: str, split: str) -> FewShotSet:
  """Sort images by class and number the classes by their ids in ascending order; ties keep the order they came in.

  Args:
    images: [N, H, W, C] uint8.
    ids: [N] integers or strings, the class of each image.
    name: of the set.
    split: which part of it.

  Raises:
    ValueError: no images, another type or shape, or another number of ids than of images.
  """
  ids = np.asarray(ids)
  where = f'{name}, split "{split}"'
  if len(images) == 0:
    raise ValueError(f"{where} is empty; wanted at least one image")
  if ids.shape != (len(images),) or ids.dtype.kind not in "iuU":
    raise ValueError(
      f"{where}: {len(images)} images but class ids of type {ids.dtype} and shape {list(ids.shape)}; "
      "wanted one integer or string an image"
    )
  known, labels = np.unique(ids, return_inverse=True)
  if (np.diff(labels) < 0).any():
    order = np.argsort(labels, kind="stable")
    images, labels = images[order], labels[order]
  checked = image_set(images, labels, name=where)
  counts = np.bincount(labels, minlength=len(known)).astype(np.int64)
  starts = np.cumsum(counts) - counts
  return FewShotSet(checked.images, checked.labels, starts, counts, tuple(known.tolist()), name, split, checked.digest)


def check_disjoint(*sets: FewShotSet) -> None:
  """Refuse splits that share a class: what is learned on one would be tested on the other.

  Raises:
    ValueError: two of the sets share class ids, or name them differently (numbers and strings).
  """
  for place, one in enumerate(sets):
    for other in sets[place + 1 :]:
      kinds = [type(few.class_ids[0]).__name__ for few in (one, other)]
      if kinds[0] != kinds[1]:
        raise ValueError(f"{one.split} of {one.name} has class ids of type {kinds[0]}, {other.split} of {kinds[1]}")
      if shared := sorted(set(one.class_ids) & set(other.class_ids)):
        raise ValueError(
          f"{one.split} and {other.split} of {one.name} share {len(shared)} classes ({listed(shared)}); the class ids "
          "of few-shot splits must differ: use files whose ids count on over the splits"
        )


def merged(train: FewShotSet, val: FewShotSet) -> FewShotSet:
  """Training and validation classes as one set, e.g. for a last training run ("trainval").

  Raises:
    ValueError: they share classes, or their images differ in shape.
  """
  check_disjoint(train, val)
  if train.shape != val.shape:
    raise ValueError(f"{train.name}: images of {train.split} are {train.shape}, of {val.split} {val.shape}; wanted one")
  ids = np.concatenate([np.repeat(np.asarray(few.class_ids), few.counts) for few in (train, val)])
  images = np.concatenate([train.images, val.images])
  return few_shot_set(images, ids, name=train.name, split=f"{train.split}+{val.split}")


def listed(items: Sequence) -> str:
  """The first few of a list, for an error."""
  return ", ".join(map(str, items[:_NAMED])) + (", ..." if len(items) > _NAMED else "")
