"""Pictures of every mode become the right bytes."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from genjax.data.image_set import Source, UnreadableImage, gather, image_set, inverted, resized, to_array


def test_sixteen_bit_grey_is_scaled_and_not_clipped():
  deep = np.array([[0, 257, 128 * 257], [65535, 129, 128]], np.uint16)
  array = to_array(Image.fromarray(deep), size=None, channels=1)
  np.testing.assert_array_equal(array[..., 0], [[0, 1, 128], [255, 1, 0]])


def test_transparent_pixels_are_white():
  rgba = np.zeros((2, 2, 4), np.uint8)
  rgba[0, 0] = (10, 20, 30, 255)
  array = to_array(Image.fromarray(rgba), size=None, channels=3)
  np.testing.assert_array_equal(array[0, 0], [10, 20, 30])
  np.testing.assert_array_equal(array[1, 1], [255, 255, 255])


def test_a_palette_is_looked_up():
  picture = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
  picture.putpalette([1, 2, 3, 200, 100, 50])
  np.testing.assert_array_equal(to_array(picture, size=None, channels=3), [[[1, 2, 3], [200, 100, 50]]])


def test_black_and_white_becomes_0_and_255():
  picture = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
  np.testing.assert_array_equal(to_array(picture, size=None, channels=1)[..., 0], [[0, 255]])


def test_grey_survives_the_way_through_colour():
  grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
  array = to_array(Image.fromarray(grey), size=None, channels=3)
  np.testing.assert_array_equal(to_array(Image.fromarray(array), size=None, channels=1)[..., 0], grey)


def test_the_centre_square_is_taken_without_resampling_when_it_has_the_size():
  large = np.arange(4 * 10, dtype=np.uint8).reshape(4, 10)
  np.testing.assert_array_equal(to_array(Image.fromarray(large), size=4, channels=1)[..., 0], large[:, 3:7])
  tall = large.T.copy()
  np.testing.assert_array_equal(to_array(Image.fromarray(tall), size=4, channels=1)[..., 0], tall[3:7])


def test_resizing_keeps_a_constant_and_the_orientation():
  constant = np.full((7, 7), 93, np.uint8)
  assert (to_array(Image.fromarray(constant), size=16, channels=1) == 93).all()
  corner = np.zeros((8, 8), np.uint8)
  corner[:4, :4] = 200
  array = to_array(Image.fromarray(corner), size=16, channels=1)[..., 0]
  assert array[2, 2] == 200
  assert array[13, 2] == array[2, 13] == array[13, 13] == 0


def test_the_orientation_tag_is_obeyed(tmp_path):
  pixels = np.zeros((2, 4), np.uint8)
  pixels[0, 0] = 255
  exif = Image.Exif()
  exif[0x0112] = 6  # to be turned clockwise
  Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
  with Image.open(tmp_path / "turned.png") as picture:
    array = to_array(picture, size=None, channels=1)[..., 0]
  np.testing.assert_array_equal(array, np.rot90(pixels, -1))


def test_float_pixels_are_refused():
  with pytest.raises(ValueError, match="no stated range"):
    to_array(Image.fromarray(np.zeros((2, 2), np.float32)), size=None, channels=1)


def test_resized_is_the_identity_at_the_same_size():
  images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8)
  assert resized(images, size=8, channels=1) is images
  assert resized(images, size=16, channels=3).shape == (3, 16, 16, 3)


def test_the_digest_names_pixels_labels_and_shape():
  images = np.arange(16, dtype=np.uint8).reshape(2, 2, 4, 1)
  labels = np.array([1, 2])
  expected = hashlib.sha256(b"(2, 2, 4, 1)" + bytes(range(16)) + b"\1\0\0\0\2\0\0\0").hexdigest()
  assert image_set(images, labels, name="x").digest == expected
  others = [(images + 1, labels), (images, labels + 1), (images, None), (images.reshape(2, 4, 2, 1), labels)]
  assert len({expected, *(image_set(*other, name="x").digest for other in others)}) == 5


def test_arrays_that_are_no_images_are_refused():
  with pytest.raises(ValueError, match=r"float64\[2, 2, 2, 1\]; wanted uint8"):
    image_set(np.zeros((2, 2, 2, 1)), None, name="x")
  with pytest.raises(ValueError, match=r"2 images but labels of shape \[3\]"):
    image_set(np.zeros((2, 2, 2, 1), np.uint8), np.zeros(3), name="x")


def _source(bad: set[int], count: int = 1000) -> Source:
  def read(index):
    if index in bad:
      raise UnreadableImage(f"file {index}")
    return np.full((2, 2, 1), index % 251, np.uint8), index % 10

  return Source(read, count, (2, 2, 1), "made", "-", tuple("0123456789"))


def test_gathering_keeps_the_order_and_leaves_out_what_is_unreadable(caplog):
  images = gather(_source({5, 700}))
  good = [index for index in range(1000) if index not in (5, 700)]
  np.testing.assert_array_equal(images.images[:, 0, 0, 0], [index % 251 for index in good])
  np.testing.assert_array_equal(images.labels, [index % 10 for index in good])
  assert images.labels.dtype == np.int32
  assert [record.message for record in caplog.records] == [
    "made: 2 of 1000 images are unreadable: file 5, file 700; they are left out"
  ]


def test_more_than_half_unreadable_is_an_error():
  assert len(gather(_source(set(range(5)), 10)).images) == 5
  with pytest.raises(ValueError, match=r"6 of 10 images are unreadable: file 0, .* file 4, \.\.\.; that is more"):
    gather(_source(set(range(6)), 10))


def test_negatives_have_a_name_and_a_digest_of_their_own_in_memory_and_on_disk():
  source = _source({5}, 20)
  held, read = inverted(gather(source)), gather(inverted(source))
  np.testing.assert_array_equal(held.images, 255 - gather(source).images)
  np.testing.assert_array_equal(read.images, held.images)
  np.testing.assert_array_equal(read.labels, gather(source).labels)
  assert held.name == read.name == "inverted made"
  assert held.digest == read.digest != gather(source).digest
  assert inverted(source).digest != source.digest
