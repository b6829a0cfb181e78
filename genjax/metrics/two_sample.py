"""A two-sample test: how often the nearest neighbour of an image is of its own kind, real or generated.

0.5: nothing tells them apart; 1: everything does; below 0.5: generated images lie nearer to real ones than those do to
each other, as copies do. Measured against the training split, it looks for memorised images in features.

Papers   Lopez-Paz and Oquab 2017, arXiv:1610.06545; by 1-NN, leave one out: Xu et al. 2018, arXiv:1806.07755
Checked  tests/ops/test_neighbours.py, tests/metrics/test_features.py
"""

from collections.abc import Callable, Mapping

import numpy as np

from genjax.core import Metric
from genjax.metrics.features import Features, Real, Recipe, Value, feature_metric
from genjax.metrics.generated import Drawn
from genjax.ops import neighbours


def two_sample(
  *,
  split: str = "test",
  samples: int = 500,
  train_split: str = "train",
  extractor: Features | Recipe | Callable | None = None,
  extractor_seed: int = 0,
  choice_seed: int = 0,
  seed: int | None = None,
  ema: bool | None = None,
) -> Metric:
  """The metrics "two_sample", its accuracy, and "two_sample_real" and "two_sample_generated", those of either kind.

  Args:
    choice_seed: of the images that are left out where one side has more, so that chance is right half of the time.
    split, samples, train_split, extractor, extractor_seed, seed, ema: see metrics/frechet.py.
  """

  def compare(drawn: Drawn, real: Real) -> Mapping[str, Value]:
    count = min(drawn.count, len(real.features))
    rng = np.random.default_rng(choice_seed)
    chosen = lambda x: x if len(x) == count else x[np.sort(rng.choice(len(x), count, replace=False))]
    result = neighbours.two_sample(chosen(real.features), chosen(drawn.features))
    value = lambda number, of: Value(number, f"1-NN accuracy, leave one out, {of}, {count} of each", reference=count)
    return {
      "two_sample": value(result.accuracy, "real and generated"),
      "two_sample_real": value(result.real, "of the real"),
      "two_sample_generated": value(result.generated, "of the generated"),
    }

  return feature_metric(
    compare,
    dict.fromkeys(("two_sample", "two_sample_real", "two_sample_generated"), "neither"),
    wants="features",
    split=split,
    samples=samples,
    train_split=train_split,
    extractor=extractor,
    extractor_seed=extractor_seed,
    seed=seed,
    ema=ema,
  )
