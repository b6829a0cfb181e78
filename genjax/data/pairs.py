"""Two sets of images side by side, without any pairing: what an image-to-image translation learns from.

Shapes   raw and prepared: "source" [B, H, W, C], "target" [B, H', W', C'], as the two sets have their "image". Facts:
         shape and target_shape, classes (None), train_split, name, describe.
Checked  tests/data/test_pairs.py
"""

import functools
import hashlib

import jax

from genjax.core import Array, Batch, Dataset, Raw, Split

_APART = 2**40  # steps between the batches of the two sets: under one seed both would see the same examples together


def pairs(*, source: Dataset, target: Dataset, batch: int | None = None) -> Dataset:
  """Batches of two sets of images, each in an order of its own, also where both are the same set.

  `prepare` is that of each set, by keys of their own. A split has the examples of both, as many of each as there are:
  their numbers may differ. `show` is that of the source.

  Args:
    source, target: data sets of images with the same batch, seed and processes.
    batch: is for a config, which hands its `data.batch` to both sets; they are made already when they come here.

  Raises:
    ValueError: a set has no images.
  """
  del batch
  for name, data in (("source", source), ("target", target)):
    if len(data.facts.get("shape", ())) != 3:
      raise ValueError(f"data.{name} has no images of one shape; use a data set of images, such as digits")
  shapes = {"shape": tuple(source.facts["shape"]), "target_shape": tuple(target.facts["shape"])}

  def at(step: int) -> Raw:
    return {"source": source.batch(step)["image"], "target": target.batch(step + _APART)["image"]}

  def prepare(key: Array | None, raw: Batch) -> Batch:
    keys = (None, None) if key is None else jax.random.split(key)
    sets = zip(("source", "target"), keys, (source, target), strict=True)
    return {name: data.prepare(each, {"image": raw[name]})["image"] for name, each, data in sets}

  @functools.cache
  def split_of(name: str) -> Split:
    splits = [_split(data, name) for data in (source, target)]
    digest = hashlib.sha256(" ".join(split.digest for split in splits).encode()).hexdigest()
    examples = {"source": splits[0].examples["image"], "target": splits[1].examples["image"]}
    return Split(" and ".join(split.name for split in splits), digest, examples)

  facts = {
    **shapes,
    "classes": None,
    "train_split": source.facts.get("train_split", "train"),
    "name": f"{source.facts.get('name', 'source')} to {target.facts.get('name', 'target')}",
    "describe": "; ".join(str(data.facts.get("describe", "images")) for data in (source, target)),
  }
  return Dataset(at, prepare, facts, split_of, source.show)


def _split(data: Dataset, name: str) -> Split:
  if data.split is None:
    raise ValueError(f'split "{name}": {data.facts.get("name", "a set")} has no splits')
  return data.split(name)
