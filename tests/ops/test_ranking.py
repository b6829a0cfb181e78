import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from genjax.ops.ranking import aupr, auroc, fpr_at_tpr

MEASURES = (auroc, aupr, fpr_at_tpr)


def _sets(seed, ties):
  rng = np.random.default_rng(seed)
  positives, negatives = rng.normal(0.7, 1, 61 + seed), rng.normal(0, 1.2, 200)
  return (np.round(2 * positives), np.round(2 * negatives)) if ties else (positives, negatives)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_three_are_those_of_scikit_learn(seed, ties):
  positives, negatives = _sets(seed, ties)
  truth = np.r_[np.ones(len(positives)), np.zeros(len(negatives))]
  scores = np.r_[positives, negatives]
  assert auroc(positives, negatives) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
  assert aupr(positives, negatives) == pytest.approx(average_precision_score(truth, scores), abs=1e-12)
  false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
  for tpr in (0.95, 0.5, 1.0):
    assert fpr_at_tpr(positives, negatives, tpr=tpr) == pytest.approx(false[true >= tpr].min(), abs=1e-12)


def test_auroc_is_the_share_of_pairs_in_order_with_ties_counted_half():
  positives, negatives = _sets(4, ties=True)
  pairs = [(p > n) + 0.5 * (p == n) for p in positives for n in negatives]
  assert auroc(positives, negatives) == np.mean(pairs)


def test_perfect_blind_and_reversed_scores():
  high, low = np.arange(10.0, 20), np.arange(10.0)
  assert [f(high, low) for f in MEASURES] == [1.0, 1.0, 0.0]
  assert [f(low, high) for f in MEASURES[::2]] == [0.0, 1.0]
  assert [f(np.zeros(30), np.zeros(10)) for f in MEASURES] == [0.5, 0.75, 1.0]


def test_only_the_order_counts():
  positives, negatives = _sets(1, ties=False)
  for f in MEASURES:
    assert f(np.exp(positives), np.exp(negatives)) == f(positives, negatives)


def test_ninety_five_of_a_hundred_are_reached_exactly():
  # 0.95 * 60 is 57 on paper and 57.0 or its neighbour in floats: the threshold is the 57th highest positive
  for count in (20, 40, 60, 100, 140, 1000):
    positives = np.arange(count, dtype=float)
    threshold = count - count * 95 // 100
    assert fpr_at_tpr(positives, [threshold - 0.5, threshold]) == 0.5


def test_infinities_are_ordered_and_any_dtype_is_read():
  assert auroc([np.inf, 1.0], [-np.inf, 1.0]) == 0.875
  assert auroc(jnp.array([1, 2], jnp.bfloat16), np.array([0, 1])) == 0.875
  assert aupr([np.inf], [-np.inf]) == 1.0


@pytest.mark.parametrize("measure", MEASURES)
def test_scores_without_an_order_are_refused(measure):
  with pytest.raises(ValueError, match="1 of 2 scores of the positives are NaN"):
    measure([np.nan, 1.0], [0.0])
  with pytest.raises(ValueError, match=r"negatives have shape \(0,\); wanted \[n\] scores, one at least"):
    measure([1.0], [])
  with pytest.raises(ValueError, match=r"positives have shape \(1, 1\)"):
    measure([[1.0]], [0.0])


@pytest.mark.parametrize("tpr", [0.0, 1.2])
def test_a_share_of_true_positives_is_over_0_and_at_most_1(tpr):
  with pytest.raises(ValueError, match="wanted a share"):
    fpr_at_tpr([1.0], [0.0], tpr=tpr)
