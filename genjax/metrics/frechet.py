"""Frechet distance of generated images to held-out real ones, and the numbers it is read against.

The distance falls with the number of images on both sides, so alone it says little. Beside it stand the anchors: real
images, a Gaussian with the mean and the full covariance of the training pixels, and noise, with as many images each.
The reference is held out: copying the training set earns no credit.

Papers   Heusel et al. 2017, arXiv:1706.08500; bias in N: Binkowski et al. 2018, arXiv:1801.01401.
Departs  Heusel et al.: features of a small classifier, not of Inception; the reference is not the training set.
Shapes   N images [N, H, W, C], uint8 or float in [-1, 1].
Checked  tests/metrics/test_samples.py: noise, pixel Gaussian and real images come in this order on digits.
"""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from genjax.core import Array, Dataset, Metric, Number, State
from genjax.metrics.features import (
  Features,
  Real,
  Recipe,
  Value,
  card_of,
  check_samples,
  feature_metric,
  real_of,
  space,
)
from genjax.metrics.generated import moments_of
from genjax.metrics.pixels import as_uint8
from genjax.metrics.real import once
from genjax.ops.frechet import Moments, frechet_between

_BLOCK = 1024
_LOG = logging.getLogger("genjax")


# The metrics of a config ----------------------------------------------------------------------------------------------


def frechet(
  *,
  split: str = "test",
  samples: int = 500,
  train_split: str = "train",
  extractor: Features | Recipe | Callable | None = None,
  extractor_seed: int = 0,
  seed: int | None = None,
  ema: bool | None = None,
) -> Metric:
  """The metric "frechet": the distance of samples to a held-out split.

  Args:
    split: the reference, images that training does not see.
    samples: number of samples; distances of other numbers do not compare.
    train_split: what the extractor is trained on.
    extractor: what gives the features: a row of the registry ("classifier", "random", "inception"), `Features`, or a
      function of images [B, H, W, C] float32 in [-1, 1], such as a view of another run. None: a small classifier that
      is trained on the training split, or random features where the data have no labels.
    extractor_seed: of that classifier; runs compare only under one.
    seed: of the samples, for the card.
    ema: whether the samples come from averaged weights, for the card.
  """
  return feature_metric(
    lambda drawn, real: {"frechet": value_of("frechet", drawn.moments, real.moments)},
    {"frechet": "lower"},
    wants="moments",
    split=split,
    samples=samples,
    train_split=train_split,
    extractor=extractor,
    extractor_seed=extractor_seed,
    seed=seed,
    ema=ema,
    what="a Frechet distance",
  )


def frechet_anchors(
  *,
  split: str = "test",
  samples: int = 500,
  train_split: str = "train",
  extractor: Features | Recipe | Callable | None = None,
  extractor_seed: int = 0,
  anchor_seed: int = 0,
) -> Metric:
  """The metrics "real", "pixel_gaussian" and "noise": distances that a Frechet distance of samples is read against.

  They depend on the data alone, so they are measured once, at the end of a run. The arguments are those of `frechet`.

  Args:
    split, samples, train_split, extractor, extractor_seed: see `frechet`; give both metrics the same.
    anchor_seed: of the choice of training images, the Gaussian and the noise.
  """
  check_samples(samples, "a Frechet distance")
  it = space(split, train_split, extractor, extractor_seed)

  @once
  def remembered(data: Dataset) -> dict[str, Number]:
    real, train = it.opened(data)
    return anchors(real.extractor, train, real, n=samples, seed=anchor_seed)

  def measure(key: Array, views: Mapping[str, Callable], state: State, data: Dataset) -> dict[str, Number]:
    del key, views, state
    return dict(remembered(data))

  return Metric((), measure, dict.fromkeys(("real", "pixel_gaussian", "noise"), "neither"), it.check)


# Distances ------------------------------------------------------------------------------------------------------------


def reference(extractor: Features, images: Any, *, split: str) -> Real:
  """Held-out images [N, H, W, C] in the extractor's features; `split` names them on the card."""
  return real_of(extractor, images, split=split)


