import numpy as np
import pytest

from genjax.data import load


def test_mock_images_have_the_shape_that_was_asked_for():
  for asked, shape in (({}, (32, 32, 3)), ({"size": 64}, (64, 64, 3)), ({"size": 28, "channels": 1}, (28, 28, 1))):
    result = load("mock", split="train[:100]", **asked)
    assert result.images.shape == (100, *shape)
    assert result.images.dtype == np.uint8
    assert result.classes == 10


def test_mock_images_are_the_same_at_every_call_and_others_in_the_test_split():
  first, again, test = load("mock"), load("mock"), load("mock", split="test")
  assert first.digest == again.digest
  assert len(test.images) == 1024
  assert not np.array_equal(first.images[:1024], test.images)


def test_mock_takes_no_path():
  with pytest.raises(ValueError, match='"mock" takes no path'):
    load("mock", path="somewhere")
