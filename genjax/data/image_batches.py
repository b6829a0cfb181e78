"""Batches of images by step, from memory or read from disk as they go; data/epochs.py says which step sees what.

From disk they are read ahead by Grain's threads. Grain sees one endless list of this process's positions, so that its
own state is never needed: a step that does not follow the last one starts a new reader there.

Shapes   B global batch, P processes, H W C image. "image" [B / P, H, W, C] uint8; "label" [B / P] int32 where there are
         labels.
Departs  In `stream`, a picture that turns out to be unreadable is replaced by the next readable one, the same at every
         visit.
Checked  tests/data/test_image_batches.py: nothing lost, nothing twice; tests/data/test_stream.py: `stream` gives what
         `batches` gives, in any order of steps.
"""

import logging
import sys
from collections.abc import Callable

import numpy as np

from genjax.data.epochs import RawBatch, example_order, positions_of, share_of
from genjax.data.image_set import ImageSet, Source, UnreadableImage
from genjax.data.quiet import quiet

THREADS = 8
AHEAD = 2  # batches that are read ahead
FAILURES = 100  # unreadable pictures in a row before giving up

_log = logging.getLogger("genjax")


def batches(
  images: ImageSet, *, batch: int, seed: int, process: int = 0, processes: int = 1
) -> Callable[[int], RawBatch]:
  """Build `batch(step)` over images in memory: this process's share of the step's global batch, as raw uint8.

  Shapes: "image" [B / P, H, W, C] uint8; "label" [B / P] int32 where there are labels.

  Args:
    images: the set.
    batch: the global batch B, a multiple of `processes`.
    seed: orders the epochs; 0 or more.
    process: which share, 0 ... processes - 1.
    processes: the number of shares. Their union, in order, is the batch of one process.
  """
  share = share_of(batch, process=process, processes=processes)
  examples = example_order(len(images.images), seed=seed)

  def at(step: int) -> RawBatch:
    chosen = examples(positions_of(step, batch, share=share, process=process))
    raw = {"image": images.images[chosen]}
    if images.labels is not None:
      raw["label"] = images.labels[chosen]
    return raw

  return at


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
