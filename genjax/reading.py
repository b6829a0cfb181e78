"""Images on disk as metrics ask for them: read a batch at a time, their features known by *ticket*.

A metric asks an extractor for features of images [N, H, W, C]. In their place it is given tickets, the numbers of
images as bytes [N, 1, 1, 4], and the extractor `Known`, which knows the features by ticket. So images may be more than
memory holds, and of many sizes where the net resizes them.

Checked  tests/test_comparison.py
"""

import collections
import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from genjax.core import Split
from genjax.data.folder import shown
from genjax.data.image_files import image_files
from genjax.data.image_set import THREADS, Source, UnreadableImage, report
from genjax.metrics.generated import outputs_of

BATCH, BATCH_BYTES = 1024, 64 << 20  # images, and bytes of pixels, that are on the host before they become features
AHEAD = 16  # images that are read ahead
OF_A = 1 << 31  # added to the tickets of A
Check = Callable[[str, np.ndarray], None]  # name and pixels of an image: raises ValueError where it is of no use


class Side(NamedTuple):
  """Images of one side, before they are read."""

  path: str
  source: Source
  rows: np.ndarray  # those that are used, ascending
  name: str  # for cards


class Read(NamedTuple):
  """What is kept of images after they were read."""

  count: int
  digest: str  # sha256 of the sha256 of shape and pixels of each, in the order of their names
  features: np.ndarray | None = None  # [N, d]
  logits: np.ndarray | None = None  # [N, K]
  pixels: np.ndarray | None = None  # [N, H, W, 3]


def side_of(path: str, n: int | None, seed: int) -> Side:
  """The images at a path, or n of them, chosen by the seed. Raises ValueError or OSError."""
  source, name = image_files(path), shown(path)
  if n is None or n >= source.count:
    return Side(name, source, np.arange(source.count), name)
  rows = np.sort(np.random.default_rng(seed).choice(source.count, n, replace=False))
  return Side(name, source, rows, f"{name}, {n} of {source.count} images")


def in_memory(side: Side, most: int | None, check: Check) -> Split:
  """The first images of a side, of one size, with labels where there are any."""
  read = sorted(_images(side._replace(rows=side.rows[:most]), {}, check), key=lambda one: one[0])
  if not read:
    raise ValueError(f'"{side.path}": the first {len(side.rows[:most])} images are unreadable')
  _, images, labels = zip(*read, strict=True)
  labelled = {} if None in labels else {"label": np.array(labels, np.int32)}
  return Split(side.name, "", {"image": np.stack(images), **labelled})


def one_size() -> Check:
  """Of each image with its name: raises ValueError where its shape is not that of the first."""
  first: list[Any] = []

  def check(name: str, image: np.ndarray) -> None:
    first[:] = first or [name, image.shape]
    if image.shape != first[1]:
      (height, width), (other_height, other_width) = first[1][:2], image.shape[:2]
      raise ValueError(
        f"{first[0]} is {width}x{height}, {name} is {other_width}x{other_height}; images of several sizes are compared "
        "in features of Inception (--weights), which resizes them"
      )

  return check


def _images(side: Side, failures: dict[int, str], check: Check) -> Iterator[tuple[int, np.ndarray, int | None]]:
  """Place among the rows, pixels and label of every readable image; why others are not goes into `failures`."""
  source, ahead = side.source, collections.deque()

  def read(place: int) -> tuple[int, str, Any, int | None]:
    row = int(side.rows[place])
    name = f"{side.path}/{source.name_of(row)}"
    try:
      return place, name, *source.read(row)
    except UnreadableImage as error:
      return place, name, error, None

  with ThreadPoolExecutor(THREADS if source.order is None else 1) as pool:
    places = iter(_quickest(side).tolist())
    ahead.extend(pool.submit(read, place) for place in itertools.islice(places, AHEAD))
    while ahead:
      place, name, image, label = ahead.popleft().result()
      ahead.extend(pool.submit(read, place) for place in itertools.islice(places, 1))
      if isinstance(image, UnreadableImage):
        failures[place] = str(image)
        continue
      check(name, image)
      yield place, image, label


