"""Glyphs: classes of a script for each split, no two alike, the same pixels each time."""

import unicodedata

import numpy as np
import pytest

from genjax.data import few_shot, glyphs
from genjax.data.few_shot_sets import check_disjoint


@pytest.fixture(scope="module")
def splits():
  return {split: few_shot("glyphs", split) for split in ("train", "val", "test")}


@pytest.mark.slow
def test_splits_have_classes_of_their_own_and_enough_of_them(splits):
  check_disjoint(*splits.values())
  assert splits["train"].classes >= 200
  assert splits["val"].classes >= 60
  assert splits["test"].classes >= 60
  for few in splits.values():
    assert few.shape == (28, 28, 1)
    assert set(few.counts) == {glyphs.EACH}


@pytest.mark.slow
def test_a_second_opening_gives_the_same_set_and_its_digest(splits):
  again = few_shot("glyphs", "test")
  assert again.digest == splits["test"].digest
  np.testing.assert_array_equal(again.images, splits["test"].images)


@pytest.mark.slow
def test_unseen_faces_are_some_of_the_test_characters_in_other_pixels(splits):
  unseen = few_shot("glyphs", "test", unseen_faces=True)
  assert set(unseen.class_ids) <= set(splits["test"].class_ids)
  assert unseen.classes >= 20
  assert unseen.digest != splits["test"].digest


def test_scripts_are_apart_and_accents_are_left_out():
  for letter, split in glyphs.class_names():
    assert unicodedata.name(letter).split()[0] in glyphs.SCRIPTS[split], letter
    assert len(unicodedata.normalize("NFKD", letter)) == 1
  letters = {letter for letter, _ in glyphs.class_names()}
  assert "A" in letters
  assert not {"\u0391", "\u0410"} & letters  # Alpha and the Cyrillic A look like it


def test_an_image_follows_from_its_random_words_and_has_ink():
  draw = lambda: np.random.Generator(np.random.Philox(3))
  one, two = (glyphs.rendered("R", glyphs.FACES, draw()) for _ in range(2))
  np.testing.assert_array_equal(one, two)
  assert one.dtype == np.uint8
  assert one.std() > 20
