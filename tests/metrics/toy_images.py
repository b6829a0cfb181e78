"""A data set from arrays, as the metrics' tests want it."""

from genjax.core import Dataset, Split
from genjax.metrics.card import digest
from genjax.ops.augment import to_unit


def data_of(splits, **facts):
  """A data set of images; splits: name -> (images [N, H, W, C] uint8, labels [N] or None)."""

  def split(name):
    if name not in splits:
      raise ValueError(f"split {name!r} does not exist; there is {' and '.join(splits)}")
    images, labels = splits[name]
    examples = {"image": images} if labels is None else {"image": images, "label": labels}
    return Split(f"{facts.get('name', 'toy')}/{name}", digest(images), examples)

  prepare = lambda key, raw: {**raw, "image": to_unit(raw["image"])}
  shape = next(iter(splits.values()))[0].shape[1:]
  return Dataset(lambda step: {}, prepare, {"shape": shape, "train_split": "train", **facts}, split)
