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
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from genjax.core import Array, Batch, Dataset, Metric, Number, Raw, Split, State
from genjax.metrics.card import Card
from genjax.metrics.real import once, split_of

Adapt = Callable[[Any, Batch], Array]  # the view: state, a prepared batch of episodes -> logits [E, m, K]
Prepare = Callable[[Array | None, Batch], Batch]  # of core.Dataset
_AXIS = "data"
_BETTER = {"accuracy": "higher", "interval": "neither", "solved": "higher"}


class Interval(NamedTuple):
  """mean [], and half the width of its 95 % interval."""

  mean: float
  half: float


def few_shot(
  *,
  split: str = "test",
  shots: tuple[int, ...] = (1, 5),
  queries: int = 15,
  episodes: int = 1000,
  batch: int = 8,
  episode_seed: int = 0,
  chosen_at: int = 5,
  seed: int | None = None,
  ema: bool | None = None,
) -> Metric:
  """The metrics "<s>shot_accuracy", "<s>shot_interval" and "<s>shot_solved" for every s of `shots`, and "error".

  "<s>shot_solved" is the share of episodes whose classifier is the optimum that its solver looks for, by the system's
  view "solve"; 1 where it has none. A number of iterations that is fixed mostly ends before the optimum.

  Args:
    split: classes that training does not see.
    shots: support images of a class.
    queries: query images of a class.
    episodes: as many are measured, at least 2; the interval shrinks with their root.
    batch: episodes at once; it divides over the devices.
    episode_seed: of the draw of episodes. Runs that are compared, whatever their seed, are asked the same episodes.
    chosen_at: "error" is 1 - accuracy at so many shots; a run may be chosen by it.
    seed: of the training, for the card.
    ema: whether the weights are averaged, for the card.
  """
  if chosen_at not in shots:
    raise ValueError(f"chosen_at {chosen_at} is not among shots {shots}")
  if episodes < 2:
    raise ValueError(f"episodes {episodes}; an interval takes two at least")

  opened = once(lambda data: split_of(data, split))
  asked = {"batch": batch, "queries": queries, "seed": episode_seed}

  def measure(key: Array, views: Mapping[str, Callable], state: State, data: Dataset) -> dict[str, Number]:
    del key
    real = opened(data)

    def card(metric: str, shot: int) -> Card:
      return Card(
        metric=f"{metric}, {data.facts['ways']}-way {shot}-shot, {queries} queries a class, {episodes} episodes",
        subject="few-shot classifier",
        generated=episodes,
        reference=len(next(iter(real.examples.values()))),
        split=real.name,
        data_digest=real.digest,
        resize=None,
        scaling=None,
        quantisation=None,
        ema=ema,
        seed=seed,
        precision=None,
      )

    numbers: dict[str, Number] = {}
    for shot in shots:
      batches = _batches(real, shots=shot, **asked)
      look = views.get("solve", views["adapt"])
      values, solved = _measured(look, state, batches, prepare=data.prepare, episodes=episodes)
      result = interval(values)
      numbers[f"{shot}shot_accuracy"] = Number(result.mean, card("accuracy", shot))
      numbers[f"{shot}shot_interval"] = Number(result.half, card("half of the 95 % interval of accuracy", shot))
      numbers[f"{shot}shot_solved"] = Number(float(solved.mean()), card("share of episodes solved", shot))
      if shot == chosen_at:
        numbers["error"] = Number(1 - result.mean, card("error", shot))
    return numbers

  def check(data: Dataset) -> None:
    if batch % jax.device_count():
      devices = jax.device_count()
      raise ValueError(f"batch {batch} episodes do not divide over {devices} devices; use a multiple of {devices}")
    if data.facts.get("ways") is None:
      raise ValueError(f"data {data.facts.get('name', 'set')} have no fact ways; few_shot takes a data set of episodes")
    for shot in shots:
      _batches(opened(data), shots=shot, **asked)

  better = {f"{shot}shot_{what}": word for shot in shots for what, word in _BETTER.items()}
  return Metric(("adapt",), measure, {**better, "error": "lower"}, check)


