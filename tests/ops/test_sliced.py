"""The sliced Wasserstein distance: one dimension against scipy, the pyramid adds up, and what each level sees."""

import numpy as np
import pytest
from scipy.ndimage import convolve1d
from scipy.stats import wasserstein_distance

from genjax.ops.sliced import _larger, normalised, patches, pyramid, sliced_distance, sliced_wasserstein


def images(n=6, side=64, channels=3, seed=0):
  return np.random.default_rng(seed).integers(0, 256, (n, side, side, channels), dtype=np.uint8)


def test_a_direction_is_scipys_distance_in_one_dimension():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(50, 1)).astype(np.float32), (rng.normal(size=(50, 1)) * 2 + 1).astype(np.float32)
  assert sliced_distance(a, b, rng, directions=3) == pytest.approx(wasserstein_distance(a[:, 0], b[:, 0]), rel=1e-6)
  assert sliced_distance(a, a[::-1], rng) == 0
  moved = rng.normal(size=(40, 4)).astype(np.float32)
  shift = np.array(
    [3, 0, 0, 0], np.float32
  )  # the mean of |<shift, direction>| over the sphere of R^4 is 3 * 4 / (3 pi)
  assert sliced_distance(moved, moved + shift, rng, directions=4000) == pytest.approx(4 / np.pi, rel=0.03)


def test_the_pyramid_adds_up_and_its_filter_is_scipys():
  fine, middle, coarse = pyramid(images())
  assert [level.shape[1] for level in (fine, middle, coarse)] == [64, 32, 16]
  np.testing.assert_allclose(fine + _larger(middle + _larger(coarse)), images(), atol=1e-3)
  smooth = images().astype(np.float64)
  for axis in (1, 2):
    smooth = convolve1d(smooth, np.array([1, 4, 6, 4, 1]) / 16, axis=axis, mode="mirror")
  np.testing.assert_allclose(middle + _larger(coarse), smooth[:, ::2, ::2], atol=1e-3)
  assert [level.shape[1] for level in pyramid(images(side=8))] == [8]


def test_patches_are_cut_where_they_lie_and_each_channel_is_normalised():
  level = np.arange(2 * 9 * 9 * 2).reshape(2, 9, 9, 2)
  cut = patches(level, np.random.default_rng(0), per_image=50)
  assert cut.shape == (100, 7, 7, 2)
  tops = set()
  for i, patch in enumerate(cut):
    image, top, left, _ = np.unravel_index(patch[0, 0, 0], level.shape)
    np.testing.assert_array_equal(patch, level[image, top : top + 7, left : left + 7])
    assert image == i // 50
    tops.add(int(top))
  assert tops == {0, 1, 2}
  rows = normalised(cut).reshape(cut.shape).astype(np.float64)
  np.testing.assert_allclose(rows.mean((0, 1, 2)), 0, atol=1e-5)
  np.testing.assert_allclose(rows.std((0, 1, 2)), 1, atol=1e-5)


def test_equal_sets_are_near_dots_are_far_from_blocks_at_the_finest_level():
  real = np.repeat(np.repeat(images(40, side=8), 4, 1), 4, 2)
  dots = 255 * (images(40, side=32, seed=1) > 250).astype(np.uint8)
  far = sliced_wasserstein(real, dots, per_image=64, directions=32)
  near = sliced_wasserstein(real, real, per_image=64, directions=32)
  assert set(far) == set(near) == {32, 16}
  assert far[32] > 2 * near[32] > 0
  with pytest.raises(ValueError, match="as many of one size"):
    sliced_wasserstein(real, real[1:])
