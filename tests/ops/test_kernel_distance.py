"""The kernel distance against a double loop, its expectation, features far from 0, and torch-fidelity's subsets."""

import numpy as np
import pytest

from genjax.ops.kernel_distance import kernel_distance, subset_distances


def by_loops(a, b):
  k = lambda x, y: (x.astype(np.longdouble) @ y / len(x) + 1) ** 3
  within = lambda x: np.mean([k(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j])
  return float(within(a) + within(b) - 2 * np.mean([k(x, y) for x in a for y in b]))


def drawn(n, m, d=6, shift=0.0, offset=0.0):
  rng = np.random.default_rng(0)
  sets = rng.normal(size=(n, d)), rng.normal(size=(m, d)) * 1.3 + shift
  return [(x + offset).astype(np.float32) for x in sets]


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_it_is_the_double_loop_of_the_paper_also_far_from_0(offset):
  a, b = drawn(11, 14, shift=0.7, offset=offset)
  assert kernel_distance(a, b) == pytest.approx(by_loops(a.astype(np.float64), b.astype(np.float64)), rel=2e-4)


def test_it_is_symmetric_and_its_mean_over_sets_of_one_distribution_is_0_so_that_half_of_them_are_below():
  rng = np.random.default_rng(1)
  sets = rng.normal(size=(60, 2, 30, 4)).astype(np.float32)
  values = np.array([kernel_distance(a, b) for a, b in sets])
  assert 15 < (values < 0).sum() < 50
  assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
  assert kernel_distance(sets[0, 1], sets[0, 0]) == pytest.approx(values[0], abs=1e-6)
  assert kernel_distance(sets[0, 0], sets[0, 1] + 2) > 10 * values.max()


def test_subsets_are_those_of_torch_fidelity():
  a, b = drawn(30, 20)
  random = np.random.RandomState(2020)
  wanted = []
  for _ in range(4):
    first = a[random.choice(30, 8, replace=False)]
    second = b[random.choice(20, 8, replace=False)]
    wanted.append(by_loops(first.astype(np.float64), second.astype(np.float64)))
  np.testing.assert_allclose(subset_distances(a, b, subsets=4, size=8), wanted, rtol=1e-4, atol=1e-6)


def test_what_has_no_distance_is_refused():
  a, b = drawn(5, 5)
  with pytest.raises(ValueError, match=r"subsets of 6 of 5 and 5 features; use 2 to 5"):
    subset_distances(a, b, size=6)
  with pytest.raises(ValueError, match="shapes"):
    kernel_distance(a, b[:, :3])
  with pytest.raises(ValueError, match="NaN"):
    kernel_distance(a, np.full_like(b, np.nan))
