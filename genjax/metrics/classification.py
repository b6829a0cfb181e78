"""How often a classifier is wrong: over whole splits, every image counted once.

Shapes   N images [N, H, W, C] uint8; labels [N] int; K classes. Errors are shares in [0, 1].
Checked  tests/metrics/test_classification.py: against numpy; a split that no batch divides; logits that are NaN.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import Array, Batch, Dataset, Metric, Number, Raw, Split, State
from genjax.metrics.card import Card, digest
from genjax.metrics.real import once, real_images

BATCH = 250
Classify = Callable[[Any, Array], Array]  # state, images [B, H, W, C] as `prepare` makes them -> class logits [B, K]
Prepare = Callable[[Array | None, Batch], Batch]  # of core.Dataset


def error(
  *,
  split: str = "test",
  train_split: str = "train",
  batch: int = BATCH,
  seed: int | None = None,
  ema: bool | None = None,
) -> Metric:
  """The metrics "error" and "cross_entropy" of a classifier on a split.

  Args:
    split: images with labels. A split most of whose images are trained on is refused.
    train_split: what the system is trained on.
    batch: images at once; the last batch is filled up, and what fills it is not counted.
    seed: of the training, for the card.
    ema: whether the classifier has averaged weights, for the card.
  """
  if batch < 1:
    raise ValueError(f"batch {batch}; use at least 1")
  images = once(lambda data: labelled(data, split))
  opened = once(lambda data: _opened(images(data)))

  def measure(key: Array, views: Mapping[str, Callable], state: State, data: Dataset) -> dict[str, Number]:
    del key
    name, examples, digest_of_all = opened(data)
    wrong, cross_entropy = count(views["classify"], state, examples, prepare=data.prepare, batch=batch)
    total = len(examples["label"])
    card = lambda metric: Card(
      metric=metric,
      subject="classifier",
      generated=total,
      reference=total,
      split=name,
      data_digest=digest_of_all,
      ema=ema,
      seed=seed,
      precision=None,
    )
    values = {"error": wrong / total, "cross_entropy": cross_entropy}
    return {metric: Number(value, card(metric)) for metric, value in values.items()}

  def check(data: Dataset) -> None:
    _check_apart(data, images(data), train_split)

  return Metric(("classify",), measure, dict.fromkeys(("error", "cross_entropy"), "lower"), check)


def labelled(data: Dataset, split: str) -> Split:
  """A split of whole images with labels: "image" [N, H, W, C] uint8 and "label" [N].

  Raises:
    ValueError: no such split, no labels, or as many labels as there are images.
  """
  real = real_images(data, split)
  images, labels = real.examples["image"], real.examples.get("label")
  if labels is None:
    raise ValueError(f"{real.name} has no labels; an error takes a data set with labels")
  if np.shape(labels) != images.shape[:1]:
    raise ValueError(f"{real.name} has {len(images)} images and {len(labels)} labels")
  return real


def count(classify: Classify, state: Any, examples: Raw, *, prepare: Prepare, batch: int = BATCH) -> tuple[int, float]:
  """How many images are classified wrongly, and the mean cross-entropy.

  Args:
    classify, state: the classifier; jit remembers `classify` itself, so hand in the same object every time.
    examples: "image" [N, H, W, C] uint8 and "label" [N].
    prepare: of the data set, called without a key; jit remembers it too.
    batch: images at once.

  Returns:
    A whole number, exact; and a float. An image whose logits are not all finite counts as wrong.
  """
  total, parts = len(examples["label"]), []
  for start in range(0, total, batch):
    rows = np.arange(start, start + batch)
    raw = {name: np.asarray(examples[name])[rows % total] for name in ("image", "label")}
    parts.append(_counted(classify, prepare, state, raw, rows < total))
  wrong, summed = (np.asarray(jax.device_get(part), np.float64).sum() for part in zip(*parts, strict=True))
  return int(wrong), float(summed / total)


@partial(jax.jit, static_argnums=(0, 1))
def _counted(classify: Classify, prepare: Prepare, state: Any, raw: Batch, counts: Array) -> tuple[Array, Array]:
  """Sums over the images of one batch that count."""
  batch = prepare(None, raw)
  label = batch["label"]
  logits = classify(state, batch["image"]).astype(jnp.float32)
  right = (logits.argmax(-1) == label) & jnp.isfinite(logits).all(-1)
  chosen = jnp.take_along_axis(logits, label[:, None], axis=1)[:, 0]
  cross_entropy = jax.nn.logsumexp(logits, axis=-1) - chosen
  return (counts & ~right).sum(dtype=jnp.int32), jnp.where(counts, cross_entropy, 0.0).sum()


def _opened(real: Split) -> tuple[str, Raw, str]:
  """Name of the split, its images and labels, and their digest."""
  examples = {"image": real.examples["image"], "label": np.asarray(real.examples["label"], np.int32)}
  return real.name, examples, digest(*examples.values())


def _check_apart(data: Dataset, held_out: Split, train_split: str) -> None:
  """A split that was trained on says nothing. Some sets have a few images twice, so only most of them count.

  A training set that is not held in memory cannot be looked at, and passes.
  """
  try:
    train = real_images(data, train_split)
  except ValueError:
    return
  images = [image.tobytes() for image in held_out.examples["image"]]
  asked = set(images)
  trained = {content for content in (image.tobytes() for image in train.examples["image"]) if content in asked}
  shared = sum(content in trained for content in images)
  if shared > len(images) / 2:
    raise ValueError(
      f"{shared} of {len(images)} images of {held_out.name} are trained on ({train.name}); keep them apart: "
      'split="train[:80%]" of the data and split="train[80%:]" of the metric'
    )
