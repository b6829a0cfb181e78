"""The Frechet distance against closed forms and scipy, and streaming moments against numpy on the whole set."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from genjax.ops.frechet import Moments, frechet_at_infinity, frechet_between, frechet_distance


def random_covariance(rng, dimension, rank=None):
  factor = rng.normal(size=(dimension, rank or dimension))
  return factor @ factor.T


def by_scipy(mean_a, covariance_a, mean_b, covariance_b):
  root = scipy.linalg.sqrtm(covariance_a @ covariance_b)
  return float(np.sum((mean_a - mean_b) ** 2) + np.trace(covariance_a + covariance_b) - 2 * np.trace(root).real)


def moments_of(features):
  return Moments.empty(features.shape[1]).update(features)


def test_equal_covariances_leave_the_squared_shift_of_the_means():
  rng = np.random.default_rng(0)
  covariance = random_covariance(rng, 5)
  a, b = rng.normal(size=5), rng.normal(size=5)
  assert frechet_distance(a, covariance, b, covariance) == pytest.approx(np.sum((a - b) ** 2), rel=1e-12)


def test_one_dimension_is_the_shift_squared_plus_the_difference_of_deviations_squared():
  got = frechet_distance(np.array([1.0]), np.array([[4.0]]), np.array([-2.0]), np.array([[9.0]]))
  assert got == pytest.approx(9.0 + (2.0 - 3.0) ** 2, rel=1e-14)


def test_diagonal_covariances_add_up_over_dimensions():
  a, b = np.array([1.0, 4.0, 0.0, 0.25]), np.array([9.0, 4.0, 1.0, 0.0])
  got = frechet_distance(np.zeros(4), np.diag(a), np.zeros(4), np.diag(b))
  assert got == pytest.approx(4.0 + 0.0 + 1.0 + 0.25, rel=1e-14)


def test_commuting_covariances_have_the_closed_form_in_any_basis():
  rng = np.random.default_rng(1)
  basis, _ = np.linalg.qr(rng.normal(size=(6, 6)))
  a, b = rng.uniform(0.1, 3, 6), rng.uniform(0.1, 3, 6)
  got = frechet_distance(np.zeros(6), basis * a @ basis.T, np.zeros(6), basis * b @ basis.T)
  assert got == pytest.approx(np.sum((np.sqrt(a) - np.sqrt(b)) ** 2), rel=1e-12)


@pytest.mark.parametrize("dimension", [2, 7, 64])
def test_full_rank_covariances_agree_with_scipys_sqrtm(dimension):
  rng = np.random.default_rng(dimension)
  arguments = (
    rng.normal(size=dimension),
    random_covariance(rng, dimension),
    rng.normal(size=dimension),
    random_covariance(rng, dimension),
  )
  assert frechet_distance(*arguments) == pytest.approx(by_scipy(*arguments), rel=1e-8)


def test_disjoint_supports_of_low_rank_leave_both_traces():
  basis, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(8, 8)))
  a, b = basis[:, :3], basis[:, 3:5]
  got = frechet_distance(np.zeros(8), a @ a.T, np.zeros(8), 4 * b @ b.T)
  assert got == pytest.approx(3.0 + 8.0, rel=1e-13)


def test_fewer_examples_than_features_agree_with_the_examples_own_gram_matrix():
  """For A = X^T X, B = Y^T Y the trace term is the nuclear norm of X Y^T: n x n, without any d x d matrix."""
  rng = np.random.default_rng(3)
  x, y = rng.normal(size=(5, 40)), 2 * rng.normal(size=(7, 40)) + 1
  xc, yc = (x - x.mean(0)) / np.sqrt(4), (y - y.mean(0)) / np.sqrt(6)
  nuclear = scipy.linalg.svdvals(xc @ yc.T).sum()
  wanted = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.sum(xc**2) + np.sum(yc**2) - 2 * nuclear
  assert frechet_between(moments_of(x), moments_of(y)) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("examples", [10, 500])
def test_identical_sets_are_at_distance_zero_of_full_rank_and_below(examples):
  features = 30 * np.random.default_rng(4).normal(size=(examples, 64))
  moments = moments_of(features)
  assert 0 <= frechet_between(moments, moments) <= 1e-9 * np.trace(moments.covariance())


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_the_distance_is_symmetric_and_not_negative_at_any_rank(seed, rank_a, rank_b):
  rng = np.random.default_rng(seed)
  a = (rng.normal(size=6), random_covariance(rng, 6, rank_a))
  b = (rng.normal(size=6), random_covariance(rng, 6, rank_b))
  forth, back = frechet_distance(*a, *b), frechet_distance(*b, *a)
  assert forth >= 0
  assert forth == pytest.approx(back, rel=1e-10, abs=1e-10)


def test_turning_both_sets_together_changes_nothing():
  rng = np.random.default_rng(5)
  basis, _ = np.linalg.qr(rng.normal(size=(6, 6)))
  x, y = rng.normal(size=(50, 6)), rng.normal(size=(40, 6)) @ np.diag([1, 2, 3, 1, 1, 0.1]) + 1
  plain = frechet_between(moments_of(x), moments_of(y))
  assert frechet_between(moments_of(x @ basis), moments_of(y @ basis)) == pytest.approx(plain, rel=1e-10)


def test_moments_agree_with_numpy():
  features = np.random.default_rng(6).normal(size=(50, 4))
  moments = moments_of(features)
  np.testing.assert_allclose(moments.mean, features.mean(0), rtol=0, atol=1e-15)
  np.testing.assert_allclose(moments.covariance(), np.cov(features, rowvar=False), rtol=0, atol=1e-14)
  np.testing.assert_allclose(moments.covariance(ddof=0), np.cov(features, rowvar=False, ddof=0), rtol=0, atol=1e-14)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8))
@settings(max_examples=25, deadline=None)
def test_streaming_in_batches_of_any_size_is_the_whole(sizes):
  features = np.random.default_rng(7).normal(size=(sum(sizes) + 2, 3))
  streamed = Moments.empty(3)
  for batch in np.split(features, np.cumsum(sizes)):
    streamed = streamed.update(batch)
  whole = moments_of(features)
  assert streamed.count == whole.count
  np.testing.assert_allclose(streamed.mean, whole.mean, rtol=0, atol=1e-14)
  np.testing.assert_allclose(streamed.m2, whole.m2, rtol=0, atol=1e-12)


def test_the_moments_of_eight_parts_merge_into_the_whole():
  features = np.random.default_rng(8).normal(size=(83, 5))
  merged = Moments.empty(5)
  for device in range(8):
    merged = merged.merge(moments_of(features[device::8]))
  assert merged.count == 83
  np.testing.assert_allclose(merged.covariance(), np.cov(features, rowvar=False), rtol=0, atol=1e-14)


def test_an_offset_of_a_thousand_does_not_cancel():
  rng = np.random.default_rng(9)
  x, y = rng.normal(size=(1000, 8)), 1.1 * rng.normal(size=(1000, 8))
  streamed = Moments.empty(8)
  for batch in np.array_split(x + 1e3, 13):
    streamed = streamed.update(batch)
  np.testing.assert_allclose(streamed.covariance(), np.cov(x, rowvar=False), rtol=0, atol=1e-11)
  assert frechet_between(streamed, moments_of(y + 1e3)) == pytest.approx(
    frechet_between(moments_of(x), moments_of(y)), rel=1e-8
  )


def test_float32_features_are_summed_in_float64():
  features = (1e3 + np.random.default_rng(10).normal(size=(5000, 3))).astype(np.float32)
  wanted = np.cov(features.astype(np.float64), rowvar=False)
  np.testing.assert_allclose(moments_of(features).covariance(), wanted, rtol=0, atol=1e-11)


def test_masked_rows_do_not_count_whatever_they_hold():
  features = np.random.default_rng(11).normal(size=(10, 3))
  padded = np.concatenate([features, np.full((6, 3), np.nan)])
  masked = Moments.empty(3).update(padded, np.arange(16) < 10)
  np.testing.assert_array_equal(masked.m2, moments_of(features).m2)
  assert masked.count == 10
  assert masked.update(padded, np.zeros(16, bool)) == masked


def test_what_does_not_fit_is_refused_by_name():
  with pytest.raises(ValueError, match=r"shape \(2, 4\); these moments want \[n, 3\]"):
    Moments.empty(3).update(np.zeros((2, 4)))
  with pytest.raises(ValueError, match="1 of 2 feature rows hold NaN"):
    Moments.empty(2).update(np.array([[0.0, np.nan], [1.0, 2.0]]))
  with pytest.raises(ValueError, match="one per row"):
    Moments.empty(2).update(np.zeros((2, 2)), np.ones(3, bool))
  with pytest.raises(ValueError, match="at least 2"):
    moments_of(np.zeros((1, 2))).covariance()
  with pytest.raises(ValueError, match="do not merge"):
    Moments.empty(2).merge(Moments.empty(3))
  with pytest.raises(ValueError, match="with one d"):
    frechet_distance(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3))
  with pytest.raises(ValueError, match="NaN or Inf"):
    frechet_distance(np.zeros(2), np.eye(2), np.full(2, np.nan), np.eye(2))
  with pytest.raises(ValueError, match="must not be negative"):
    frechet_distance(np.zeros(2), np.eye(2), np.zeros(2), np.diag([1.0, -0.5]))


def test_the_line_in_1_over_n_ends_at_the_distance_of_many_samples_and_is_numpys_fit():
  rng = np.random.default_rng(0)
  reference = Moments(10**9, np.zeros(4), np.eye(4) * (10**9 - 1))
  features = rng.normal(size=(3000, 4)) + 0.3  # far off, 4 * 0.3^2
  line = frechet_at_infinity(features, reference, points=8)
  assert (line.sizes[0], line.sizes[-1], len(line.sizes)) == (300, 3000, 8)
  design = np.stack([1 / line.sizes, np.ones(8)], axis=1)
  assert line.distance == pytest.approx(np.linalg.lstsq(design, line.distances, rcond=None)[0][1], rel=1e-9)
  assert line.distances[-1] == pytest.approx(frechet_between(Moments.empty(4).update(features), reference), rel=1e-9)
  assert line.distance == pytest.approx(0.36, abs=0.05)
  noise = np.mean([frechet_at_infinity(rng.normal(size=(600, 4)), reference, seed=i)[0] for i in range(8)])
  assert abs(noise) < 0.3 * np.mean([
    frechet_between(Moments.empty(4).update(rng.normal(size=(600, 4))), reference) for _ in range(8)
  ])  # fmt: skip
  with pytest.raises(ValueError, match=r"from 9 to 4 samples"):
    frechet_at_infinity(features[:4], reference, least=9)