def accuracies(
  adapt: Adapt,
  state: State,
  data: Dataset,
  *,
  split: str = "test",
  shots: int = 5,
  queries: int = 15,
  episodes: int = 1000,
  batch: int = 8,
  seed: int = 0,
) -> np.ndarray:
  """The accuracy of each episode of a split, [episodes] float64; for several processes too.

  Args:
    adapt: the view of the system; traceable, and compiled once however often this is called with the same object.
    state: what it reads; the episodes go to the devices that hold it.
    data: a data set of episodes.
    split, shots, queries, episodes, batch: as in `few_shot`, with one number of shots.
    seed: of the episodes.
  """
  batches = _batches(split_of(data, split), batch=batch, shots=shots, queries=queries, seed=seed)
  return episode_accuracies(adapt, state, batches, prepare=data.prepare, episodes=episodes)


def episode_accuracies(
  adapt: Adapt, state: State, batches: Callable[[int], Raw], *, prepare: Prepare, episodes: int
) -> np.ndarray:
  """The accuracy of each of the first `episodes` episodes, [episodes] float64.

  Args:
    adapt, prepare: traceable; jit remembers them, so hand in the same objects every time.
    state: what `adapt` reads.
    batches: i -> this process's share of episodes i * E to (i + 1) * E - 1, raw; those beyond the last one asked for
      are not counted.
  """
  return _measured(adapt, state, batches, prepare=prepare, episodes=episodes)[0]


def _measured(
  look: Callable, state: State, batches: Callable[[int], Raw], *, prepare: Prepare, episodes: int
) -> np.ndarray:
  """Accuracies and what was solved, [2, episodes] float64, by the view "solve" or "adapt"."""
  if episodes < 1:
    raise ValueError(f"episodes {episodes}; use at least 1")
  sharding = _sharding(state)
  everywhere = NamedSharding(sharding.mesh, PartitionSpec())
  parts: list[Array] = []
  while sum(part.shape[1] for part in parts) < episodes:
    parts.append(_accuracies(look, prepare, everywhere, state, _placed(sharding, batches(len(parts)))))
  return np.concatenate([np.asarray(jax.device_get(part), np.float64) for part in parts], 1)[:, :episodes]


def interval(accuracies: np.ndarray) -> Interval:
  """Of the mean of [N] accuracies, N at least 2."""
  values = np.asarray(accuracies, np.float64)
  if values.ndim != 1 or len(values) < 2:
    raise ValueError(f"accuracies are {values.shape}; an interval takes [N] of two episodes at least")
  return Interval(float(values.mean()), float(1.96 * values.std(ddof=1) / np.sqrt(len(values))))


def _batches(real: Split, **asked: int) -> Callable[[int], Raw]:
  """Raw episodes of a split. Raises ValueError where it has none."""
  if real.episodes is None:
    raise ValueError(f"{real.name} has no episodes; few_shot takes a data set of episodes")
  return real.episodes(**asked)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _accuracies(look: Callable, prepare: Prepare, everywhere: NamedSharding, state: State, raw: Batch) -> Array:
  """Accuracy and solved, [2, E], on every device; a query whose logits are not all finite counts as wrong."""
  batch = prepare(None, raw)
  answer = look(state, batch)
  logits, solved = answer if isinstance(answer, tuple) else (answer, jnp.ones(answer.shape[0], bool))
  logits = logits.astype(jnp.float32)
  right = (logits.argmax(-1) == batch["query_label"]) & jnp.isfinite(logits).all(-1)
  both = jnp.stack([right.mean(-1, dtype=jnp.float32), solved.astype(jnp.float32)])
  return lax.with_sharding_constraint(both, everywhere)


def _sharding(state: State) -> NamedSharding:
  """Episodes are split over the devices that hold the state, those of other processes included."""
  own = state.step.sharding
  if isinstance(own, NamedSharding):
    devices = own.mesh.devices.ravel()
  else:
    devices = np.array(sorted(own.device_set, key=lambda device: device.id))
  return NamedSharding(Mesh(devices, (_AXIS,), axis_types=(AxisType.Auto,)), PartitionSpec(_AXIS))


def _placed(sharding: NamedSharding, raw: Raw) -> Batch:
  """One global array for each name, of which every process holds its share of the episodes."""
  processes = len({device.process_index for device in sharding.mesh.devices.flat})
  whole = lambda value: (value.shape[0] * processes, *value.shape[1:])
  return {
    name: jax.make_array_from_process_local_data(sharding, np.asarray(value), whole(value))
    for name, value in raw.items()
  }
