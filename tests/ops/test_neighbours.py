"""Neighbours in blocks against brute force in float64, and what the shares say of sets that differ."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from genjax.ops import neighbours
from genjax.ops.neighbours import overlap, squares_of_nearest, two_sample


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
  monkeypatch.setattr(neighbours, "_BLOCK", 32)


def brute(real, generated, k_precision=3, k_density=5):
  real, generated = real.astype(np.float64), generated.astype(np.float64)
  square = lambda a, b: cdist(a, b, "sqeuclidean")
  radius = lambda x, k: np.sort(square(x, x), axis=1)[:, k]  # itself comes first
  between = square(real, generated)
  of_real = between < radius(real, k_density)[:, None]
  return (
    (between <= radius(real, k_precision)[:, None]).any(0).mean(),
    (between <= radius(generated, k_precision)[None]).any(1).mean(),
    of_real.sum() / (k_density * len(generated)),
    of_real.any(1).mean(),
  )


def sets(n=70, m=45, d=3, offset=0.0):
  rng = np.random.default_rng(0)
  real, generated = rng.normal(size=(n, d)), 0.8 * rng.normal(size=(m, d)) + 0.4
  return [(x + offset).astype(np.float32) for x in (real, generated)]


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_the_shares_are_those_of_brute_force_also_far_from_0(offset):
  real, generated = sets(offset=offset)
  assert overlap(real, generated) == pytest.approx(brute(real, generated), abs=1e-12)
  assert overlap(real, generated, neighbours=(1, 2)) == pytest.approx(brute(real, generated, 1, 2), abs=1e-12)


def test_ties_are_settled_exactly():
  rng = np.random.default_rng(0)
  real, generated = (rng.integers(0, 4, (60, 3)).astype(np.float32) + 500 for _ in range(2))
  assert overlap(real, generated) == pytest.approx(brute(real, generated), abs=1e-12)
  assert overlap(real, real)[:2] == (1.0, 1.0)


def test_a_tight_cluster_inside_a_broad_one_is_precise_and_recalls_little_and_the_other_way_round():
  rng = np.random.default_rng(0)
  broad, tight = rng.normal(size=(100, 2)), 0.1 * rng.normal(size=(100, 2))
  inside, outside = overlap(broad, tight), overlap(tight, broad)
  assert inside.precision == 1
  assert inside.recall < 0.2
  assert inside.coverage < 0.4
  assert (outside.precision, outside.recall) == (inside.recall, inside.precision)
  assert outside.density < 0.2 * inside.density
  apart = overlap(broad, broad + 50)
  assert apart == (0, 0, 0, 0)


def test_distances_are_exact_in_rising_order_and_no_example_is_its_own_neighbour():
  real, generated = sets(offset=1e3)
  wanted = np.sort(cdist(*(x.astype(np.float64) for x in (real, generated)), "sqeuclidean"), axis=1)[:, :4]
  np.testing.assert_allclose(squares_of_nearest(real, generated, 4), wanted, rtol=1e-12)
  own = np.sort(cdist(*2 * [real.astype(np.float64)], "sqeuclidean"), axis=1)[:, 1:4]
  np.testing.assert_allclose(squares_of_nearest(real, real, 3, same=True), own, rtol=1e-12)
  assert squares_of_nearest(real[:3], real[:3], 9, same=True).shape == (3, 2)


def test_leave_one_out_accuracy_is_that_of_brute_force_and_tells_copies_from_strangers():
  real, generated = sets(60, 60)
  both, label = np.concatenate([real, generated]).astype(np.float64), np.repeat([0, 1], 60)
  distances = cdist(both, both) + np.diag(np.full(120, np.inf))
  right = label[distances.argmin(1)] == label
  assert two_sample(real, generated) == pytest.approx((right.mean(), right[:60].mean(), right[60:].mean()))
  assert two_sample(real, generated + 50) == (1, 1, 1)
  assert two_sample(real, real) == (0, 0, 0)  # each one's nearest is its copy
  same = np.random.default_rng(1).normal(size=(2, 400, 3))
  assert abs(two_sample(*same).accuracy - 0.5) < 0.07


def test_what_has_no_neighbours_is_refused():
  with pytest.raises(ValueError, match="two at least"):
    overlap(np.zeros((1, 2)), np.zeros((3, 2)))
  with pytest.raises(ValueError, match="NaN"):
    two_sample(np.zeros((3, 2)), np.full((3, 2), np.inf))
