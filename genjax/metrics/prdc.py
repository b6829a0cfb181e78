"""Precision, recall, density and coverage of generated images in a feature space: how good they are, and how various.

Papers   precision, recall  Kynkaanniemi et al. 2019, arXiv:1904.06991; density, coverage  Naeem et al. 2020,
         arXiv:2002.09797. See ops/neighbours.py.
Departs  Features are those of the extractor that the config names; the papers' are VGG-16's.
Checked  tests/ops/test_neighbours.py, tests/metrics/test_features.py
"""

from collections.abc import Callable, Mapping

from genjax.core import Metric
from genjax.metrics.features import Features, Real, Recipe, Value, feature_metric
from genjax.metrics.generated import Drawn
from genjax.ops.neighbours import Overlap, overlap


def prdc(
  *,
  split: str = "test",
  samples: int = 500,
  train_split: str = "train",
  extractor: Features | Recipe | Callable | None = None,
  extractor_seed: int = 0,
  neighbours: tuple[int, int] = (3, 5),
  seed: int | None = None,
  ema: bool | None = None,
) -> Metric:
  """The metrics "precision", "recall", "density" and "coverage".

  Args:
    neighbours: that a ball holds, of precision and recall, and of density and coverage.
    split, samples, train_split, extractor, extractor_seed, seed, ema: see metrics/frechet.py.
  """

  def compare(drawn: Drawn, real: Real) -> Mapping[str, Value]:
    shares = overlap(real.features, drawn.features, neighbours=neighbours)
    counts = (neighbours[0], neighbours[0], neighbours[1], neighbours[1])
    rows = zip(Overlap._fields, shares, counts, strict=True)
    return {name: Value(share, f"{name}, {count} neighbours") for name, share, count in rows}

  return feature_metric(
    compare,
    dict.fromkeys(Overlap._fields, "higher"),
    wants="features",
    split=split,
    samples=samples,
    train_split=train_split,
    extractor=extractor,
    extractor_seed=extractor_seed,
    seed=seed,
    ema=ema,
  )
