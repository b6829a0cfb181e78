"""Kernel distance of generated images to held-out real ones (KID, where the features are Inception's).

Its mean does not depend on the number of images, unlike that of a Frechet distance, so a small set says as much, with
more noise: the deviation over the subsets stands beside it. It may be below 0.

Papers   Binkowski et al. 2018, arXiv:1801.01401
Departs  Features are those of the extractor that the config names, by default a small classifier, as for `frechet`.
Checked  tests/ops/test_kernel_distance.py, tests/metrics/test_features.py
"""

from collections.abc import Callable, Mapping

from genjax.core import Metric
from genjax.metrics.features import Features, Real, Recipe, Value, feature_metric
from genjax.metrics.generated import Drawn
from genjax.ops.kernel_distance import subset_distances


def kid(
  *,
  split: str = "test",
  samples: int = 500,
  train_split: str = "train",
  extractor: Features | Recipe | Callable | None = None,
  extractor_seed: int = 0,
  subsets: int = 100,
  subset_size: int = 1000,
  choice_seed: int = 2020,
  seed: int | None = None,
  ema: bool | None = None,
) -> Metric:
  """The metrics "kid", the mean over subsets, and "kid_deviation", their standard deviation.

  Args:
    subsets: how many.
    subset_size: images of each on both sides; all of them where there are fewer.
    choice_seed: of the subsets; under 2020 they are torch-fidelity's.
    split, samples, train_split, extractor, extractor_seed, seed, ema: see metrics/frechet.py.
  """

  if subset_size < 2:
    raise ValueError(f"subset_size {subset_size}; the unbiased estimate takes 2 or more")

  def compare(drawn: Drawn, real: Real) -> Mapping[str, Value]:
    size = min(subset_size, drawn.count, len(real.features))
    distances = subset_distances(drawn.features, real.features, subsets=subsets, size=size, seed=choice_seed)
    name = f"kid, polynomial kernel of degree 3, {subsets} subsets of {size} (seed {choice_seed})"
    return {"kid": Value(distances.mean(), name), "kid_deviation": Value(distances.std(), f"deviation of {name}")}

  return feature_metric(
    compare,
    {"kid": "lower", "kid_deviation": "neither"},
    wants="features",
    split=split,
    samples=samples,
    train_split=train_split,
    extractor=extractor,
    extractor_seed=extractor_seed,
    seed=seed,
    ema=ema,
  )
