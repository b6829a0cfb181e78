"""What all few-shot data sets share: episodes by step, preparation, and splits whose classes are apart.

Shapes   raw: see data/episode_batches.py. Prepared: "support" [E, n, H, W, C] and "query" [E, m, H, W, C] float32,
         brought to mean 0 and deviation 1 by the published moments of the set, or from 0..255 to [-1, 1]; the same for
         "image" [N, H, W, C], the examples of a split.
Checked  tests/data/test_episodes.py
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from genjax.core import Array, Batch, Dataset, Split
from genjax.data.episode_batches import episodes
from genjax.data.epochs import Share
from genjax.data.few_shot_catalogue import MOMENTS
from genjax.data.few_shot_sets import FewShotSet, check_disjoint, merged
from genjax.data.show import grid
from genjax.ops.augment import prepare_episodes

_PLAIN = ((127.5,), (127.5,))  # mean and deviation that bring 0..255 to [-1, 1]


class Form(NamedTuple):
  """Classes of an episode, and the support and query images of each."""

  ways: int
  shots: int
  queries: int


class Augment(NamedTuple):
  """What happens to the images of training episodes inside a step.

  pad: pixels of black on every side, then a random crop back. jitter: of brightness, contrast and saturation, 0 to 1.
  flip: mirror with chance 1/2.
  """

  pad: int = 0
  jitter: float = 0.0
  flip: bool = False


def episode_dataset(
  open_split: Callable[[str], FewShotSet], share: Share, *, split: str, form: Form, augment: Augment
) -> Dataset:
  """The data set whose splits "train", "val" and "test" `open_split` opens.

  Whoever opens a split by `Dataset.split` learns there whether its classes are apart from those that are trained on,
  and from those of every split that was opened before.

  Raises:
    ValueError, OSError: of `open_split`; a set with too few classes or images for such episodes.
  """
  opened: dict[str, FewShotSet] = {}

  def checked(name: str) -> FewShotSet:
    name = "val" if name == "validation" else name
    if name not in opened:
      few = merged(open_split("train"), open_split("val")) if name == "trainval" else open_split(name)
      for other in opened.values():
        if not set(few.split.split("+")) & set(other.split.split("+")):  # trainval has the classes of both on purpose
          check_disjoint(other, few)
      opened[name] = few
    return opened[name]

  @functools.cache
  def split_of(name: str) -> Split:
    few = checked(name)
    draw = functools.partial(episodes, few, ways=form.ways, process=share.process, processes=share.processes)
    return Split(f"{few.name}/{few.split}", few.digest, {"image": few.images, "label": few.labels}, draw)

  train = checked(split)
  facts = {
    "shape": tuple(train.shape),
    "ways": form.ways,
    "classes": None,
    "train_split": split,
    "name": train.name,
    "describe": _described(train, form),
  }
  batch = episodes(train, **share._asdict(), **form._asdict())
  return Dataset(batch, preparation(train.name, augment), facts, split_of, grid)


def preparation(name: str, augment: Augment) -> Callable[[Array | None, Batch], Batch]:
  """`prepare` of a Dataset: by the moments of the set `name`; training episodes are augmented where a key is given."""
  mean, std = MOMENTS.get(name, _PLAIN)

  def prepared(key: Array | None, raw: Batch) -> Batch:
    if "image" in raw:
      centre, width = (jnp.asarray(moment, jnp.float32)[None, None, None] for moment in (mean, std))
      return {**raw, "image": (raw["image"].astype(jnp.float32) - centre) / width}
    return prepare_episodes(key, raw, mean=mean, std=std, **augment._asdict())

  return prepared


def _described(few: FewShotSet, form: Form) -> str:
  size = "x".join(map(str, few.shape))
  return (
    f"{few.name}: {few.classes} classes, {len(few.images):,} images of {size}; "
    f"episodes of {form.ways} ways, {form.shots}-shot, {form.queries} queries a class"
  )
