"""Real images are whole, in memory, and opened once for a data set."""

import numpy as np
import pytest
from toy_images import data_of

from genjax.metrics.real import name_of, once, real_images, split_of, train_and_held_out

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), np.uint8)


def test_what_depends_on_the_data_is_worked_out_again_for_other_data_only():
  asked = []
  double = once(lambda data: asked.append(data) or 2 * data.facts["classes"])
  one, other = (data_of({"test": (IMAGES, None)}, classes=classes) for classes in (3, 4))
  assert [double(data) for data in (one, one, other, other, one)] == [6, 6, 8, 8, 6]
  assert len(asked) == 3


def test_images_that_metrics_cannot_compare_are_named():
  data = data_of({"train": (IMAGES, None), "one": (IMAGES[:1], None), "wide": (IMAGES[:, :, :2], None)}, name="x")
  for split, message in (
    ("test", "'test' does not exist"),
    ("wide", r"images of x/wide are 4x2x1 and the system sees 4x4x1"),
    ("one", "x/one has 1 image"),
  ):
    with pytest.raises(ValueError, match=message):
      train_and_held_out(data, "train", split)
  tokens = data._replace(split=lambda name: data.split("train")._replace(examples={"tokens": IMAGES}))
  with pytest.raises(ValueError, match="x/train has tokens; wanted images"):
    real_images(tokens, "train")


def test_a_split_that_cannot_be_read_is_told_as_one_that_does_not_exist():
  def missing(name):
    raise FileNotFoundError("no such folder")

  with pytest.raises(ValueError, match="split 'test' cannot be read: no such folder"):
    split_of(data_of({"train": (IMAGES, None)})._replace(split=missing), "test")
  with pytest.raises(ValueError, match="holds no examples in memory"):
    split_of(data_of({"train": (IMAGES, None)})._replace(split=None), "test")


def test_a_data_set_without_a_name_is_called_as_its_splits_are():
  data = data_of({"train": (IMAGES, None)})
  assert name_of(data, data.split("train")) == "toy"
  assert name_of(data._replace(facts={"name": "digits"}), data.split("train")) == "digits"
