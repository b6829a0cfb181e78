"""Streaming gives what memory gives."""

import threading
import time

import numpy as np
import pytest

from genjax.data.image_batches import batches, stream
from genjax.data.image_set import Source, UnreadableImage, image_set


def _numbered(count: int, bad: frozenset[int] = frozenset(), labelled: bool = True):
  images = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 1), np.uint8)

  def read(index):
    if index in bad:
      raise UnreadableImage(f"file {index}")
    return images[index], index if labelled else None

  labels = np.arange(count) if labelled else None
  return Source(read, count, (2, 3, 1), "numbered", "-", ("x",)), image_set(images, labels, name="x", label_names=["x"])


@pytest.mark.parametrize(("process", "processes"), [(0, 1), (0, 2), (1, 2)])
@pytest.mark.parametrize("labelled", [True, False])
def test_streaming_equals_memory_in_any_order_of_steps(process, processes, labelled):
  source, images = _numbered(13, labelled=labelled)
  share = {"batch": 6, "seed": 4, "process": process, "processes": processes}
  streamed, held = stream(source, **share), batches(images, **share)
  for step in (0, 1, 2, 3, 9, 10, 2, 2, 10**9, 0):
    one, other = streamed(step), held(step)
    assert set(one) == set(other)
    for key in one:
      assert one[key].dtype == other[key].dtype
      np.testing.assert_array_equal(one[key], other[key])


def test_a_batch_may_exceed_the_set():
  source, images = _numbered(3)
  np.testing.assert_array_equal(
    stream(source, batch=32, seed=0)(5)["image"], batches(images, batch=32, seed=0)(5)["image"]
  )


def test_an_unreadable_image_gives_way_to_the_next_and_is_named_once(caplog):
  source, _ = _numbered(10, bad=frozenset({3, 4}))
  at = stream(source, batch=10, seed=0)
  for step in (0, 1, 0):
    assert sorted(at(step)["label"].tolist()) == [0, 1, 2, 5, 5, 5, 6, 7, 8, 9]
  messages = sorted(record.message for record in caplog.records)
  assert messages == [f"numbered: an unreadable image is replaced by the next one: file {n}" for n in (3, 4)]


def test_an_error_of_the_source_reaches_the_caller_and_the_next_call_works():
  source, images = _numbered(4)
  broken = threading.Event()
  broken.set()

  def read(index):
    if broken.is_set():
      raise OSError("the disk is gone")
    return source.read(index)

  at = stream(Source(read, 4, (2, 3, 1), "x", "-", ("x",)), batch=4, seed=0)
  with pytest.raises(OSError, match="the disk is gone"):
    at(0)
  broken.clear()
  np.testing.assert_array_equal(at(0)["label"], batches(images, batch=4, seed=0)(0)["label"])


def test_nothing_but_unreadable_images_is_an_error():
  source, _ = _numbered(4, bad=frozenset(range(4)))
  with pytest.raises(OSError, match="in a row are unreadable"):
    stream(source, batch=4, seed=0)(0)


def test_jumping_between_steps_leaves_no_threads_behind():
  source, _ = _numbered(13)
  before = threading.active_count()
  at = stream(source, batch=6, seed=4, threads=4)
  for step in range(0, 120, 3):
    at(step)
  deadline = time.monotonic() + 10
  while threading.active_count() > before + 4 and time.monotonic() < deadline:
    time.sleep(0.01)
  assert threading.active_count() <= before + 4  # those of the last reader


def test_wrong_arguments_are_errors_before_the_first_step():
  source, _ = _numbered(4)
  with pytest.raises(ValueError, match="does not divide over 3 processes"):
    stream(source, batch=4, seed=0, processes=3)
