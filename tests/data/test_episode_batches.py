"""Episodes: all images different, classes as drawn, the same on any number of processes and at any batch size."""

import time

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genjax.data.episode_batches import episodes
from genjax.data.few_shot_sets import FewShotSet, few_shot_set
from genjax.train.mesh import make_mesh, place

GOLDEN_CLASSES = [[1, 5, 3], [5, 0, 4]]
GOLDEN_IMAGES = [[12, 46, 35], [45, 1, 43]]


def _numbered(counts, *, first_id=0, split="train") -> FewShotSet:
  """Images whose pixels spell their number, in an order that mixes the classes."""
  ids = np.repeat(np.arange(len(counts)), counts)
  order = np.argsort(np.random.default_rng(0).random(len(ids)))
  images = np.arange(len(ids), dtype="<u4").view(np.uint8).reshape(-1, 1, 4, 1)[order]
  return few_shot_set(images, 10 * ids[order] + first_id, name="numbered", split=split)


def _numbers(images: np.ndarray) -> np.ndarray:
  """[..., 1, 4, 1] uint8 -> the numbers [...]."""
  return np.ascontiguousarray(images).reshape(*images.shape[:-3], 4).view("<u4")[..., 0].astype(int)


@given(
  counts=st.lists(st.integers(5, 12), min_size=3, max_size=8),
  ways=st.integers(2, 3),
  shots=st.integers(1, 3),
  queries=st.integers(1, 2),
  seed=st.integers(0, 2**63),
  step=st.integers(0, 10**12),
)
def test_an_episode_holds_different_images_of_different_classes(counts, ways, shots, queries, seed, step):
  few = _numbered(counts)
  batch = episodes(few, batch=3, seed=seed, ways=ways, shots=shots, queries=queries)(step)
  assert batch["support"].shape == (3, ways * shots, 1, 4, 1)
  assert batch["query"].shape == (3, ways * queries, 1, 4, 1)
  assert batch["support"].dtype == batch["query"].dtype == np.uint8
  ends = np.cumsum(counts)
  for place_ in range(3):
    support, query = _numbers(batch["support"][place_]), _numbers(batch["query"][place_])
    assert len({*support, *query}) == ways * (shots + queries)
    drawn = batch["class"][place_]
    assert len(set(drawn)) == ways
    np.testing.assert_array_equal(np.searchsorted(ends, support, side="right"), np.repeat(drawn, shots))
    np.testing.assert_array_equal(np.searchsorted(ends, query, side="right"), np.repeat(drawn, queries))
    np.testing.assert_array_equal(batch["support_label"][place_], np.repeat(np.arange(ways), shots))
    np.testing.assert_array_equal(batch["query_label"][place_], np.repeat(np.arange(ways), queries))
  assert {batch[name].dtype for name in ("support_label", "query_label", "class")} == {np.dtype(np.int32)}


@given(
  share=st.integers(1, 4),
  processes=st.integers(1, 4),
  first=st.integers(0, 10**6),
  steps=st.lists(st.integers(0, 10**9), min_size=1, max_size=3),
)
@settings(max_examples=30)
def test_an_episode_follows_from_its_number_alone(share, processes, first, steps):
  few, asked = _numbered([6] * 7), {"seed": 5, "ways": 3, "shots": 1, "queries": 2}
  batch = share * processes
  parts = [episodes(few, batch=batch, first=first, process=p, processes=processes, **asked) for p in range(processes)]
  for step in steps:
    line = [episodes(few, batch=1, **asked)(first + step * batch + e) for e in range(batch)]
    for name in line[0]:
      together = np.concatenate([part(step)[name] for part in parts])
      np.testing.assert_array_equal(together, np.concatenate([one[name] for one in line]))


def test_episodes_are_these_on_every_machine_and_numpy():
  batch = episodes(_numbered([9] * 6), batch=2, seed=1, ways=3, shots=1, queries=1)(4)
  np.testing.assert_array_equal(batch["class"], GOLDEN_CLASSES)
  np.testing.assert_array_equal(_numbers(batch["support"]), GOLDEN_IMAGES)


def test_classes_and_images_are_drawn_uniformly():
  few = _numbered([5, 8, 5, 6])
  count = 6000
  batch = episodes(few, batch=count, seed=0, ways=2, shots=1, queries=1)(0)
  for place_ in range(2):  # first and second class of the episode
    share = np.bincount(batch["class"][:, place_], minlength=4) / count
    np.testing.assert_allclose(share, 0.25, atol=5 * np.sqrt(0.25 * 0.75 / count))
  expected = 0.5 / np.repeat(few.counts, few.counts)  # ways / classes / images of the class
  for part in ("support", "query"):
    share = np.bincount(_numbers(batch[part]).ravel(), minlength=24) / count
    np.testing.assert_allclose(share, expected, atol=5 * np.sqrt(0.1 * 0.9 / count))
  pairs = np.bincount(4 * batch["class"][:, 0] + batch["class"][:, 1], minlength=16).reshape(4, 4) / count
  np.testing.assert_allclose(pairs, (1 - np.eye(4)) / 12, atol=5 * np.sqrt(1 / 12 / count))


def test_other_seeds_and_the_batches_of_one_seed_are_unrelated():
  few, asked = _numbered([50] * 50), {"batch": 20, "ways": 5, "shots": 1, "queries": 1}
  first = _numbers(episodes(few, seed=0, **asked)(0)["support"])
  for other in (episodes(few, seed=1, **asked)(0), episodes(few, seed=0, **asked)(1)):
    assert (first == _numbers(other["support"])).sum() < 4


def test_episodes_are_split_over_the_devices_whole():
  batch = episodes(_numbered([4] * 5), batch=16, seed=0, ways=2, shots=1, queries=2)(3)
  placed = place(make_mesh(), batch)
  for name, value in batch.items():
    np.testing.assert_array_equal(placed[name], value)
    assert len(placed[name].addressable_shards) == jax.device_count() == 8
    assert placed[name].addressable_shards[0].data.shape == (2, *value.shape[1:])


def test_a_batch_is_a_copy():
  few = _numbered([4] * 5)
  before = few.images.copy()
  batch = episodes(few, batch=5, seed=0, ways=5, shots=2, queries=2)(0)
  batch["support"][:] = batch["query"][:] = 9
  np.testing.assert_array_equal(few.images, before)


def test_a_late_step_costs_as_much_as_the_first():
  at = episodes(_numbered([600] * 64), batch=8, seed=0, ways=5, shots=5, queries=6)
  start = time.perf_counter()
  for step in range(10**12, 10**12 + 50):
    at(step)
  assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
  ("arguments", "text"),
  [
    ({"ways": 5}, '5 ways were asked for, but numbered, split "train" has 4 classes; use at most as many'),
    ({"shots": 3, "queries": 3}, r"3 shots and 3 queries need 6 images .* but 2 classes .*\(10: 4, 30: 5\); .* most 4"),
    ({"ways": 1}, "ways 1 was asked for; wanted at least 2"),
    ({"shots": 0}, "shots 0 was asked for"),
    ({"queries": 0}, "queries 0 was asked for"),
    ({"seed": -1}, "seed -1 is negative"),
    ({"first": -1}, "first -1 is negative"),
    ({"batch": 3, "processes": 2}, "batch 3 does not divide over 2 processes"),
  ],
)
def test_what_cannot_be_drawn_is_an_error_before_the_first_step(arguments, text):
  asked = {"batch": 2, "seed": 0, "ways": 3, "shots": 1, "queries": 2, **arguments}
  with pytest.raises(ValueError, match=text):
    episodes(_numbered([6, 4, 6, 5]), **asked)
