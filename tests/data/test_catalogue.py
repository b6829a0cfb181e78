"""The door that main goes through: shape, count and classes are what the batches hold."""

import numpy as np
import pytest

from genjax.data import catalogue, load, open_data


def test_opening_says_what_the_batches_hold():
  data = open_data("digits", batch=6, seed=0, split="test", size=16, channels=3)
  batch = data.batch(0)
  assert batch["image"].shape == (6, *data.shape) == (6, 16, 16, 3)
  assert batch["image"].dtype == np.uint8
  assert (data.count, data.classes, data.name) == (500, 10, "digits")
  assert data.digest == load("digits", split="test", size=16, channels=3).digest == data.images.digest


def test_a_share_of_a_process_is_its_part_of_the_batch():
  whole = open_data("digits", batch=6, seed=0).batch(4)
  parts = [open_data("digits", batch=6, seed=0, process=p, processes=3).batch(4) for p in range(3)]
  np.testing.assert_array_equal(np.concatenate([part["image"] for part in parts]), whole["image"])


def test_what_exceeds_the_memory_limit_is_streamed(monkeypatch):
  pixels = 1297 * 8 * 8
  for limit, held in ((pixels, True), (pixels - 1, False)):
    monkeypatch.setattr(catalogue, "MEMORY_LIMIT", limit)
    assert (open_data("digits", batch=2, seed=0).images is not None) == held
  assert open_data("digits", batch=2, seed=0, in_memory=True).images is not None


@pytest.mark.parametrize("request_", [{"size": 0}, {"channels": 2}])
@pytest.mark.parametrize("name", ["digits", "folder"])
def test_impossible_sizes_and_channels_are_refused(name, request_, tmp_path):
  with pytest.raises(ValueError, match="was asked for; wanted"):
    load(name, path=str(tmp_path) if name == "folder" else None, **request_)
