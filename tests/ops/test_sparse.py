"""Lasso against scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import Lasso

from genjax.ops.sparse import lasso

RNG = np.random.default_rng(0)


def test_it_is_scikit_learn_s():
  dictionary = RNG.normal(size=(20, 12)).astype(np.float32)
  truth = np.zeros((3, 20))
  truth[:, [2, 7]] = RNG.normal(size=(3, 2)) + 2
  measured = (truth @ dictionary + 0.05 * RNG.normal(size=(3, 12))).astype(np.float32)
  ours = lasso(dictionary, measured, weight=0.02)
  theirs = [Lasso(0.02, fit_intercept=False, tol=1e-5, max_iter=100_000).fit(dictionary.T, y).coef_ for y in measured]
  np.testing.assert_allclose(ours, theirs, atol=2e-3)
  assert (np.asarray(ours) == 0).mean() > 0.4
  np.testing.assert_array_equal(lasso(dictionary, measured, weight=1e4), np.zeros((3, 20)))


def test_shapes_that_do_not_fit_are_refused():
  with pytest.raises(ValueError, match=r"wanted \[B, m\]"):
    lasso(np.ones((4, 3)), np.ones((2, 4)), weight=1.0)
  with pytest.raises(ValueError, match=r"weight -1\.0"):
    lasso(np.ones((4, 3)), np.ones((2, 3)), weight=-1.0)
