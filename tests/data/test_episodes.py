"""Few-shot data sets: episodes by step, moments, and splits whose classes are apart."""

import functools
import inspect
import pickle

import jax
import numpy as np
import pytest

from genjax.core import System, prepared
from genjax.data import episodes, few_shot
from genjax.data.episode_batches import episodes as drawn
from genjax.data.few_shot_sets import merged
from genjax.ops.augment import prepare_episodes

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), np.uint8)
MOCK = functools.partial(episodes.mock_episodes, batch=2, ways=3, shots=1, queries=2, size=8)


def _fc100(folder, **labels):
  """The released pickles, four classes of two images a split unless `labels` say otherwise."""
  for place, split in enumerate(("train", "val", "test")):
    ids = labels.get(split, list(range(4 * place, 4 * place + 4)) * 2)
    content = {"data": PIXELS[: len(ids)], "labels": ids}
    (folder / f"FC100_{split}.pickle").write_bytes(pickle.dumps(content, protocol=2))
  return functools.partial(episodes.fc100, batch=2, path=str(folder), ways=2, shots=1, queries=1)


def test_batches_are_episodes_of_the_training_classes():
  data = MOCK(seed=7)
  expected = drawn(few_shot("mock", "train", size=8), batch=2, seed=7, ways=3, shots=1, queries=2)(5)
  for name, value in data.batch(5).items():
    np.testing.assert_array_equal(value, expected[name])
  part = MOCK(seed=7, process=1, processes=2).batch(5)
  np.testing.assert_array_equal(part["support"], expected["support"][1:])


def test_facts_say_what_an_episode_is():
  facts = MOCK().facts
  assert (facts["shape"], facts["ways"], facts["classes"], facts["train_split"]) == ((8, 8, 3), 3, None, "train")
  assert facts["describe"] == "mock: 20 classes, 800 images of 8x8x3; episodes of 3 ways, 1-shot, 2 queries a class"
  assert not {"shots", "queries", "batch", "seed"} & set(facts)  # a metric has its own


def test_a_split_draws_episodes_of_its_own_classes():
  data = MOCK()
  val = data.split("validation")
  few = few_shot("mock", "val", size=8)
  assert (val.name, val.digest) == ("mock/val", few.digest)
  np.testing.assert_array_equal(val.examples["label"], few.labels)
  raw = val.episodes(batch=4, shots=2, queries=3, seed=1)(6)
  expected = drawn(few, batch=4, seed=1, ways=3, shots=2, queries=3)(6)
  for name, value in raw.items():
    np.testing.assert_array_equal(value, expected[name])
  share = MOCK(process=1, processes=2).split("val").episodes(batch=4, shots=2, queries=3, seed=1)(6)
  np.testing.assert_array_equal(share["query"], expected["query"][2:])
  with pytest.raises(ValueError, match='split "trial" is unknown'):
    data.split("trial")


def test_trainval_has_the_classes_of_both_and_says_nothing_of_the_validation_split(tmp_path):
  data = _fc100(tmp_path)(split="trainval")
  assert data.facts["describe"].startswith("fc100: 8 classes, 16 images")
  both = merged(*(few_shot("fc100", split, path=str(tmp_path)) for split in ("train", "val")))
  np.testing.assert_array_equal(
    data.batch(3)["query"], drawn(both, batch=2, seed=0, ways=2, shots=1, queries=1)(3)["query"]
  )
  assert data.split("val").name == "fc100/val"
  assert data.split("test").name == "fc100/test"
  assert data.split("trainval").name == "fc100/train+val"


def test_splits_that_share_classes_are_refused_when_the_second_is_opened(tmp_path):
  data = _fc100(tmp_path, test=[1, 1, 9, 9])()
  data.split("val")
  with pytest.raises(ValueError, match=r"train and test of fc100 share 1 classes \(1\)"):
    data.split("test")
  data = _fc100(tmp_path, test=[5, 5, 9, 9])()
  data.split("test")
  with pytest.raises(ValueError, match=r"test and val of fc100 share 1 classes \(5\)"):
    data.split("validation")
  with pytest.raises(ValueError, match="train and val of fc100 share 2 classes"):
    _fc100(tmp_path, val=[0, 0, 1, 1, 7, 7])(split="trainval")


def test_preparing_brings_images_to_the_published_moments_and_augments_where_a_key_is_given(tmp_path):
  data = _fc100(tmp_path)(pad=1, jitter=0.0)
  raw, key = data.batch(0), jax.random.key(2)
  mean, std = np.array([129.37731888, 124.10583864, 112.47758569]), np.array([68.20947949, 65.43124043, 70.45866994])
  plain = data.prepare(None, raw)
  np.testing.assert_allclose(plain["query"], (raw["query"] - mean) / std, atol=1e-5)
  examples = data.split("val").examples
  np.testing.assert_allclose(data.prepare(None, examples)["image"], (examples["image"] - mean) / std, atol=1e-5)
  step = prepared(System(None, lambda key, state, batch: (batch, {})), data.prepare).step
  moments = {"mean": tuple(mean), "std": tuple(std)}
  alone = lambda key, raw: prepare_episodes(key, raw, pad=1, flip=True, **moments)
  both = lambda key, raw: (step(key, None, raw)[0], alone(jax.random.fold_in(key, 0x617567), raw))
  seen, expected = jax.jit(both)(key, raw)
  np.testing.assert_array_equal(seen["support"], expected["support"])
  assert not np.allclose(seen["support"], plain["support"], atol=1e-2)
  unpublished = MOCK()
  raw = unpublished.batch(0)
  np.testing.assert_allclose(unpublished.prepare(None, raw)["support"], raw["support"] / 127.5 - 1, atol=1e-6)


def test_defaults_are_those_of_the_paper():
  wanted = {  # Lee et al. 2019: shots of training, padding
    "miniimagenet": (15, 8),
    "tieredimagenet": (10, 8),
    "cifarfs": (5, 4),
    "fc100": (15, 4),
  }
  for name, (shots, pad) in wanted.items():
    known = inspect.signature(getattr(episodes, name)).parameters
    assert (known["shots"].default, known["pad"].default, known["queries"].default) == (shots, pad, 6)


def test_what_cannot_be_made_says_what_to_do(tmp_path):
  with pytest.raises(ValueError, match=r"miniimagenet needs a path; set data\.path"):
    episodes.miniimagenet(batch=2)
  with pytest.raises(ValueError, match="21 ways were asked for, but mock"):
    MOCK(ways=21)
  with pytest.raises(FileNotFoundError, match="has no folder train"):
    episodes.folder_episodes(batch=2, path=str(tmp_path))
