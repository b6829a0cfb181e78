"""Inception score of generated images, by the class logits of an extractor.

The number is known as the Inception score only where the logits are Inception's; the card names the classifier. It
looks at no real image: its reference is what the classifier was trained on.

Papers   Salimans et al. 2016, arXiv:1606.03498, section 4
Departs  The logits are by default those of a small classifier of the data, K classes of theirs.
Checked  tests/ops/test_label_scores.py, tests/metrics/test_features.py
"""

from collections.abc import Callable, Mapping

from genjax.core import Metric
from genjax.metrics.features import Features, Real, Recipe, Value, feature_metric
from genjax.metrics.generated import Drawn
from genjax.ops import label_scores


def inception_score(
  *,
  split: str = "test",
  samples: int = 500,
  train_split: str = "train",
  extractor: Features | Recipe | Callable | None = None,
  extractor_seed: int = 0,
  splits: int = 10,
  choice_seed: int = 2020,
  seed: int | None = None,
  ema: bool | None = None,
) -> Metric:
  """The metrics "inception_score", the mean over splits of the samples, and "inception_score_deviation".

  Args:
    splits: parts of the samples, each measured alone.
    choice_seed: of the shuffle before them; 2020 is torch-fidelity's.
    split, samples, train_split, extractor, extractor_seed, seed, ema: see metrics/frechet.py.
  """

  def compare(drawn: Drawn, real: Real) -> Mapping[str, Value]:
    del real
    score = label_scores.inception_score(drawn.logits, splits=splits, seed=choice_seed)
    name = f"inception score of {drawn.logits.shape[1]} classes, {score.splits} splits (seed {choice_seed})"
    return {
      "inception_score": Value(score.mean, name, reference=0),
      "inception_score_deviation": Value(score.deviation, f"deviation of {name}", reference=0),
    }

  return feature_metric(
    compare,
    {"inception_score": "higher", "inception_score_deviation": "neither"},
    wants="logits",
    split=split,
    samples=samples,
    train_split=train_split,
    extractor=extractor,
    extractor_seed=extractor_seed,
    seed=seed,
    ema=ema,
  )
