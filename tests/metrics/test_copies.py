"""Planted copies are flagged, new real images are not, and a collapsed set shows."""

import numpy as np
import pytest

from genjax.metrics.copies import copies_among, real
from genjax.metrics.nearest import nearest


@pytest.fixture(scope="module")
def measured(digits):
  return real(digits.train, digits.held_out[:250], n=250)


def by_hand(images, others, same=False):
  a, b = (x.reshape(len(x), -1).astype(np.float64) / 127.5 for x in (images, others))
  distances = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
  if same:
    np.fill_diagonal(distances, np.inf)
  return distances.argmin(1), distances.min(1)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 3), (300, 700), (257, 256)])
def test_nearest_neighbours_agree_with_all_differences(n, m):
  rng = np.random.default_rng(n)
  images, others = (rng.integers(0, 256, size=(k, 4, 3, 2), dtype=np.uint8) for k in (n, m))
  indices, distances = nearest(images, others)
  wanted_indices, wanted = by_hand(images, others)
  np.testing.assert_array_equal(indices, wanted_indices)
  np.testing.assert_allclose(distances, wanted, rtol=1e-12, atol=0)


def test_an_image_is_not_its_own_neighbour_within_one_set(digits):
  some = digits.train[:400]
  indices, distances = nearest(some, some, same=True)
  wanted_indices, wanted = by_hand(some, some, same=True)
  np.testing.assert_array_equal(indices, wanted_indices)
  np.testing.assert_allclose(distances, wanted, rtol=1e-12, atol=0)


def test_equal_images_are_at_distance_0_exactly_however_large():
  images = np.random.default_rng(0).integers(200, 256, size=(20, 64, 64, 3), dtype=np.uint8)
  indices, distances = nearest(images[::-1], images)
  np.testing.assert_array_equal(indices, np.arange(20)[::-1])
  assert (distances == 0).all()


def test_one_level_in_one_pixel_is_seen():
  images = np.full((2, 64, 64, 3), 250, np.uint8)
  images[1, 5, 5, 1] -= 1
  np.testing.assert_allclose(nearest(images[1:], images[:1])[1], 1 / 127.5, rtol=1e-12)


def test_planted_copies_are_flagged_with_their_places(digits, measured):
  samples = digits.held_out[250:450].copy()
  samples[:30] = digits.train[100:130]
  result = copies_among(samples, measured)
  np.testing.assert_array_equal(result.nearest[:30], np.arange(100, 130))
  assert (result.distances[:30] == 0).all()
  assert 0.15 <= result.copies <= 0.15 + 0.02


def test_near_copies_are_flagged(digits, measured):
  jitter = np.random.default_rng(0).integers(-6, 7, size=digits.train[:200].shape)
  result = copies_among(np.clip(digits.train[:200].astype(int) + jitter, 0, 255).astype(np.uint8), measured)
  assert result.copies == 1.0
  assert result.ratio < 0.5


def test_held_out_images_are_flagged_no_more_often_than_stated(digits, measured):
  """1 % is stated; of 250 new ones at most 7 are flagged with probability 0.996."""
  result = copies_among(digits.held_out[250:], measured)
  assert result.copies <= 7 / 250
  assert result.duplicates <= 7 / 250
  assert result.ratio == pytest.approx(1.0, abs=0.1)
  assert result.diversity == pytest.approx(1.0, abs=0.05)


def test_the_held_out_images_that_set_the_threshold_stay_below_1_percent(digits, measured):
  assert copies_among(digits.held_out[:250], measured).copies <= 0.012


def test_a_copied_sample_within_the_set_is_a_duplicate(digits, measured):
  samples = digits.held_out[250:].copy()
  samples[:50] = samples[50:51]
  assert 51 / 250 <= copies_among(samples, measured).duplicates <= 55 / 250
  # it is `apart` that duplicates are held against, and `threshold` that copies are
  far, near = (copies_among(samples, measured._replace(**{name: np.inf})) for name in ("apart", "threshold"))
  assert (far.duplicates, near.copies) == (1.0, 1.0)
  assert far.copies == near.copies - 1.0 + copies_among(samples, measured).copies
  assert near.duplicates == copies_among(samples, measured).duplicates


def test_images_of_a_smaller_set_are_further_apart(digits):
  """So as many training images are compared with each other as samples with each other."""
  train, held_out = digits.train[:300], digits.held_out[:50]
  everything, few = (real(train, held_out, n=n) for n in (300, 30))
  _, among = by_hand(train, train, same=True)
  np.testing.assert_allclose(everything.apart, np.quantile(among, 0.01), rtol=1e-6)
  assert few.apart > 1.2 * everything.apart
  assert few.threshold == everything.threshold


def test_a_set_collapsed_to_one_class_is_less_diverse(digits, measured):
  zeros = digits.train[digits.train_labels == 0]
  assert copies_among(zeros, measured).diversity < 0.8


def test_diversity_is_the_root_mean_square_of_pairwise_distances(digits, measured):
  samples = digits.train[:40]
  flat = samples.reshape(40, -1) / 127.5
  squares = ((flat[:, None] - flat[None]) ** 2).sum(-1)[~np.eye(40, dtype=bool)]
  wanted = np.sqrt(squares.mean()) / measured.spread
  assert copies_among(samples, measured).diversity == pytest.approx(wanted, rel=1e-12)


def test_real_duplicates_in_the_held_out_set_do_not_hide_copies(digits):
  """Where held-out images repeat training images the threshold is 0: an exact copy is still a copy."""
  measured = real(digits.train, digits.train[:100], n=100)
  assert measured.threshold == 0
  assert copies_among(digits.train[500:520], measured).copies == 1.0
  assert copies_among(digits.held_out[:100], measured).copies == 0.0


def test_what_does_not_fit_is_refused(digits, measured):
  with pytest.raises(ValueError, match="generated images are 9x8x1 and the real images 8x8x1"):
    copies_among(np.zeros((4, 9, 8, 1), np.uint8), measured)
  with pytest.raises(ValueError, match="1 generated image"):
    copies_among(digits.train[:1], measured)
  with pytest.raises(ValueError, match="two at least of each"):
    real(digits.train, digits.held_out[:1], n=4)
  with pytest.raises(ValueError, match="among 1 images"):
    nearest(digits.train[:1], digits.train[:1], same=True)
