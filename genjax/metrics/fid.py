"""Frechet distances in Inception's features: FID, FID of infinitely many samples, and FID within classes.

`frechet` is the same distance in the features of a small classifier; these are the names that others' numbers have. The
weights are a file that the user points at (metrics/inception.py says which).

Papers   FID  Heusel et al. 2017, arXiv:1706.08500; infinity  Chong and Forsyth 2020, arXiv:1911.07023;
         within classes  Miyato and Koyama 2018, arXiv:1802.05637, section 5: the mean over the classes.
Departs  The reference is the split that the config names, by default the held-out one; many published numbers are
         against the training set. Chong and Forsyth draw samples by Sobol sequences; here they are drawn as always.
Checked  tests/ops/test_frechet.py, tests/metrics/test_features.py
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from genjax.core import Array, Dataset, Metric, Number, State
from genjax.metrics.features import Features, Real, Recipe, Value, card_of, feature_metric, space
from genjax.metrics.frechet import too_few, value_of
from genjax.metrics.generated import Drawn, gathered
from genjax.ops.frechet import Moments, frechet_at_infinity, frechet_between

_LEAST = 16  # samples for a line in 1 / n


def fid(
  *,
  split: str = "test",
  samples: int = 500,
  train_split: str = "train",
  extractor: Features | Recipe | Callable | None = None,
  weights: str | None = None,
  extractor_seed: int = 0,
  seed: int | None = None,
  ema: bool | None = None,
) -> Metric:
  """The metric "fid".

  Args:
    extractor: see metrics/frechet.py; None: Inception, with `weights`.
    weights: path of Inception's weights, see metrics/inception.py.
    split, samples, train_split, extractor_seed, seed, ema: see metrics/frechet.py.
  """

  def compare(drawn: Drawn, real: Real) -> Mapping[str, Value]:
    return {"fid": value_of("fid", drawn.moments, real.moments)}

  return feature_metric(
    compare,
    {"fid": "lower"},
    wants="moments",
    what="a Frechet distance",
    split=split,
    samples=samples,
    train_split=train_split,
    extractor=_or_inception(extractor, weights),
    extractor_seed=extractor_seed,
    seed=seed,
    ema=ema,
  )


def fid_infinity(
  *,
  split: str = "test",
  samples: int = 500,
  train_split: str = "train",
  extractor: Features | Recipe | Callable | None = None,
  weights: str | None = None,
  extractor_seed: int = 0,
  points: int = 15,
  choice_seed: int = 0,
  seed: int | None = None,
  ema: bool | None = None,
) -> Metric:
  """The metric "fid_infinity": the line through the distances of n samples, by 1 / n, at 0.

  Args:
    extractor: see metrics/frechet.py; None: Inception, with `weights`.
    weights: path of Inception's weights, see metrics/inception.py.
    points: distances that the line goes through.
    choice_seed: of their samples.
    split, samples, train_split, extractor_seed, seed, ema: see metrics/frechet.py.
  """

  if points < 2:
    raise ValueError(f"points {points}; a line takes 2 or more")

  def compare(drawn: Drawn, real: Real) -> Mapping[str, Value]:
    line = frechet_at_infinity(drawn.features, real.moments, points=points, seed=choice_seed)
    name = f"fid of infinitely many samples, by {len(line.sizes)} sizes from {line.sizes[0]}"
    warning = too_few("fid_infinity", int(line.sizes[0]), real.moments.count, drawn.features.shape[1])
    return {"fid_infinity": Value(line.distance, name, warning)}

  return feature_metric(
    compare,
    {"fid_infinity": "lower"},
    wants="features",
    least=_LEAST,
    what="a line in 1 / n",
    split=split,
    samples=samples,
    train_split=train_split,
    extractor=_or_inception(extractor, weights),
    extractor_seed=extractor_seed,
    seed=seed,
    ema=ema,
  )


def intra_fid(
  *,
  split: str = "test",
  samples: int = 500,
  train_split: str = "train",
  extractor: Features | Recipe | Callable | None = None,
  weights: str | None = None,
  extractor_seed: int = 0,
  seed: int | None = None,
  ema: bool | None = None,
) -> Metric:
  """The metric "intra_fid": the mean over the classes of the distance of their samples to their held-out images.

  The system says which class a sample is of (view `classes`), the labels of the data which a real one is of.

  Args:
    extractor: see metrics/frechet.py; None: Inception, with `weights`.
    weights: path of Inception's weights, see metrics/inception.py.
    split, samples, train_split, extractor_seed, seed, ema: see metrics/frechet.py.
  """
  if samples < 2:
    raise ValueError(
      f"samples {samples}; a Frechet distance takes two of each class, and some hundreds to say anything"
    )
  it = space(split, train_split, _or_inception(extractor, weights), extractor_seed, labels=True)

  def measure(key: Array, views: Mapping[str, Callable], state: State, data: Dataset) -> dict[str, Number]:
    real, train = it.opened(data)
    drawn = gathered(
      views["sample"], key, state, samples, real=train, wants=frozenset({"features"}), extractor=real.extractor
    )
    value = _within_classes(drawn, real, int(views["classes"](state)))
    return {"intra_fid": Number(value.value, card_of(value, real, samples, ema=ema, seed=seed))}

  def check(data: Dataset) -> None:
    it.check(data)
    labels = it.images(data)[1].examples["label"]
    few = min(np.bincount(labels, minlength=data.facts["classes"]).min(), samples // data.facts["classes"])
    if few < 2:
      raise ValueError(
        f"a class has {few} images; a distance within classes takes two samples and two real ones of each"
      )

  return Metric(("sample", "classes"), measure, {"intra_fid": "lower"}, check, samples, ("features",))


def _within_classes(drawn: Drawn, real: Real, classes: int) -> Value:
  distances, counts = [], []
  for label in range(classes):
    rows = drawn.features[drawn.places % classes == label], real.features[real.labels == label]
    distances.append(frechet_between(*(Moments.empty(x.shape[1]).update(x) for x in rows)))
    counts.append([len(x) for x in rows])
  warning = too_few("intra_fid", *np.min(counts, axis=0), drawn.features.shape[1])
  return Value(float(np.mean(distances)), f"intra-class fid, mean of {classes} classes", warning)


def _or_inception(extractor: Any, weights: str | None) -> Any:
  """The extractor, or Inception with these weights. Raises ValueError where there are none."""
  if extractor is not None:
    return extractor
  from genjax.metrics.inception import WANTED, inception

  if weights is None:
    raise ValueError(
      f"fid is measured in Inception's features: say weights=PATH of {WANTED}; the same distance in features of a "
      "small classifier is the metric frechet"
    )
  return inception(weights=weights)
