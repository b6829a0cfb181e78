"""Errors are exact counts over whole splits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.metrics.classification import Split, count, error_metrics

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(4 * 4, 3)).astype(np.float32)
TRACES = []


def classify(state, images):
  TRACES.append(1)
  return images.reshape(images.shape[0], -1) @ state["weights"]


def split(n, name="toy/test"):
  images = RNG.integers(0, 256, (n, 4, 4, 1), dtype=np.uint8)
  return Split(images, RNG.integers(0, 3, n).astype(np.int32), name)


def by_hand(split):
  """Wrong images and mean cross-entropy in float64."""
  logits = (split.images.reshape(len(split.images), -1) / 127.5 - 1) @ WEIGHTS.astype(np.float64)
  chosen = logits[np.arange(len(logits)), split.labels]
  return int((logits.argmax(1) != split.labels).sum()), (np.log(np.exp(logits).sum(1)) - chosen).mean()


@pytest.mark.parametrize("n", [1, 20, 40, 47])
def test_every_image_counts_once_whether_or_not_a_batch_divides_them(n):
  some = split(n)
  wrong, crossed = count(classify, {"weights": WEIGHTS}, some.images, some.labels, batch=20)
  wanted, wanted_crossed = by_hand(some)
  assert wrong == wanted
  np.testing.assert_allclose(crossed, wanted_crossed, rtol=1e-5)


def test_all_splits_and_states_share_one_compilation():
  mine = lambda state, images: classify(state, images)
  metrics = error_metrics(mine, {"validation": split(30, "toy/train[80%:]"), "test": split(50)}, batch=16)
  before = len(TRACES)
  for scale in (1, 2, 3):
    metrics.measure({"weights": scale * WEIGHTS})
  assert len(TRACES) == before + 1


def test_each_number_has_its_card_and_the_roles_that_are_asked_for():
  test, validation = split(50), split(30, "toy/train[80%:]")
  metrics = error_metrics(classify, {"validation": validation, "test": test})
  assert metrics.roles == ("validation", "test")
  numbers = metrics.measure({"weights": WEIGHTS}, ema=True, seed=3)
  assert set(numbers) == {"validation_error", "validation_cross_entropy", "test_error", "test_cross_entropy"}
  assert numbers["test_error"].value == by_hand(test)[0] / 50
  card = numbers["validation_error"].card
  assert (card.metric, card.split, card.generated, card.seed, card.ema) == ("error", "toy/train[80%:]", 30, 3, True)
  assert card.data_digest != numbers["test_error"].card.data_digest
  assert set(metrics.measure({"weights": WEIGHTS}, ("validation",))) == {"validation_error", "validation_cross_entropy"}


def test_logits_that_are_not_finite_are_wrong():
  some = split(10)
  broken = lambda state, images: jax.nn.one_hot(jnp.zeros(images.shape[0], int), 3).at[:, 2].set(jnp.nan)
  wrong, crossed = count(broken, None, some.images, np.zeros(10, np.int32), batch=4)
  assert wrong == 10
  assert np.isnan(crossed)


def test_what_cannot_be_measured_is_named():
  good = split(5)
  for bad, told in (
    (good._replace(labels=None, name="x/y"), "x/y has no labels"),
    (split(5)._replace(labels=good.labels[:3]), "5 images and 3 labels"),
    (Split(np.zeros((5, 8, 8, 1), np.uint8), good.labels, "other"), r"images of other are \(8, 8, 1\)"),
  ):
    with pytest.raises(ValueError, match=told):
      error_metrics(classify, {"validation": good, "test": bad})
