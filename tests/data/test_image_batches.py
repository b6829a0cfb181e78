"""Batches by step: nothing lost, nothing twice, the same on any number of processes."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genjax.data.epochs import epoch_permutation
from genjax.data.image_batches import batches
from genjax.data.image_set import image_set

GOLDEN = [[0, 3, 7, 5, 1, 2, 6, 4], [3, 7, 4, 2, 1, 6, 5, 0], [7, 0, 3, 5, 1, 6, 2, 4]]


def _numbered(count: int, labelled: bool = True):
  """Images whose pixels spell their number."""
  images = np.arange(count, dtype="<u4").view(np.uint8).reshape(count, 1, 4, 1)
  return image_set(images, np.arange(count) if labelled else None, name="numbered", label_names=["x"])


def _numbers(batch) -> np.ndarray:
  numbers = np.ascontiguousarray(batch["image"]).reshape(-1, 4).view("<u4")[:, 0]
  np.testing.assert_array_equal(numbers, batch["label"])
  return numbers


@given(count=st.integers(1, 40), batch=st.integers(1, 90), seed=st.integers(0, 2**63))
def test_each_epoch_sees_each_example_exactly_once(count, batch, seed):
  at = batches(_numbered(count), batch=batch, seed=seed)
  epochs = 3
  line = np.concatenate([_numbers(at(step)) for step in range(-(-epochs * count // batch))])[: epochs * count]
  for epoch in line.reshape(epochs, count):
    np.testing.assert_array_equal(np.sort(epoch), np.arange(count))


@given(
  count=st.integers(1, 30),
  share=st.integers(1, 12),
  processes=st.integers(1, 8),
  steps=st.lists(st.integers(0, 10**12), min_size=1, max_size=4),
)
def test_the_processes_together_see_the_batch_of_one_process_in_order(count, share, processes, steps):
  images, batch = _numbered(count), share * processes
  alone = batches(images, batch=batch, seed=3)
  parts = [batches(images, batch=batch, seed=3, process=p, processes=processes) for p in range(processes)]
  for step in steps:
    np.testing.assert_array_equal(np.concatenate([_numbers(part(step)) for part in parts]), _numbers(alone(step)))


@given(st.permutations(list(range(12))))
@settings(max_examples=20)
def test_a_step_is_the_same_in_any_order_of_calls(steps):
  fresh = [_numbers(batches(_numbered(10), batch=7, seed=1)(step)) for step in range(12)]
  at = batches(_numbered(10), batch=7, seed=1)
  for step in steps:
    np.testing.assert_array_equal(_numbers(at(step)), fresh[step])


def test_the_order_is_this_one_on_every_machine_and_numpy():
  np.testing.assert_array_equal(epoch_permutation(8, seed=0, epoch=0), GOLDEN[0])
  np.testing.assert_array_equal(epoch_permutation(8, seed=0, epoch=1), GOLDEN[1])
  np.testing.assert_array_equal(epoch_permutation(8, seed=2**40, epoch=0), GOLDEN[2])


def test_permutations_of_other_epochs_and_seeds_are_unrelated():
  first = epoch_permutation(1000, seed=0, epoch=0)
  for other in (epoch_permutation(1000, seed=0, epoch=1), epoch_permutation(1000, seed=1, epoch=0)):
    assert (first == other).sum() < 10


def test_images_stay_uint8_and_labels_are_left_out_where_there_are_none():
  batch = batches(_numbered(5, labelled=False), batch=3, seed=0)(0)
  assert set(batch) == {"image"}
  assert batch["image"].dtype == np.uint8
  labels = batches(_numbered(5), batch=3, seed=0)(0)["label"]
  assert labels.dtype == np.int32
  assert labels.shape == (3,)


def test_a_batch_is_a_copy():
  images = _numbered(5)
  batches(images, batch=5, seed=0)(0)["image"][:] = 9
  np.testing.assert_array_equal(images.images, _numbered(5).images)


def test_a_late_step_costs_as_much_as_the_first():
  at = batches(_numbered(1000), batch=100, seed=0)
  start = time.perf_counter()
  for step in range(10**12, 10**12 + 100):
    at(step)
  assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
  ("arguments", "text"),
  [
    ({"batch": 10, "processes": 4}, "batch 10 does not divide over 4 processes; use a multiple of 4"),
    ({"batch": 0}, "batch 0"),
    ({"batch": 8, "process": 2, "processes": 2}, "process 2 of 2 does not exist; wanted 0 to 1"),
    ({"batch": 8, "seed": -1}, "seed -1 is negative"),
  ],
)
def test_wrong_arguments_are_errors_before_the_first_step(arguments, text):
  with pytest.raises(ValueError, match=text):
    batches(_numbered(5), **{"seed": 0, **arguments})


def test_an_empty_set_and_a_negative_step_are_errors():
  with pytest.raises(ValueError, match="the data set is empty"):
    batches(image_set(np.zeros((0, 2, 2, 1), np.uint8), None, name="none"), batch=2, seed=0)
  with pytest.raises(ValueError, match="step -1 is negative"):
    batches(_numbered(5), batch=2, seed=0)(-1)
