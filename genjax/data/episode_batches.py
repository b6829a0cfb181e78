"""Stateless batches of episodes: what an episode holds follows from (seed, episode number) alone.

An episode asks for `ways` classes, and of each for `shots` support and `queries` query images, all different ones.
Step s of a global batch of E episodes holds the episodes from first + s * E up to first + (s + 1) * E, and process p of
P the p-th of P equal runs of them. So the batch size and the number of processes may change between runs.

Papers   Vinyals et al. 2016, "Matching networks", arXiv:1606.04080: episodes; Lee et al. 2019, "MetaOptNet",
         arXiv:1904.03758: support and query drawn apart, classes without replacement.
Shapes   E global batch of episodes, P processes, N images, K classes, H W C image; n = ways * shots, m = ways *
         queries.
         "support" [E / P, n, H, W, C] and "query" [E / P, m, H, W, C] uint8, class after class;
         "support_label" [E / P, n] and "query_label" [E / P, m] int32 in 0..ways-1, by the order in which the classes
         were drawn; "class" [E / P, ways] int32 in 0..K-1, which ones they were.
Checked  tests/data/test_episode_batches.py
"""

from collections.abc import Callable

import numpy as np

from genjax.data.epochs import RawBatch, positions_of, share_of
from genjax.data.few_shot_sets import FewShotSet, listed

_STREAM = 0x65706973  # "epis": keeps the random words of episodes apart from those of `batches` under the same seed


def episodes(
  few: FewShotSet,
  *,
  batch: int,
  seed: int,
  ways: int,
  shots: int,
  queries: int,
  first: int = 0,
  process: int = 0,
  processes: int = 1,
) -> Callable[[int], RawBatch]:
  """Build `batch(step)`: this process's share of the step's episodes, as raw uint8.

  Args:
    few: the set.
    batch: the global batch E of episodes, a multiple of `processes`.
    seed: 0 or more; other seeds give unrelated episodes.
    ways: classes of an episode.
    shots: support images of each class.
    queries: query images of each class.
    first: number of the first episode of step 0.
    process: which share, 0 ... processes - 1.
    processes: the number of shares. Their union, in order, is the batch of one process.

  Raises:
    ValueError: the set has too few classes, a class too few images, or a number is out of range.
  """
  share = share_of(batch, process=process, processes=processes)
  _check(few, seed=seed, ways=ways, shots=shots, queries=queries, first=first)
  each = shots + queries

  def at(step: int) -> RawBatch:
    numbers = first + positions_of(step, batch, share=share, process=process)
    classes = np.empty((share, ways), np.int64)
    chosen = np.empty((share, ways, each), np.int64)
    for place, number in enumerate(numbers.tolist()):
      classes[place], chosen[place] = _draw(few, seed, number, ways, each)
    support, query = chosen[..., :shots].reshape(share, -1), chosen[..., shots:].reshape(share, -1)
    labels = np.arange(ways, dtype=np.int32)
    return {
      "support": few.images[support],
      "support_label": np.tile(np.repeat(labels, shots), (share, 1)),
      "query": few.images[query],
      "query_label": np.tile(np.repeat(labels, queries), (share, 1)),
      "class": classes.astype(np.int32),
    }

  return at


def _draw(few: FewShotSet, seed: int, number: int, ways: int, each: int) -> tuple[np.ndarray, np.ndarray]:
  """Classes [ways] and, for each, places of images [ways, each], by sorting raw Philox words (see `batches`)."""
  words = np.random.Philox(np.random.SeedSequence([seed, number, _STREAM]))
  classes = np.argsort(words.random_raw(few.classes), kind="stable")[:ways]
  chosen = np.empty((ways, each), np.int64)
  for row, label in zip(chosen, classes, strict=True):
    row[:] = few.starts[label] + np.argsort(words.random_raw(int(few.counts[label])), kind="stable")[:each]
  return classes, chosen


def _check(few: FewShotSet, *, seed: int, ways: int, shots: int, queries: int, first: int) -> None:
  for name, value, least in (("ways", ways, 2), ("shots", shots, 1), ("queries", queries, 1)):
    if value < least:
      raise ValueError(f"{name} {value} was asked for; wanted at least {least}")
  for name, value in (("seed", seed), ("first", first)):
    if value < 0:
      raise ValueError(f"{name} {value} is negative; use 0 or more")
  where = f'{few.name}, split "{few.split}"'
  if ways > few.classes:
    raise ValueError(f"{ways} ways were asked for, but {where} has {few.classes} classes; use at most as many")
  if (small := np.flatnonzero(few.counts < shots + queries)).size:
    held = listed([f"{few.class_ids[label]}: {few.counts[label]}" for label in small])
    raise ValueError(
      f"{shots} shots and {queries} queries need {shots + queries} images of each class, but {small.size} classes of "
      f"{where} have fewer ({held}); use at most {few.counts.min()} together"
    )
