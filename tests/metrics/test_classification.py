"""Errors are exact counts over whole splits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_images import data_of

from genjax.metrics.classification import count, error
from genjax.ops.augment import to_unit

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(4 * 4, 3)).astype(np.float32)
TRACES = []


def classify(state, images):
  TRACES.append(1)
  return images.reshape(images.shape[0], -1) @ state["weights"]


def prepare(key, raw):
  assert key is None
  return {**raw, "image": to_unit(raw["image"])}


def examples(n):
  return RNG.integers(0, 256, (n, 4, 4, 1), dtype=np.uint8), RNG.integers(0, 3, n).astype(np.int32)


def by_hand(images, labels):
  """Wrong images and mean cross-entropy in float64."""
  logits = (images.reshape(len(images), -1) / 127.5 - 1) @ WEIGHTS.astype(np.float64)
  chosen = logits[np.arange(len(logits)), labels]
  return int((logits.argmax(1) != labels).sum()), (np.log(np.exp(logits).sum(1)) - chosen).mean()


@pytest.mark.parametrize("n", [1, 20, 40, 47])
def test_every_image_counts_once_whether_or_not_a_batch_divides_them(n):
  images, labels = examples(n)
  raw = {"image": images, "label": labels}
  wrong, cross_entropy = count(classify, {"weights": WEIGHTS}, raw, prepare=prepare, batch=20)
  wanted, wanted_cross_entropy = by_hand(images, labels)
  assert wrong == wanted
  np.testing.assert_allclose(cross_entropy, wanted_cross_entropy, rtol=1e-5)


def test_logits_that_are_not_finite_are_wrong():
  broken = lambda state, images: jax.nn.one_hot(jnp.zeros(images.shape[0], int), 3).at[:, 2].set(jnp.nan)
  for label in (0, 2):  # argmax calls NaN the greatest
    raw = {"image": examples(10)[0], "label": np.full(10, label, np.int32)}
    wrong, cross_entropy = count(broken, None, raw, prepare=prepare, batch=4)
    assert wrong == 10
    assert np.isnan(cross_entropy)


def test_all_splits_and_states_share_one_compilation():
  data = data_of({"train": examples(60), "validation": examples(30), "test": examples(50)})
  views = {"classify": lambda state, images: classify(state, images)}
  before = len(TRACES)
  for split in ("validation", "test"):
    metric = error(split=split, batch=16)
    for scale in (1, 2, 3):
      metric.measure(None, views, {"weights": scale * WEIGHTS}, data)
  assert len(TRACES) == before + 1


def test_each_number_has_the_card_of_its_split():
  test = examples(50)
  data = data_of({"train": examples(60), "train[80%:]": examples(30), "test": test})
  measured = [
    error(split=split, seed=3, ema=True).measure(None, {"classify": classify}, {"weights": WEIGHTS}, data)
    for split in ("train[80%:]", "test")
  ]
  assert measured[1]["error"].value == by_hand(*test)[0] / 50
  card = measured[0]["cross_entropy"].card
  assert (card.metric, card.split, card.generated) == ("cross_entropy", "toy/train[80%:]", 30)
  assert (card.seed, card.ema) == (3, True)
  assert card.data_digest != measured[1]["cross_entropy"].card.data_digest


def test_a_split_that_is_trained_on_is_refused_and_a_few_common_images_are_not():
  images, labels = examples(60)
  others = examples(40)
  some = lambda n: (np.concatenate([images[:n], others[0][n:]]), np.concatenate([labels[:n], others[1][n:]]))
  data = data_of({"train": (images, labels), "few": some(20), "most": some(21), "all": (images[:40], labels[:40])})
  error(split="few").check(data)
  with pytest.raises(ValueError, match=r"21 of 40 images of toy/most are trained on \(toy/train\); keep them apart"):
    error(split="most").check(data)
  with pytest.raises(ValueError, match="40 of 40 images"):
    error(split="all").check(data)
  error(split="all", train_split="not in memory").check(data)


def test_what_cannot_be_measured_is_named():
  images, labels = examples(5)
  data = data_of(
    {"train": examples(9), "no": (images, None), "less": (images, labels[:3]), "test": (images, labels)}, name="x"
  )
  for split, message in (
    ("no", "x/no has no labels"),
    ("less", "x/less has 5 images and 3 labels"),
    ("validation", "'validation' does not exist"),
  ):
    with pytest.raises(ValueError, match=message):
      error(split=split).check(data)
  cropped = data._replace(facts={**data.facts, "shape": (2, 2, 1)})
  with pytest.raises(ValueError, match=r"images of x/test are 4x4x1 and the system sees 2x2x1.*crop=0"):
    error().check(cropped)
