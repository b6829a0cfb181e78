"""All measures of samples behind one door: bind the real images once, then measure samples as often as wanted.

Shapes   N images [N, H, W, C], uint8 or float in [-1, 1].
Checked  tests/metrics/test_samples.py
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.metrics import copies as copying
from genjax.metrics import frechet as distance
from genjax.metrics.card import Card, Number, digest
from genjax.metrics.extractor import Extractor, random_extractor, train_extractor
from genjax.metrics.pixels import paired


class Measured(NamedTuple):
  """numbers: each metric with its card. copies: among others the nearest training image of each sample."""

  numbers: dict[str, Number]
  copies: copying.Copies

  def values(self) -> dict[str, float]:
    """The bare values, for a log."""
    return {name: number.value for name, number in self.numbers.items()}


class SampleMetrics(NamedTuple):
  """measure: (images, *, ema, seed) -> Measured. anchors: Frechet distances to read it against. extractor: as given."""

  measure: Callable[..., Measured]
  anchors: dict[str, Number]
  extractor: Extractor


def sample_metrics(
  extractor: Extractor, train: np.ndarray, held_out: np.ndarray, *, n: int, split: str, seed: int = 0
) -> SampleMetrics:
  """Binds the real images and returns what measures samples: frechet, copies, nearest_ratio, duplicates, diversity.

  Args:
    extractor: from `make_extractor`.
    train: training images [M, H, W, C] uint8, two at least.
    held_out: real images that training does not see; the reference of every number.
    n: number of samples that will be measured each time; the anchors use as many.
    split: names the held-out images on the card, e.g. "digits/test".
    seed: of the anchors.
  """
  train = paired(train, np.empty((0, *extractor.size)), name="training images")
  held_out = paired(held_out, train, name="held-out images")
  reference = distance.reference(extractor, held_out, split=split)
  real = copying.real(train, held_out, n=n, seed=seed)
  all_real = digest(train, held_out)

  def measure(images: Any, *, ema: bool | str | None = None, seed: int | None = None) -> Measured:
    pixels = paired(images, train, name="generated images")
    found = copying.copies(pixels, real)
    in_pixels = lambda metric: Card(
      metric=metric,
      subject="samples",
      generated=len(pixels),
      reference=len(train),
      split=f"training images, judged by {split}",
      data_digest=all_real,
      ema=ema,
      seed=seed,
      precision=None,
    )
    values = {
      "copies": found.copies,
      "nearest_ratio": found.ratio,
      "duplicates": found.duplicates,
      "diversity": found.diversity,
    }
    frechet = distance.frechet(extractor, pixels, reference, ema=ema, seed=seed)
    numbers = {name: Number(value, in_pixels(name)) for name, value in values.items()}
    return Measured({"frechet": frechet, **numbers}, found)

  return SampleMetrics(measure, distance.anchors(extractor, train, reference, n=n, seed=seed), extractor)


def make_extractor(
  train: Mapping[str, np.ndarray],
  held_out: Mapping[str, np.ndarray],
  *,
  classes: int | None,
  data_name: str,
  seed: int = 0,
) -> Extractor:
  """A classifier where the data has labels of two classes at least, else random features.

  Args:
    train, held_out: "image" [N, H, W, C] uint8 and, where there are labels, "label" [N].
    classes: number of labels; None if there are none.
    data_name: for the card.
    seed: of the extractor.
  """
  if classes is None or classes < 2:
    return random_extractor(train["image"], seed=seed)
  return train_extractor(
    train["image"],
    train["label"],
    classes=classes,
    held_out_images=held_out["image"],
    held_out_labels=held_out["label"],
    data_name=data_name,
    seed=seed,
  )
