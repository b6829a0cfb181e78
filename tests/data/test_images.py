"""Data sets of images: batches and splits hold the same images, and facts say what a system will see."""

import hashlib

import jax
import numpy as np
import pytest
from PIL import Image

from genjax.core import System, prepared
from genjax.data import batches, image_dataset, images, load
from genjax.ops.augment import prepare, to_unit


@pytest.fixture
def pictures(tmp_path):
  """Twenty grey pictures of 4x4 in two classes; the level of each is its number."""
  for number in range(20):
    (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
    Image.fromarray(np.full((4, 4), number, np.uint8)).save(tmp_path / "ab"[number % 2] / f"{number:02}.png")
  return str(tmp_path)


def test_batches_are_those_of_the_set_in_memory_and_a_process_has_its_share():
  whole = images.digits(batch=6, seed=3)
  expected = batches(load("digits"), batch=6, seed=3)
  parts = [images.digits(batch=6, seed=3, process=place, processes=3) for place in range(3)]
  for name in ("image", "label"):
    np.testing.assert_array_equal(whole.batch(400)[name], expected(400)[name])
    np.testing.assert_array_equal(np.concatenate([part.batch(400)[name] for part in parts]), expected(400)[name])


def test_facts_are_of_what_a_system_sees():
  data = images.digits(batch=2, size=16, channels=3, crop=12, pad=1)
  assert data.facts["shape"] == data.prepare(jax.random.key(0), data.batch(0))["image"].shape[1:] == (12, 12, 3)
  assert (data.facts["classes"], data.facts["name"], data.facts["train_split"]) == (10, "digits", "train")
  assert data.facts["describe"] == "digits: 1,297 images of 16x16x3, 10 classes, in patches of 12x12"
  brick = images.textures(batch=3, texture="brick", size=32)
  assert brick.facts["describe"] == "textures/brick: 1 image of 32x32x1, 1 class"
  assert images.textures(batch=3).facts["classes"] == 3
  assert images.mock(batch=2, size=20).facts["shape"] == (20, 20, 3)


def test_a_split_is_in_memory_once_and_its_name_and_digest_are_those_of_the_set():
  data = images.digits(batch=2)
  test, expected = data.split("test"), load("digits", split="test")
  assert (test.name, test.digest) == ("digits/test", expected.digest)
  np.testing.assert_array_equal(test.examples["image"], expected.images)
  np.testing.assert_array_equal(test.examples["label"], expected.labels)
  assert data.split("test") is test
  assert data.split("train[:90%]").name == "digits/train[:90%]"
  with pytest.raises(ValueError, match="there is train and test"):
    data.split("val")


def test_preparing_augments_with_the_key_of_the_step_and_not_at_all_without_one():
  data = images.digits(batch=16, flip=True, pad=2, crop=6)
  raw, key = data.batch(0), jax.random.key(5)
  step = prepared(System(None, lambda key, state, batch: (batch, {})), data.prepare).step
  alone = lambda key, raw: prepare(key, raw, flip=True, pad=2, crop=6)
  both = lambda key, raw: (step(key, None, raw)[0], alone(jax.random.fold_in(key, 0x617567), raw))
  seen, expected = jax.jit(both)(key, raw)
  np.testing.assert_array_equal(seen["image"], expected["image"])
  assert seen["image"].shape == (16, 6, 6, 1)
  np.testing.assert_array_equal(seen["label"], raw["label"])
  np.testing.assert_array_equal(data.prepare(None, raw)["image"], to_unit(raw["image"]))


def test_negatives_are_the_same_digits_in_another_set():
  plain, negative = images.digits(batch=8, seed=1), images.digits(batch=8, seed=1, invert=True)
  np.testing.assert_array_equal(plain.batch(3)["image"], 255 - negative.batch(3)["image"])
  np.testing.assert_array_equal(plain.batch(3)["label"], negative.batch(3)["label"])
  assert negative.split("test").name == "inverted digits/test"
  assert negative.split("test").digest != plain.split("test").digest


def test_of_a_folder_a_tenth_is_held_out_and_other_slices_are_of_all(pictures):
  data = images.folder(batch=2, path=pictures)
  assert data.facts["train_split"] == "train[:90%]"
  assert data.facts["describe"] == "folder: 18 images of 4x4x1, 2 classes"
  train, test, whole = (data.split(name) for name in ("train", "test", "train[:100%]"))
  assert (train.name, test.name) == ("folder/train[:90%]", "folder/train[90%:]")
  levels = [split.examples["image"][:, 0, 0, 0].tolist() for split in (train, test, whole)]
  assert len(levels[1]) == 2
  assert sorted(levels[0] + levels[1]) == sorted(levels[2]) == list(range(20))
  np.testing.assert_array_equal(data.split(data.facts["train_split"]).examples["image"], train.examples["image"])


def test_what_exceeds_the_memory_limit_is_streamed_and_its_splits_are_refused(pictures, monkeypatch):
  held = images.folder(batch=4, path=pictures)
  monkeypatch.setattr(image_dataset, "MEMORY_LIMIT", 18 * 4 * 4 - 1)
  streamed = images.folder(batch=4, path=pictures)
  assert streamed.facts["describe"] == "folder: 18 images of 4x4x1, 2 classes, read from disk"
  for step in (0, 7, 3):
    np.testing.assert_array_equal(streamed.batch(step)["image"], held.batch(step)["image"])
  with pytest.raises(ValueError, match=r"folder/train\[:90%\]: 18 images of 4x4x1 do not fit .* ask for a slice"):
    streamed.split("train")
  assert len(streamed.split("test").examples["image"]) == 2
  assert len(images.folder(batch=4, path=pictures, in_memory=True).split("train").examples["image"]) == 18


def test_shown_images_are_a_grid():
  data = images.digits(batch=2)
  assert data.show(data.split("test").examples["image"][:4]).shape == (2 * 66 + 2, 2 * 66 + 2, 1)


def test_the_digest_of_negatives_read_from_disk_follows_that_of_the_files(pictures):
  data = images.folder(batch=2, path=pictures, invert=True)
  negatives = 255 - load("folder", path=pictures, split="train[90%:]").images
  test = data.split("test")
  np.testing.assert_array_equal(test.examples["image"], negatives)
  labels = test.examples["label"].astype("<i4").tobytes()
  assert test.digest == hashlib.sha256(b"(2, 4, 4, 1)" + negatives.tobytes() + labels).hexdigest()


@pytest.mark.parametrize(
  ("make", "text"),
  [
    (lambda: images.folder(batch=2), "needs a path; set data.path to a folder of images"),
    (lambda: images.tfds(dataset="digits", batch=2), "comes with genjax and not from TFDS; set data.name=digits"),
    (lambda: images.tfds(dataset="textures/brick", batch=2), "set data.name=textures"),
    (lambda: images.textures(batch=2, texture="sand"), "wanted textures or textures/brick"),
    (lambda: images.digits(batch=2, crop=9), r"data.crop=9 do not fit images of 8x8; .* crop of 0 \(none\) to 8"),
    (lambda: images.digits(batch=2, pad=-1), "wanted a pad of 0 or more"),
    (lambda: images.digits(batch=3, processes=2), "batch 3 does not divide over 2 processes"),
    (lambda: images.digits(batch=2, split="val"), 'digits: split "val" is not understood or empty'),
  ],
)
def test_what_cannot_be_made_says_what_to_do(make, text):
  with pytest.raises(ValueError, match=text):
    make()
