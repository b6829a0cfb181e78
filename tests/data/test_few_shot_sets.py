"""Few-shot sets: sorted by class, merged, and refused where splits share classes."""

import numpy as np
import pytest

from genjax.data.few_shot_sets import FewShotSet, check_disjoint, few_shot_set, merged


def _numbered(counts, *, first_id=0, split="train") -> FewShotSet:
  """Images whose pixels spell their number, in an order that mixes the classes."""
  ids = np.repeat(np.arange(len(counts)), counts)
  order = np.argsort(np.random.default_rng(0).random(len(ids)))
  images = np.arange(len(ids), dtype="<u4").view(np.uint8).reshape(-1, 1, 4, 1)[order]
  return few_shot_set(images, 10 * ids[order] + first_id, name="numbered", split=split)


def test_a_set_is_sorted_by_class_and_counts_its_images():
  few = few_shot_set(np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1), [7, 3, 7, 90, 3, 7], name="x", split="val")
  np.testing.assert_array_equal(few.images.ravel(), [1, 4, 0, 2, 5, 3])
  np.testing.assert_array_equal(few.labels, [0, 0, 1, 1, 1, 2])
  np.testing.assert_array_equal(few.starts, [0, 2, 5])
  np.testing.assert_array_equal(few.counts, [2, 3, 1])
  assert (few.class_ids, few.classes, few.shape) == ((3, 7, 90), 3, (1, 1, 1))
  assert (few.name, few.split, few.labels.dtype) == ("x", "val", np.int32)


def test_ids_may_be_words_and_sort_as_words():
  few = few_shot_set(np.zeros((3, 2, 2, 3), np.uint8), ["n2", "n10", "n2"], name="x", split="test")
  assert few.class_ids == ("n10", "n2")
  np.testing.assert_array_equal(few.counts, [1, 2])


def test_merging_sorts_the_classes_of_both():
  train, val = _numbered([3, 4]), _numbered([2, 5], first_id=5, split="val")
  both = merged(train, val)
  assert (both.class_ids, both.split, both.name) == ((0, 5, 10, 15), "train+val", "numbered")
  np.testing.assert_array_equal(both.counts, [3, 2, 4, 5])
  for few, theirs in ((train, (0, 2)), (val, (1, 3))):
    for own, their in enumerate(theirs):
      np.testing.assert_array_equal(both.images[both.labels == their], few.images[few.labels == own])


def test_splits_that_share_classes_are_refused():
  train, val = _numbered([3, 4]), _numbered([3], split="val")
  with pytest.raises(ValueError, match=r"train and val of numbered share 1 classes \(0\); the class ids"):
    check_disjoint(train, _numbered([1], first_id=3), val)
  with pytest.raises(ValueError, match="share 1 classes"):
    merged(train, val)
  words = few_shot_set(np.zeros((1, 1, 4, 1), np.uint8), ["a"], name="numbered", split="val")
  with pytest.raises(ValueError, match="train of numbered has class ids of type int, val of str"):
    merged(train, words)
  with pytest.raises(ValueError, match=r"images of train are \(1, 4, 1\), of val \(2, 2, 1\)"):
    merged(train, few_shot_set(np.zeros((1, 2, 2, 1), np.uint8), [5], name="numbered", split="val"))


@pytest.mark.parametrize(
  ("images", "ids", "text"),
  [
    (np.zeros((0, 2, 2, 3), np.uint8), [], 'x, split "train" is empty'),
    (np.zeros((2, 2, 2, 3), np.uint8), [1], r"2 images but class ids of type int64 and shape \[1\]"),
    (np.zeros((2, 2, 2, 3), np.uint8), [0.5, 1.0], "class ids of type float64"),
    (np.zeros((2, 2, 2, 3), np.float32), [1, 2], r"images are float32\[2, 2, 2, 3\]; wanted uint8"),
    (np.zeros((2, 12), np.uint8), [1, 2], r"images are uint8\[2, 12\]"),
  ],
)
def test_a_set_of_another_form_is_refused(images, ids, text):
  with pytest.raises(ValueError, match=text):
    few_shot_set(images, ids, name="x", split="train")
