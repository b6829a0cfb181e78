"""MODE score: an Inception score that falls where the generator leaves labels of the real images out.

Papers   Che et al. 2017, arXiv:1612.02136, as Xu et al. 2018 write it, arXiv:1806.07755: the labels of the real images
         are the mean of p(y|x) over them.
Departs  The logits are by default those of a small classifier of the data; the real images are the held-out split.
Checked  tests/ops/test_label_scores.py, tests/metrics/test_features.py
"""

from collections.abc import Callable, Mapping

from genjax.core import Metric
from genjax.metrics.features import Features, Real, Recipe, Value, feature_metric
from genjax.metrics.generated import Drawn
from genjax.ops import label_scores


def mode_score(
  *,
  split: str = "test",
  samples: int = 500,
  train_split: str = "train",
  extractor: Features | Recipe | Callable | None = None,
  extractor_seed: int = 0,
  seed: int | None = None,
  ema: bool | None = None,
) -> Metric:
  """The metrics "mode_score", "mode_classes" (labels that some sample has) and "mode_divergence" (KL in nats).

  Args:
    split, samples, train_split, extractor, extractor_seed, seed, ema: see metrics/frechet.py.
  """

  def compare(drawn: Drawn, real: Real) -> Mapping[str, Value]:
    score = label_scores.mode_score(drawn.logits, label_scores.mean_shares(real.logits))
    of = f"{drawn.logits.shape[1]} classes"
    return {
      "mode_score": Value(score.score, f"MODE score of {of}"),
      "mode_classes": Value(score.classes, f"labels that some sample has, of {of}"),
      "mode_divergence": Value(score.divergence, f"KL of the samples' labels to the real ones, of {of}"),
    }

  return feature_metric(
    compare,
    {"mode_score": "higher", "mode_classes": "higher", "mode_divergence": "lower"},
    wants="logits",
    split=split,
    samples=samples,
    train_split=train_split,
    extractor=extractor,
    extractor_seed=extractor_seed,
    seed=seed,
    ema=ema,
  )
