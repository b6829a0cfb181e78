"""The bundled photographs are scikit-image's."""

import numpy as np
import pytest
from skimage import data

from genjax.data import load, open_data


def test_the_photographs_come_whole_with_their_names():
  images = load("textures")
  assert images.label_names == ("brick", "grass", "gravel")
  for label, name in enumerate(images.label_names):
    np.testing.assert_array_equal(images.images[label, ..., 0], getattr(data, name)())
  assert images.labels.tolist() == [0, 1, 2]


def test_one_may_be_picked():
  images = load("textures/grass")
  np.testing.assert_array_equal(images.images, data.grass()[None, :, :, None])
  assert images.label_names == ("grass",)
  assert load("textures/grass", size=128, channels=3).images.shape == (1, 128, 128, 3)


def test_an_unknown_texture_is_an_error_that_names_the_known():
  with pytest.raises(ValueError, match='"textures/sand" is unknown; wanted textures or textures/brick, textures/grass'):
    load("textures/sand")


def test_a_batch_may_hold_more_than_there_are_photographs():
  batch = open_data("textures", batch=7, seed=0).batch(0)
  assert batch["image"].shape == (7, 512, 512, 1)
  assert sorted(np.bincount(batch["label"]).tolist()) == [2, 2, 3]