def _quickest(side: Side) -> np.ndarray:
  """Places among the rows, in the order in which they are quick to read."""
  if side.source.order is None:
    return np.arange(len(side.rows))
  lies_at = np.argsort(np.asarray(side.source.order))
  return np.argsort(lies_at[side.rows])


def _batches(images: Iterator[tuple[int, np.ndarray, Any]]) -> Iterator[tuple[list[int], np.ndarray]]:
  """Places and pixels [B, H, W, 3] of images of one size."""
  waiting: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = {}
  held = 0
  joined = lambda group: ([place for place, _ in group], np.stack([image for _, image in group]))
  for place, image, _ in images:
    group = waiting.setdefault(image.shape, [])
    group.append((place, image))
    held += image.nbytes
    if len(group) == BATCH:
      held -= BATCH * image.nbytes
      yield joined(waiting.pop(image.shape))
    elif held >= BATCH_BYTES:
      held = 0
      yield from map(joined, waiting.values())
      waiting.clear()
  yield from map(joined, waiting.values())


def read_side(side: Side, wants: frozenset[str], net: Any, check: Check, *, quiet: bool = False) -> Read:
  """Reads a side from one end to the other, and keeps what is wanted: "pixels", "features", "logits"."""
  failures: dict[int, str] = {}
  hashes, kept = np.zeros((len(side.rows), 32), np.uint8), {}
  for places, pixels in _batches(_images(side, failures, check)):
    hashes[places] = [_sha256(image) for image in pixels]
    parts = {"pixels": pixels} if "pixels" in wants else {}
    if wants - {"pixels"}:
      parts["features"], logits = outputs_of(net, pixels, logits="logits" in wants)
      if logits is None and "logits" in wants:
        raise ValueError("class logits are needed, which these features do not have; use --weights, or a classifier")
      parts |= {} if logits is None else {"logits": logits}
    for name, part in parts.items():
      if name not in kept:
        kept[name] = np.empty((len(side.rows), *part.shape[1:]), part.dtype)
      kept[name][places] = part
  if failures and not quiet:
    report(side.path, len(side.rows), [failures[place] for place in sorted(failures)])
  good = np.delete(np.arange(len(side.rows)), list(failures)) if failures else slice(None)
  hashes = hashes[good]
  if not len(hashes):
    raise ValueError(f'"{side.path}" has no readable image')
  digest = hashlib.sha256(hashes.tobytes()).hexdigest()
  return Read(len(hashes), digest, **{name: rows[good] for name, rows in kept.items()})


def _sha256(image: np.ndarray) -> np.ndarray:
  """[32] bytes of the shape and the pixels of an image."""
  sha = hashlib.sha256(repr(image.shape).encode())
  sha.update(image.data)
  return np.frombuffer(sha.digest(), np.uint8)


# Tickets --------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
  """An extractor's features of images that are given as tickets.

  Attributes:
    net: the extractor.
    of: for B, for A: what was kept of its images; worked out when it is first asked for.
    digest: of the net and B, so that what is kept on disk of B's tickets is B's.
  """

  net: Any
  of: tuple[Callable[[], Read], Callable[[], Read]]
  digest: str

  @property
  def description(self) -> str:
    return self.net.description

  @property
  def resize(self) -> str:
    return getattr(self.net, "resize", "none")

  @property
  def scaling(self) -> str:
    return getattr(self.net, "scaling", "[-1, 1]")

  def outputs(self, tickets: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Features, and logits where they were kept, of tickets [N, 1, 1, 4] that follow each other."""
    of_a, first = divmod(int(np.ascontiguousarray(tickets[0]).view("<u4").item()), OF_A)
    read = self.of[of_a]()
    rows = slice(first, first + len(tickets))
    return read.features[rows], None if read.logits is None else read.logits[rows]

  def features(self, tickets: np.ndarray) -> np.ndarray:
    """Features alone."""
    return self.outputs(tickets)[0]


def tickets(count: int, first: int = 0) -> np.ndarray:
  return np.arange(first, first + count, dtype="<u4").view(np.uint8).reshape(count, 1, 1, 4)
