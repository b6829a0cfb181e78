"""Stateless batches of a set that does not fit in memory: the contract of batches.py, read ahead by Grain's threads.

Grain sees one endless list of this process's positions, so that its own state is never needed: a step that does not
follow the last one starts a new reader there.

Shapes   as in batches.py
Departs  A picture that turns out to be unreadable is replaced by the next readable one, the same at every visit.
Checked  tests/data/test_stream.py: equal to batches.py on the same set, in any order of steps.
"""

import logging
import sys
from collections.abc import Callable

import numpy as np

from genjax.data.batches import RawBatch, example_order, positions_of, share_of
from genjax.data.images import Source, UnreadableImage
from genjax.data.quiet import quiet

THREADS = 8
AHEAD = 2  # batches that are read ahead
FAILURES = 100  # unreadable pictures in a row before giving up

_log = logging.getLogger("genjax")


def stream(
  source: Source, *, batch: int, seed: int, process: int = 0, processes: int = 1, threads: int = THREADS
) -> Callable[[int], RawBatch]:
  """Build `batch(step)` over a source that is read as it goes; arguments as in `batches`.

  Quick for steps in ascending order; right for any. For one thread at a time.
  """
  share = share_of(batch, process=process, processes=processes)
  examples = example_order(source.count, seed=seed)
  read = _reader(source)
  with quiet():
    import grain

  def example(place: int) -> RawBatch:
    step, offset = divmod(place, share)
    position = positions_of(step, batch, share=share, process=process)[offset : offset + 1]
    image, label = read(int(examples(position)[0]))
    return {"image": image} if label is None else {"image": image, "label": np.int32(label)}

  def start(step: int):
    places = grain.MapDataset.range(step * share, sys.maxsize).map(example)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(threads, AHEAD * share))
    return iter(places.to_iter_dataset(options).batch(share))

  reader, upcoming = None, -1

  def at(step: int) -> RawBatch:
    nonlocal reader, upcoming
    positions_of(step, batch, share=share, process=process)  # refuses a negative step
    if step != upcoming:
      if reader is not None:
        reader.close()
      reader = start(int(step))
    upcoming = -1  # unless the read succeeds, the next call starts anew
    raw = dict(next(reader))
    upcoming = int(step) + 1
    return raw

  return at


def _reader(source: Source) -> Callable[[int], tuple[np.ndarray, int | None]]:
  """`source.read`, but an unreadable picture gives way to the next readable one; each is named in the log once."""
  known: set[int] = set()

  def read(index: int) -> tuple[np.ndarray, int | None]:
    for ahead in range(min(FAILURES, source.count)):
      try:
        return source.read((index + ahead) % source.count)
      except UnreadableImage as error:
        bad = (index + ahead) % source.count
        if bad not in known:
          known.add(bad)
          _log.warning("%s: an unreadable image is replaced by the next one: %s", source.name, error)
    raise OSError(f"{source.name}: {FAILURES} images in a row are unreadable; check the disk and the files")

  return read
