"""Accuracy over episodes: the interval by numpy, whatever the batch, and logits that are NaN."""

import jax.numpy as jnp
import numpy as np
import pytest

from genjax.metrics.few_shot import Task, episode_accuracies, interval, measured


def batches(size):
  """Episode e has as many of 5 queries right as e % 6 says."""

  def batch(number):
    episodes = np.arange(number * size, (number + 1) * size)
    label = np.where(np.arange(5)[None] < episodes[:, None] % 6, 1, 0).astype(np.int32)
    return {"query_label": label}

  return batch


def always_one(state, batch):
  return jnp.stack([jnp.zeros(batch["query_label"].shape), jnp.full(batch["query_label"].shape, state)], -1)


@pytest.mark.parametrize("size", [1, 4, 7])
def test_accuracies_do_not_depend_on_how_many_episodes_are_worked_on_together(size):
  found = episode_accuracies(always_one, 1.0, batches(size), episodes=13)
  np.testing.assert_allclose(found, np.arange(13) % 6 / 5, rtol=1e-6)


def test_logits_that_are_nan_are_wrong():
  assert (episode_accuracies(always_one, np.nan, batches(4), episodes=8) == 0).all()


def test_the_interval_is_by_the_unbiased_deviation():
  values = np.random.default_rng(0).uniform(size=50)
  found = interval(values)
  np.testing.assert_allclose(found.mean, values.mean())
  np.testing.assert_allclose(found.half, 1.96 * np.sqrt(((values - values.mean()) ** 2).sum() / 49 / 50))


def test_numbers_carry_their_cards():
  task = Task("test_1shot", batches(4), 12, 99, "glyphs/test", "abc", "5-way 1-shot, 15 queries")
  numbers = measured(always_one, 1.0, task, seed=3)
  assert set(numbers) == {"test_1shot_accuracy", "test_1shot_interval"}
  card = numbers["test_1shot_accuracy"].card
  assert (card.generated, card.reference, card.split, card.seed) == (12, 99, "glyphs/test", 3)
  assert "1-shot" in card.metric
  assert numbers["test_1shot_accuracy"].value == pytest.approx(np.mean(np.arange(12) % 6 / 5))


def test_too_few_episodes_are_refused():
  with pytest.raises(ValueError, match="two episodes"):
    interval(np.array([0.5]))
  with pytest.raises(ValueError, match="episodes 0"):
    episode_accuracies(always_one, 1.0, batches(4), episodes=0)
