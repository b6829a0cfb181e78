"""Pairs of sets: both are there, each in its own order, each prepared as it would be alone."""

import jax
import numpy as np
import pytest

from genjax.data.images import digits
from genjax.data.pairs import pairs
from genjax.data.tokens import text


def _both(**more):
  return pairs(source=digits(batch=64, **more), target=digits(batch=64, invert=True, **more))


def test_the_two_sides_of_a_batch_are_not_paired_even_of_one_set_and_seed():
  data = _both(seed=4)
  for step in (0, 1, 500):
    raw = data.batch(step)
    assert set(raw) == {"source", "target"}
    same = (raw["source"] == 255 - raw["target"]).all((1, 2, 3))
    assert same.sum() <= 3  # of 64 by chance


def test_an_epoch_of_each_side_is_the_whole_set():
  data = pairs(source=digits(batch=1297), target=digits(batch=1297, size=16))
  sides = data.batch(0)
  assert (data.facts["shape"], data.facts["target_shape"]) == ((8, 8, 1), (16, 16, 1))
  alone = digits(batch=1297).batch(0)["image"]
  np.testing.assert_array_equal(sides["source"], alone)
  enlarged = digits(batch=1297, size=16).batch(0)["image"]
  line = np.concatenate([data.batch(step)["target"] for step in range(3)])
  assert {image.tobytes() for image in line} == {image.tobytes() for image in enlarged}


def test_each_side_is_prepared_as_it_would_be_alone_by_a_key_of_its_own():
  source, target = digits(batch=8, flip=True, crop=6), digits(batch=8, pad=2)
  data = pairs(source=source, target=target)
  raw, key = data.batch(0), jax.random.key(1)

  def alone(key, raw):
    keys = jax.random.split(key)
    sides = zip(("source", "target"), keys, (source, target), strict=True)
    return {name: data.prepare(one, {"image": raw[name]})["image"] for name, one, data in sides}

  ready, expected = jax.jit(lambda key, raw: (data.prepare(key, raw), alone(key, raw)))(key, raw)
  for name, shape in (("source", (8, 6, 6, 1)), ("target", (8, 8, 8, 1))):
    assert ready[name].shape == shape
    np.testing.assert_array_equal(ready[name], expected[name])
  np.testing.assert_allclose(data.prepare(None, raw)["target"], raw["target"] / 127.5 - 1, atol=1e-6)


def test_a_split_has_the_examples_of_both():
  data = _both()
  test = data.split("test")
  assert test.name == "digits/test and inverted digits/test"
  np.testing.assert_array_equal(test.examples["source"], 255 - test.examples["target"])
  assert data.split("test") is test
  assert test.digest not in {data.split("train").digest, digits(batch=2).split("test").digest}
  assert data.show(test.examples["target"][:4]).ndim == 3
  assert data.facts["name"] == "digits to inverted digits"


def test_what_has_no_images_is_refused():
  with pytest.raises(ValueError, match=r"data\.target has no images"):
    pairs(source=digits(batch=2), target=text(batch=2))
