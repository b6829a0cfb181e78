"""The bundled photographs are scikit-image's."""

import numpy as np
import pytest
from skimage import data

from genjax.data import images, load


def test_the_photographs_come_whole_with_their_names():
  photographs = load("textures")
  assert photographs.label_names == ("brick", "grass", "gravel")
  for label, name in enumerate(photographs.label_names):
    np.testing.assert_array_equal(photographs.images[label, ..., 0], getattr(data, name)())
  assert photographs.labels.tolist() == [0, 1, 2]


def test_one_may_be_picked():
  photograph = load("textures/grass")
  np.testing.assert_array_equal(photograph.images, data.grass()[None, :, :, None])
  assert photograph.label_names == ("grass",)
  assert load("textures/grass", size=128, channels=3).images.shape == (1, 128, 128, 3)


def test_an_unknown_texture_is_an_error_that_names_the_known():
  with pytest.raises(ValueError, match='"textures/sand" is unknown; wanted textures or textures/brick, textures/grass'):
    load("textures/sand")


def test_a_batch_may_hold_more_than_there_are_photographs():
  batch = images.textures(batch=7).batch(0)
  assert batch["image"].shape == (7, 512, 512, 1)
  assert sorted(np.bincount(batch["label"]).tolist()) == [2, 2, 3]
