"""Accuracy over many episodes, with its 95 % interval.

Papers   the protocol of Lee 2021 (thesis), section 4.4: 1000 episodes or more, 15 queries a class.
Departs  The interval is 1.96 s / sqrt(N) with the unbiased deviation s; the released code is off by one in N.
Shapes   N episodes, E at once, K ways, m queries. Accuracies are shares in [0, 1].
Checked  tests/metrics/test_episode_accuracies.py
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import Array
from genjax.metrics.card import Card, Number

Answer = Callable[[Any, Mapping[str, Array]], Array]  # state, a batch of episodes -> logits [E, m, K]
Batches = Callable[[int], Mapping[str, np.ndarray]]  # i -> episodes i * E to (i + 1) * E - 1


class Task(NamedTuple):
  """What is measured. `name` is for cards and logs, e.g. "test_5shot"."""

  name: str
  batch: Batches
  episodes: int
  images: int  # in the split
  split: str  # "glyphs/test"
  data_digest: str
  told: str  # ways, shots and queries in words


class Interval(NamedTuple):
  """mean [], and half the width of its 95 % interval."""

  mean: float
  half: float


def interval(accuracies: np.ndarray) -> Interval:
  """Of the mean of [N] accuracies, N at least 2."""
  values = np.asarray(accuracies, np.float64)
  if values.ndim != 1 or len(values) < 2:
    raise ValueError(f"accuracies are {values.shape}; an interval takes [N] of two episodes at least")
  return Interval(float(values.mean()), float(1.96 * values.std(ddof=1) / np.sqrt(len(values))))


def episode_accuracies(
  answer: Answer, state: Any, batch: Batches, *, episodes: int, place: Callable[[Any], Any] = lambda batch: batch
) -> np.ndarray:
  """The accuracy of each of the first `episodes` episodes, [episodes] float64.

  Args:
    answer: traceable; jit remembers it, so hand in the same object every time.
    state: what it reads.
    batch: the same number of episodes each time; those beyond the last one asked for are not counted.
    place: puts a host's batch on the devices.
  """
  if episodes < 1:
    raise ValueError(f"episodes {episodes}; use at least 1")
  found, number = [], 0
  while sum(map(len, found)) < episodes:
    found.append(_accuracies(answer, state, place(batch(number))))
    number += 1
  return np.concatenate([np.asarray(jax.device_get(part), np.float64) for part in found])[:episodes]


def measured(
  answer: Answer, state: Any, task: Task, *, seed: int | None = None, place: Callable[[Any], Any] = lambda batch: batch
) -> dict[str, Number]:
  """{"<task>_accuracy", "<task>_interval"}, each with its card."""
  found = interval(episode_accuracies(answer, state, task.batch, episodes=task.episodes, place=place))
  card = lambda metric: Card(
    metric=f"{metric}, {task.told}",
    subject="few-shot classifier",
    generated=task.episodes,
    reference=task.images,
    split=task.split,
    data_digest=task.data_digest,
    scaling=None,
    seed=seed,
    precision=None,
  )
  return {
    f"{task.name}_accuracy": Number(found.mean, card("accuracy")),
    f"{task.name}_interval": Number(found.half, card("half of the 95 % interval of accuracy")),
  }


@partial(jax.jit, static_argnums=0)
def _accuracies(answer: Answer, state: Any, batch: Mapping[str, Array]) -> Array:
  """[E]; a query whose logits are not all finite counts as wrong."""
  logits = answer(state, batch).astype(jnp.float32)
  right = (logits.argmax(-1) == batch["query_label"]) & jnp.isfinite(logits).all(-1)
  return right.mean(-1, dtype=jnp.float32)
