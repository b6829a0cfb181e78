"""The extractor is good at its digits, the same each time, and trained once."""

import logging
import os
from pathlib import Path

import jax
import numpy as np
import pytest

from genjax.metrics import classifier
from genjax.metrics.extractor import random_extractor, train_extractor


@pytest.fixture
def small():
  """Two classes that brightness tells apart."""
  rng = np.random.default_rng(0)
  labels = np.arange(40) % 2
  images = rng.integers(0, 100, size=(40, 6, 5, 3)) + 150 * labels[:, None, None, None]
  return images.astype(np.uint8), labels


def quick(small, **other):
  return train_extractor(*small, **{"classes": 2, "steps": 5, "batch": 8, "width": 4, **other})


def cached(folder):
  return [os.path.join(folder, "extractors", name) for name in os.listdir(os.path.join(folder, "extractors"))]


def test_it_reads_at_least_98_percent_of_held_out_digits(extractor):
  assert extractor.accuracy >= 0.98
  assert "trained on digits" in extractor.description
  assert "not Inception" in extractor.description


def test_its_accuracy_is_the_share_of_right_logits(extractor, digits):
  right = np.argmax(extractor.logits(digits.held_out), axis=1) == digits.held_out_labels
  assert extractor.accuracy == np.mean(right)


def test_features_are_64_and_of_mean_variance_1_over_the_training_images(extractor, digits):
  features = extractor.features(digits.train)
  assert features.shape == (1297, 64)
  assert features.dtype == np.float32
  assert features.astype(np.float64).var(axis=0).mean() == pytest.approx(1.0, rel=1e-5)
  assert np.linalg.matrix_rank(np.cov(features, rowvar=False)) == 64


def test_features_do_not_depend_on_the_batch_they_come_in(extractor, digits):
  whole = extractor.features(digits.held_out)
  parts = [extractor.features(part) for part in np.split(digits.held_out, [1, 8, 300])]
  np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=1e-5)


def test_features_are_the_same_on_one_device_and_on_eight(extractor, digits, monkeypatch):
  """Images of a pass are spread over all devices."""
  assert jax.local_device_count() == 8
  eight, first = extractor.features(digits.held_out[:100]), jax.local_devices()[:1]
  monkeypatch.setattr(jax, "local_devices", lambda: first)
  np.testing.assert_allclose(extractor.features(digits.held_out[:100]), eight, rtol=1e-4, atol=1e-5)


def test_floats_give_the_features_of_their_8_bit_images(extractor, digits):
  some = digits.held_out[:20]
  floats = some.astype(np.float32) / 127.5 - 1 + np.float32(0.3 / 127.5)
  np.testing.assert_array_equal(extractor.features(floats), extractor.features(some))


def test_features_agree_with_the_net_written_in_numpy(extractor, digits):
  images = digits.held_out[:3]
  params = jax.device_get(extractor.params)["params"]
  swish = lambda x: x / (1 + np.exp(-x))

  def conv(x, layer):
    around = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [(i, j) for i in range(3) for j in range(3)]
    height, width = x.shape[1:3]
    return swish(layer["bias"] + sum(around[:, i : i + height, j : j + width] @ layer["kernel"][i, j] for i, j in taps))

  x = images.astype(np.float64) / 127.5 - 1
  x = conv(conv(x, params["Conv_0"]), params["Conv_1"])
  x = x.reshape(3, 4, 2, 4, 2, -1).mean(axis=(2, 4))
  x = conv(conv(x, params["Conv_2"]), params["Conv_3"]).reshape(3, -1)
  wanted = swish(x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]) / extractor.scale
  np.testing.assert_allclose(extractor.features(images), wanted, rtol=0, atol=2e-5)


def test_the_same_seed_gives_the_same_digest_and_another_seed_another(small, tmp_path):
  digests = [quick(small, cache=tmp_path / str(run), seed=seed).digest for run, seed in enumerate([0, 0, 1])]
  assert digests[0] == digests[1] != digests[2]


def test_a_second_start_does_not_train_again(small, tmp_path, monkeypatch):
  first = quick(small, cache=tmp_path)
  monkeypatch.setattr(classifier, "trained", lambda *_: pytest.fail("it trained again"))
  second = quick(small, cache=tmp_path)
  assert second.digest == first.digest
  np.testing.assert_array_equal(second.features(small[0]), first.features(small[0]))


def test_another_recipe_is_not_taken_from_the_cache(small, tmp_path):
  for other in ({}, {"seed": 1}, {"steps": 6}):
    quick(small, cache=tmp_path, **other)
  assert len(cached(tmp_path)) == 3


def test_other_data_is_not_taken_from_the_cache(small, tmp_path):
  images, labels = small
  quick(small, cache=tmp_path)
  quick((images, 1 - labels), cache=tmp_path)
  quick((255 - images, labels), cache=tmp_path)
  assert len(cached(tmp_path)) == 3


@pytest.mark.parametrize("damage", ["empty", "cut", "bit", "text", "other"])
def test_a_damaged_cache_is_told_in_one_line_and_trained_again(small, tmp_path, caplog, damage):
  first = quick(small, cache=tmp_path)
  (path,) = cached(tmp_path)
  contents = Path(path).read_bytes()
  middle = len(contents) // 2
  damaged = {
    "empty": b"",
    "cut": contents[:middle],
    "bit": contents[:middle] + bytes([contents[middle] ^ 1]) + contents[middle + 1 :],
    "text": b"not an archive",
  }
  if damage == "other":
    np.savez(path, digest=np.array("0"), scale=np.float64(1))
  else:
    Path(path).write_bytes(damaged[damage])
  with caplog.at_level(logging.WARNING):
    again = quick(small, cache=tmp_path)
  assert again.digest == first.digest
  assert [record.message.startswith("the cached extractor") for record in caplog.records] == [True]
  caplog.clear()
  assert quick(small, cache=tmp_path).digest == first.digest
  assert not caplog.records
  assert cached(tmp_path) == [path]


def test_a_cache_that_cannot_be_written_costs_a_warning_only(small, tmp_path, caplog):
  (tmp_path / "file").write_text("no folder")
  assert quick(small, cache=tmp_path / "file").digest
  assert any("was not cached" in record.message for record in caplog.records)


def test_the_cache_is_where_the_environment_says(small, tmp_path, monkeypatch):
  monkeypatch.setenv("GENJAX_CACHE", str(tmp_path))
  quick(small)
  assert len(cached(tmp_path)) == 1


def test_random_features_are_named_so_and_known_by_their_seed(digits):
  first, second, other = (random_extractor(digits.train, seed=seed) for seed in (0, 0, 1))
  assert first.kind == "random"
  assert "random features" in first.description
  assert first.accuracy is None
  assert first.digest == second.digest != other.digest
  assert np.isfinite(first.features(digits.held_out)).all()


@pytest.mark.parametrize("size", [(2, 3, 1), (17, 20, 3)])
def test_images_of_any_size_have_64_features(size):
  images = np.random.default_rng(0).integers(0, 256, size=(3, *size), dtype=np.uint8)
  assert random_extractor(images, width=4).features(images).shape == (3, 64)


def test_what_does_not_fit_is_refused(small, extractor):
  images, labels = small
  with pytest.raises(ValueError, match=r"labels are float64\[40\]; wanted whole numbers, \[40\]"):
    quick((images, labels * 1.0))
  with pytest.raises(ValueError, match="labels go from 0 to 1; wanted 0 to 0"):
    quick(small, classes=1)
  with pytest.raises(ValueError, match=r"images are \(6, 5, 3\); this extractor reads \(8, 8, 1\)"):
    extractor.features(images)
