"""The order of examples: what a step sees follows from (seed, step) alone, so the data position is the step.

The examples form one endless line: epoch permutation after epoch permutation. Step s of a global batch B takes the
positions from s * B up to (s + 1) * B, and process p of P the p-th of P equal runs of them. No example is dropped at
the end of an epoch, B may exceed the number of examples, and the number of processes may change between runs.

Checked  tests/data/test_image_batches.py
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

RawBatch = dict[str, np.ndarray]  # names to this process's share of a step's examples, as they are stored


class Share(NamedTuple):
  """The part of every batch that a process loads. Their union, in the order of processes, is the batch of one process.

  batch: the global batch B, a multiple of `processes`.
  seed: of the order of examples; 0 or more.
  process: which share, 0 ... processes - 1.
  processes: the number of shares.
  """

  batch: int
  seed: int
  process: int = 0
  processes: int = 1


def epoch_permutation(count: int, *, seed: int, epoch: int) -> np.ndarray:
  """The order of 0 ... count - 1 in one epoch, [count] int64.

  It sorts raw Philox words: numpy promises those for ever and on every machine, and does not promise its shuffle.
  """
  words = np.random.Philox(np.random.SeedSequence([seed, epoch])).random_raw(count)
  return np.argsort(words, kind="stable")


def example_order(count: int, *, seed: int) -> Callable[[np.ndarray], np.ndarray]:
  """Build the map from positions [M] int64 in the endless line to example numbers [M]; keeps the last two permutations.

  Raises:
    ValueError: no examples, or a negative seed.
  """
  if count < 1:
    raise ValueError("the data set is empty; wanted at least one example")
  if seed < 0:
    raise ValueError(f"seed {seed} is negative; use 0 or more")
  permutation = functools.lru_cache(maxsize=2)(functools.partial(epoch_permutation, count, seed=seed))

  def examples(positions: np.ndarray) -> np.ndarray:
    if count == 1:
      return np.zeros_like(positions)
    epochs, places = np.divmod(positions, count)
    numbers = np.empty_like(positions)
    for epoch in range(int(epochs.min()), int(epochs.max()) + 1):
      here = epochs == epoch
      numbers[here] = permutation(epoch=epoch)[places[here]]
    return numbers

  return examples


def share_of(batch: int, *, process: int, processes: int) -> int:
  """The number of examples that each process loads of a global batch; checks all three numbers."""
  if batch < 1:
    raise ValueError(f"batch {batch} was asked for; wanted at least 1")
  if not 0 <= process < processes:
    raise ValueError(f"process {process} of {processes} does not exist; wanted 0 to {processes - 1}")
  if batch % processes:
    raise ValueError(f"batch {batch} does not divide over {processes} processes; use a multiple of {processes}")
  return batch // processes


def positions_of(step: int, batch: int, *, share: int, process: int) -> np.ndarray:
  """The positions [share] int64 in the endless line that one process loads at a step (0 or more)."""
  if step < 0:
    raise ValueError(f"step {step} is negative; the first step is 0")
  first = int(step) * batch + process * share
  return np.arange(first, first + share, dtype=np.int64)
