"""Inception score and MODE score: closed forms, and numpy by hand."""

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import entropy

from genjax.ops.label_scores import inception_score, mode_score

K = 5


def sure(labels):
  return 200.0 * np.eye(K)[labels]


def test_uniform_labels_give_1_and_balanced_sure_ones_their_number():
  assert inception_score(np.full((40, K), 3.0), splits=4).mean == pytest.approx(1.0, abs=1e-12)
  balanced = sure(np.arange(40) % K)
  assert inception_score(balanced, splits=4, seed=None).mean == pytest.approx(K, rel=1e-12)
  assert inception_score(sure(np.zeros(40, int)), splits=4).mean == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_it_is_the_mean_over_the_splits_of_shuffled_images(offset):
  logits = np.random.default_rng(0).normal(size=(43, K)) * 2
  shares = np.exp(log_softmax(logits, axis=1))[np.random.RandomState(2020).permutation(43)]
  parts = [shares[i * 43 // 10 : (i + 1) * 43 // 10] for i in range(10)]
  scores = [np.exp(np.mean([entropy(p, part.mean(0)) for p in part])) for part in parts]
  score = inception_score((logits + offset).astype(np.float32))
  assert (score.mean, score.deviation, score.splits) == (
    pytest.approx(np.mean(scores), rel=2e-4 if offset else 1e-6),
    pytest.approx(np.std(scores), rel=2e-3 if offset else 1e-5),
    10,
  )
  assert inception_score(logits[:3]).splits == 3


def test_the_mode_score_falls_with_labels_that_real_images_do_not_have_so_often():
  logits = np.random.default_rng(1).normal(size=(31, K))
  shares, real = np.exp(log_softmax(logits, axis=1)), np.array([5, 4, 3, 2, 1]) / 15
  wanted = np.exp(np.mean([entropy(p, shares.mean(0)) for p in shares]) - entropy(shares.mean(0), real))
  score = mode_score(logits, real)
  assert score.score == pytest.approx(wanted, rel=1e-9)
  assert score.divergence == pytest.approx(entropy(shares.mean(0), real), rel=1e-9)
  uniform = np.full(K, 1 / K)
  assert mode_score(sure(np.arange(40) % K), uniform).score == pytest.approx(K, rel=1e-12)
  assert mode_score(sure(np.arange(40) % 2), uniform)[:2] == (pytest.approx(2 * 2 / K, rel=1e-12), 2)
  assert np.isfinite(mode_score(logits, np.array([1, 0, 0, 0, 0])).score)


def test_what_has_no_score_is_refused():
  with pytest.raises(ValueError, match="logits have shape"):
    inception_score(np.zeros((3, 1)))
  with pytest.raises(ValueError, match="NaN"):
    inception_score(np.full((3, 2), np.nan))
  with pytest.raises(ValueError, match="the logits are of 2 classes"):
    mode_score(np.zeros((3, 2)), np.ones(3))
