"""How often a classifier is wrong: over whole splits, every image counted once.

Shapes   N images [N, H, W, C] uint8; labels [N] int; K classes. Errors are shares in [0, 1].
Checked  tests/metrics/test_classification.py: against numpy; a split that no batch divides; logits that are NaN.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import Array
from genjax.metrics.card import Card, Number, digest
from genjax.metrics.pixels import as_uint8
from genjax.ops.augment import to_unit

BATCH = 250
Classify = Callable[[Any, Array], Array]  # state, images [B, H, W, C] in [-1, 1] -> class logits [B, K]


class Split(NamedTuple):
  """Images with labels. `name` is for cards, e.g. "digits/test"."""

  images: np.ndarray  # [N, H, W, C] uint8
  labels: np.ndarray  # [N] int32
  name: str


class ErrorMetrics(NamedTuple):
  """measure: (state, roles, *, ema, seed) -> {"<role>_error", "<role>_cross_entropy"}. roles: those there are."""

  measure: Callable[..., dict[str, Number]]
  roles: tuple[str, ...]


def error_metrics(classify: Classify, splits: Mapping[str, Split], *, batch: int = BATCH) -> ErrorMetrics:
  """Binds splits by their roles ("validation", "test") and returns what measures a classifier on them.

  Args:
    classify: traceable; it compiles once for all splits, measurements and states.
    splits: role to split.
    batch: images at once; the last batch is filled up, and what fills it is not counted.

  Raises:
    ValueError: no images, no labels, or other images than the rest; names the split.
  """
  for split in splits.values():
    _check(split, next(iter(splits.values())))
  digests = {role: digest(split.images, split.labels) for role, split in splits.items()}

  def measure(
    state: Any,
    roles: Sequence[str] = tuple(splits),
    *,
    ema: bool | str | None = None,
    seed: int | None = None,
  ) -> dict[str, Number]:
    numbers = {}
    for role in roles:
      split = splits[role]
      wrong, crossed = count(classify, state, split.images, split.labels, batch=batch)
      for name, value in (("error", wrong / len(split.images)), ("cross_entropy", crossed)):
        card = Card(
          metric=name,
          subject="classifier",
          generated=len(split.images),
          reference=len(split.images),
          split=split.name,
          data_digest=digests[role],
          ema=ema,
          seed=seed,
          precision=None,
        )
        numbers[f"{role}_{name}"] = Number(value, card)
    return numbers

  return ErrorMetrics(measure, tuple(splits))


def count(
  classify: Classify, state: Any, images: np.ndarray, labels: np.ndarray, *, batch: int = BATCH
) -> tuple[int, float]:
  """How many images are classified wrongly, and the mean cross-entropy.

  Args:
    classify, state: the classifier; jit remembers `classify` itself, so hand in the same object every time.
    images, labels: [N, H, W, C] uint8 and [N].
    batch: images at once.

  Returns:
    A whole number, exact; and a float. An image whose logits are not all finite counts as wrong.
  """
  parts = []
  for start in range(0, len(images), batch):
    rows = np.arange(start, start + batch)
    label = np.where(rows < len(images), labels[rows % len(images)], -1).astype(np.int32)
    parts.append(_counted(classify, state, images[rows % len(images)], label))
  wrong, crossed = (np.asarray(jax.device_get(part), np.float64).sum() for part in zip(*parts, strict=True))
  return int(wrong), float(crossed / len(images))


@partial(jax.jit, static_argnums=0)
def _counted(classify: Classify, state: Any, images: Array, label: Array) -> tuple[Array, Array]:
  """Sums over the images of one batch whose label is not -1."""
  logits = classify(state, to_unit(images)).astype(jnp.float32)
  right = (logits.argmax(-1) == label) & jnp.isfinite(logits).all(-1)
  chosen = jnp.take_along_axis(logits, jnp.maximum(label, 0)[:, None], axis=1)[:, 0]
  crossed = jax.nn.logsumexp(logits, axis=-1) - chosen
  counts = label >= 0
  return (counts & ~right).sum(dtype=jnp.int32), jnp.where(counts, crossed, 0.0).sum()


def _check(split: Split, first: Split) -> None:
  as_uint8(split.images, name=f"images of {split.name}")
  if split.labels is None:
    raise ValueError(f"{split.name} has no labels; an error rate takes a data set with labels (config.data.name)")
  if split.images.shape[1:] != first.images.shape[1:]:
    raise ValueError(f"images of {split.name} are {split.images.shape[1:]}, of {first.name} {first.images.shape[1:]}")
  if split.labels.shape != split.images.shape[:1]:
    raise ValueError(f"{split.name} has {len(split.images)} images and {len(split.labels)} labels")
