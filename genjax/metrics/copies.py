"""Are the samples copies of training images, or of each other?

A generated image is called a copy if it is nearer to some training image, in pixels, than 99 of 100 held-out real
images are. Real images that the model never saw are so flagged in 1 % of cases: a share of 0.01 or less is what
honest samples have. Comparing with held-out images instead of a fixed distance is the test of Meehan et al.; the rank
of it (here a quantile and a ratio of medians) does not depend on the images' scale. Two weaknesses of pixels: a copy
shifted by a pixel goes unseen, and a blurred image is near to everything, so a share above 0.01 asks for a look at the
nearest training images; it is no proof.

Papers   Meehan, Chaudhuri and Dasgupta 2020, arXiv:2004.05675 (generated-to-training against held-out-to-training).
Departs  Meehan et al.: pixel L2 over the whole space, not a rank test per cell.
Shapes   N images [N, H, W, C], uint8 or float in [-1, 1]; distances are L2 over pixels of [-1, 1].
Checked  tests/metrics/test_copies.py: planted copies are flagged, held-out digits are not.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from genjax.core import Array, Dataset, Metric, Number, Split, State
from genjax.metrics.card import Card, digest
from genjax.metrics.generated import gathered
from genjax.metrics.nearest import nearest
from genjax.metrics.pixels import as_uint8, paired
from genjax.metrics.real import once, train_and_held_out

QUANTILE = 0.01
_BETTER = {"copies": "lower", "nearest_ratio": "neither", "duplicates": "lower", "diversity": "neither"}


class Real(NamedTuple):
  """What real images show of themselves; everything that is the same for each set of samples.

  train: training images [M, H, W, C] uint8.
  threshold: 1 % quantile of the distances from held-out images to their nearest training image.
  median: their median.
  apart: 1 % quantile of the distances from training images to their nearest other training image.
  spread: root mean square distance between two held-out images.
  """

  train: np.ndarray
  threshold: float
  median: float
  apart: float
  spread: float


class Copies(NamedTuple):
  """How near the samples are to the training images and to each other.

  copies: share of samples nearer to a training image than the threshold, exact copies always among them.
  ratio: median distance to the nearest training image, over that of held-out images; 1 is like new real images.
  duplicates: share of samples nearer to another sample than 99 of 100 training images are to another.
  diversity: root mean square distance between two samples, over that between two held-out images.
  nearest, distances: [N] the nearest training image of each sample, for a figure, and how far it is.
  """

  copies: float
  ratio: float
  duplicates: float
  diversity: float
  nearest: np.ndarray
  distances: np.ndarray


# The metric of a config -----------------------------------------------------------------------------------------------


def copies(
  *,
  split: str = "test",
  samples: int = 500,
  train_split: str = "train",
  choice_seed: int = 0,
  seed: int | None = None,
  ema: bool | None = None,
) -> Metric:
  """The metrics "copies", "nearest_ratio", "duplicates" and "diversity" of samples; see `Copies`.

  Args:
    split: held-out images, which say how near a new image is to the training images.
    samples: number of samples.
    train_split: the training images.
    choice_seed: of the training images that say how near two images of one set are.
    seed: of the samples, for the card.
    ema: whether the samples come from averaged weights, for the card.
  """
  if samples < 2:
    raise ValueError(f"samples {samples}; it takes two at least to look for copies")
  images = once(lambda data: train_and_held_out(data, train_split, split))
  opened = once(lambda data: _opened(*images(data), samples, choice_seed))

  def measure(key: Array, views: Mapping[str, Callable], state: State, data: Dataset) -> dict[str, Number]:
    reference, digest_of_all = opened(data)
    wants = frozenset({"pixels"})
    pixels = gathered(views["sample"], key, state, samples, real=reference.train, wants=wants).pixels
    result = copies_among(pixels, reference)
    card = lambda metric: Card(
      metric=metric,
      subject="samples",
      generated=len(pixels),
      reference=len(reference.train),
      split=f"training images; thresholds from {images(data)[1].name}",
      data_digest=digest_of_all,
      ema=ema,
      seed=seed,
      precision=None,
    )
    values = (result.copies, result.ratio, result.duplicates, result.diversity)
    return {name: Number(value, card(name)) for name, value in zip(_BETTER, values, strict=True)}

  def check(data: Dataset) -> None:
    images(data)

  return Metric(("sample",), measure, _BETTER, check, samples, ("pixels",))


def _opened(train: Split, held_out: Split, n: int, seed: int) -> tuple[Real, str]:
  """What the real images say, and the digest of all of them."""
  both = [part.examples["image"] for part in (train, held_out)]
  return real(*both, n=n, seed=seed), digest(*both)


# Comparing ------------------------------------------------------------------------------------------------------------


def real(train: np.ndarray, held_out: np.ndarray, *, n: int, seed: int = 0) -> Real:
  """Measures real images once, to be compared with samples.

  Args:
    train: training images [M, H, W, C], M at least 2.
    held_out: real images that training does not see, two at least.
    n: number of samples to come; the distance within a set shrinks with its size, so n training images are used.
    seed: of their choice.
  """
  train = as_uint8(train, name="training images")
  held_out = paired(held_out, train, name="held-out images")
  if len(held_out) < 2 or len(train) < 2:
    raise ValueError(f"{len(train)} training and {len(held_out)} held-out images; it takes two at least of each")
  _, to_train = nearest(held_out, train)
  rows = np.random.default_rng(seed).choice(len(train), size=max(2, min(n, len(train))), replace=False)
  _, among = nearest(train[rows], train[rows], same=True)
  return Real(
    train,
    threshold=float(np.quantile(to_train, QUANTILE)),
    median=float(np.median(to_train)),
    apart=float(np.quantile(among, QUANTILE)),
    spread=_spread(held_out),
  )


def copies_among(generated: Any, real: Real) -> Copies:
  """Compares generated images [N, H, W, C], N at least 2, with real ones."""
  pixels = paired(generated, real.train, name="generated images")
  if len(pixels) < 2:
    raise ValueError("copies are looked for in 1 generated image; it takes two at least")
  indices, distances = nearest(pixels, real.train)
  _, among = nearest(pixels, pixels, same=True)
  return Copies(
    copies=_share(distances, real.threshold),
    ratio=_over(float(np.median(distances)), real.median),
    duplicates=_share(among, real.apart),
    diversity=_over(_spread(pixels), real.spread),
    nearest=indices,
    distances=distances,
  )


def _share(distances: np.ndarray, threshold: float) -> float:
  """Share below the threshold; a distance of 0 counts even where the real set's own duplicates made the threshold 0."""
  return float(np.mean((distances < threshold) | (distances == 0)))


def _spread(pixels: np.ndarray) -> float:
  """Root of the mean squared distance between two images of the set: 2 tr of their covariance, ddof 1."""
  flat = pixels.reshape(len(pixels), -1)
  return float(np.sqrt(2.0 * flat.var(axis=0, ddof=1, dtype=np.float64).sum()) / 127.5)


def _over(value: float, real_value: float) -> float:
  """The ratio; infinite, not an error, if the real images are all alike."""
  return value / real_value if real_value > 0 else float("inf") if value > 0 else 1.0