def distance(
  extractor: Features,
  generated: Any,
  reference: Real,
  *,
  subject: str = "samples",
  ema: bool | str | None = None,
  seed: int | None = None,
) -> Number:
  """Frechet distance of images [N, H, W, C], N at least 2, to the reference.

  Args:
    extractor: the one that the reference was made with.
    generated: uint8, or floats in [-1, 1], which are rounded to 8 bit. With no more of them, or of the reference, than
      there are features, the card and one line of the log warn.
    reference: from `reference`.
    subject, ema, seed: for the card: what the images are.
  """
  pixels = as_uint8(generated, name="generated images")
  if len(pixels) < 2:
    raise ValueError("a Frechet distance of 1 image; it takes two at least, and some hundreds to say anything")
  value = value_of("frechet", moments_of(extractor.features(pixels)), reference.moments)
  return Number(value.value, card_of(value, reference, len(pixels), subject=subject, ema=ema, seed=seed))


def value_of(metric: str, of_samples: Moments, of_real: Moments) -> Value:
  """The distance of two sets of features by their moments, before it has its card."""
  warning = too_few(metric, of_samples.count, of_real.count, len(of_samples.mean))
  return Value(frechet_between(of_samples, of_real), metric, warning)


def too_few(metric: str, generated: int, real: int, features: int) -> str | None:
  """A line, once in the log, where a covariance is singular: of n images its rank is n - 1 at most."""
  few = [f"{count} {name}" for count, name in ((generated, "generated"), (real, "reference")) if count <= features]
  if not few:
    return None
  warning = (
    f"{metric} of {' and '.join(few)} images in {features} features: their covariance is singular and the distance "
    f"says more of their number than of them; use more than {features}, some hundreds at least"
  )
  _warn(warning)
  return warning


@functools.cache
def _warn(warning: str) -> None:
  """Once in a process: a run measures again and again."""
  _LOG.warning("%s", warning)


def anchors(extractor: Features, train: np.ndarray, reference: Real, *, n: int, seed: int = 0) -> dict[str, Number]:
  """Distances to read others against: "real", "pixel_gaussian", "noise", n images each against the same reference.

  Args:
    extractor: the one that the reference was made with.
    train: training images [N, H, W, C] uint8.
    reference: from `reference`.
    n: as many images as will be generated; "real" takes all training images if they are fewer, as its card says.
    seed: of the choice of images, the Gaussian and the noise.
  """
  train = as_uint8(train, name="training images")
  rng_real, rng_gaussian, rng_noise = np.random.default_rng(seed).spawn(3)
  rows = rng_real.choice(len(train), size=min(n, len(train)), replace=False)
  noise = rng_noise.integers(0, 256, size=(n, *train.shape[1:]), dtype=np.uint8)
  sets = {
    "real": ("training images", train[np.sort(rows)]),
    "pixel_gaussian": ("Gaussian fitted to the training pixels", pixel_gaussian(rng_gaussian, train, n)),
    "noise": ("uniform noise", noise),
  }
  return {
    name: distance(extractor, images, reference, subject=subject, seed=seed) for name, (subject, images) in sets.items()
  }


def pixel_gaussian(rng: np.random.Generator, train: np.ndarray, n: int) -> np.ndarray:
  """n images uint8 of the Gaussian with mean and full covariance (ddof 1) of the training pixels, clipped and rounded.

  A weighted sum of the centred training images with independent normal weights has exactly this covariance, so that
  no [H W C, H W C] matrix is formed.
  """
  if len(train) < 2:
    raise ValueError("a Gaussian is fitted to 1 training image; it takes two at least")
  flat = train.reshape(len(train), -1)
  mean = flat.mean(axis=0, dtype=np.float64)
  drawn = np.zeros((n, flat.shape[1]))
  for start in range(0, len(flat), _BLOCK):
    block = flat[start : start + _BLOCK] - mean
    drawn += rng.standard_normal((n, len(block))) @ block
  images = mean + drawn / np.sqrt(len(train) - 1)
  return np.clip(np.round(images), 0, 255).astype(np.uint8).reshape(n, *train.shape[1:])
