"""Measures images on disk, which any tool made, against others: `genjax compare A B`. B is the reference.

Images are read a batch at a time, in colour, and of both sides features are held (8 kB an image in Inception's); only
sliced_wasserstein needs pixels in memory. A metric asks an extractor for features of images [N, H, W, C]. In their
place it is given *tickets*, the numbers of images as bytes [N, 1, 1, 4], and its extractor knows the features by
ticket. So the metrics are those of a run, and images may be of many sizes where the net resizes them. Features of B are
kept on disk (metrics/stored.py): B is read first for its sha256, and again where they are not there.

Departs  Quantisation is that of the files: who wrote them may have rounded or cut off.
Checked  tests/test_comparison.py
"""

import collections
import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from genjax.core import Dataset, Metric, Number, Split
from genjax.data.image_files import image_files
from genjax.data.image_set import THREADS, Source, UnreadableImage, report
from genjax.evaluate import Evaluation, cards, measure
from genjax.make import parameters
from genjax.metrics.card import Card
from genjax.metrics.extractor import function_extractor
from genjax.metrics.features import Recipe
from genjax.metrics.generated import outputs_of
from genjax.metrics.samples import Given
from genjax.registry import COMPARED, METRICS, UsageError, load, nearest, resolve
from genjax.train.terminal import answer

BATCH, BATCH_BYTES = 1024, 64 << 20  # images, and bytes of pixels, that are on the host before they become features
AHEAD = 16  # images that are read ahead
PROBES = 1024  # images of B that set the scale of random features
QUANTISATION = "8 bit, as the files have it"
_SECOND = 1 << 31  # added to the tickets of A
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


def compare(
  a: str,
  b: str,
  *,
  metrics: Sequence[str] | Mapping[str, Mapping[str, Any]] | None = None,
  extractor: str | None = None,
  weights: str | None = None,
  resize: Literal["tf1", "pil"] = "tf1",
  n: int | None = None,
  seed: int = 0,
) -> dict[str, Number]:
  """Measures the images at `a` against those at `b`; every number has its card.

  Shapes: images [H, W, C] of any size where the extractor is Inception, else all of one.

  Args:
    a, b: a folder, a .tar or .tar.gz, or an .npz, see data/image_files.py; `b` is the reference.
    metrics: names of registry.COMPARED, or name -> settings of its function. None: frechet, kid and prdc; with
      `weights` fid, kid, prdc and inception_score.
    extractor: "random", "classifier" (trained on `b`, whose subfolders are the classes), "inception", or
      "module:function" of yours that makes one. None: Inception where there are `weights`, else random features, which
      compare with nothing else.
    weights: path of Inception's weights, see metrics/inception.py.
    resize: of Inception, see there.
    n: at most so many images of each side, chosen at random. None: all.
    seed: of that choice.

  Raises:
    UsageError: one line.
  """
  settings = _settings(metrics, weights)
  try:
    sides = _side(a, n, seed), _side(b, n, seed)
    chosen = seed if any(len(side.rows) < side.source.count for side in sides) else None
    made = lambda count, net: {name: _metric(name, count, net, more, chosen) for name, more in settings.items()}
    check = _one_size()
    net = _net(extractor, weights, resize, sides[1], check) if any(map(_takes_extractor, settings)) else None
    resizes = getattr(net, "resize", "none") != "none" and all(map(_takes_extractor, settings))
    return _measured(made, sides, net, (lambda name, image: None) if resizes else check)
  except (ValueError, OSError) as error:
    raise UsageError(str(error)) from error


def _settings(metrics: Any, weights: str | None) -> dict[str, dict[str, Any]]:
  """Name -> settings of every metric. Raises UsageError."""
  if metrics is None:
    metrics = ("frechet", "kid", "prdc") if weights is None else ("fid", "kid", "prdc", "inception_score")
  settings = {name: dict(metrics[name] if isinstance(metrics, Mapping) else {}) for name in metrics}
  for name in settings:
    if name not in COMPARED:
      known = f"; {name} needs more than images" if name in METRICS else nearest(name, COMPARED)
      raise UsageError(f"no metric {name!r} of images on disk{known}; there are {', '.join(COMPARED)}")
  return settings


def _side(path: str, n: int | None, seed: int) -> Side:
  source = image_files(path)
  if n is None or n >= source.count:
    return Side(path, source, np.arange(source.count), path)
  rows = np.sort(np.random.default_rng(seed).choice(source.count, n, replace=False))
  return Side(path, source, rows, f"{path}, {n} of {source.count} images")


# Extractors -----------------------------------------------------------------------------------------------------------


def _net(name: str | None, weights: str | None, resize: str, reference: Side, check: Check) -> Any:
  """The extractor of a name. Raises UsageError, ValueError or OSError."""
  name = name or ("random" if weights is None else "inception")
  if name == "inception" and weights is None:
    from genjax.metrics.inception import FILE, HOME

    raise UsageError(
      f"Inception's weights are missing: say --weights PATH of {FILE}, which its authors publish at {HOME}"
    )
  if name != "inception" and weights is not None:
    raise UsageError(f"--weights are Inception's, and --extractor is {name}; leave one of them out")
  try:
    made = resolve("extractor", name)(**({"weights": weights, "resize": resize} if weights else {}))
  except LookupError as error:
    raise UsageError(f"--extractor {error}") from error
  if isinstance(made, Recipe):
    split = _in_memory(reference, None if made.labels else PROBES, check)
    if made.labels and "label" not in split.examples:
      raise UsageError(f'"{reference.path}" has no labels to train a classifier on; two subfolders or more are labels')
    return made.make(split, split, len(reference.source.label_names) or None, reference.path)
  if hasattr(made, "features"):
    return made
  return function_extractor(made, _in_memory(reference, PROBES, check).examples["image"])


def _in_memory(side: Side, most: int | None, check: Check) -> Split:
  """The first images of a side, of one size, with labels where there are any."""
  read = sorted(_images(side._replace(rows=side.rows[:most]), {}, check), key=lambda one: one[0])
  if not read:
    raise ValueError(f'"{side.path}": the first {len(side.rows[:most])} images are unreadable')
  _, images, labels = zip(*read, strict=True)
  labelled = {} if None in labels else {"label": np.array(labels, np.int32)}
  return Split(side.name, "", {"image": np.stack(images), **labelled})


# Reading --------------------------------------------------------------------------------------------------------------


def _one_size() -> Check:
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


def _read(side: Side, wants: frozenset[str], net: Any, check: Check, *, quiet: bool = False) -> Read:
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


# Measuring ------------------------------------------------------------------------------------------------------------


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
    of_a, first = divmod(int(np.ascontiguousarray(tickets[0]).view("<u4").item()), _SECOND)
    read = self.of[of_a]()
    rows = slice(first, first + len(tickets))
    return read.features[rows], None if read.logits is None else read.logits[rows]

  def features(self, tickets: np.ndarray) -> np.ndarray:
    """Features alone."""
    return self.outputs(tickets)[0]


def _tickets(count: int, first: int = 0) -> np.ndarray:
  return np.arange(first, first + count, dtype="<u4").view(np.uint8).reshape(count, 1, 1, 4)


def _metric(name: str, samples: int, extractor: Any, settings: Mapping[str, Any], seed: int | None) -> Metric:
  function = load(METRICS[name])
  more = {"extractor": extractor} if _takes_extractor(name) else {}
  return function(samples=samples, seed=seed, **more, **settings)


def _takes_extractor(name: str) -> bool:
  return "extractor" in parameters(load(METRICS[name]))


def _measured(
  metrics: Callable[[int, Any], dict[str, Metric]], sides: tuple[Side, Side], net: Any, check: Check
) -> dict[str, Number]:
  """All numbers, each with the card of the images that were read.

  Args:
    metrics: number of samples and extractor -> metrics by name.
    sides: A and B.
    net: the extractor, or None where no metric takes one.
    check: of the size of every image.
  """
  a, b = sides
  wants = frozenset(want for metric in metrics(len(a.rows), net).values() for want in metric.gathers)
  of_net = wants - {"pixels"}
  of_a = _read(a, wants, net, check)
  of_b = _read(b, wants - of_net, None, check)

  @functools.cache
  def again() -> Read:
    read = _read(b, of_net, net, check, quiet=True)
    if read.digest != of_b.digest:
      raise ValueError(f'"{b.path}" changed while it was read')
    return read

  mark = hashlib.sha256(f"{getattr(net, 'digest', None)} {of_b.digest}".encode()).hexdigest()
  made = metrics(of_a.count, net and Known(net, (again, lambda: of_a), mark))
  numbers = {}
  for pixels in (False, True):
    chosen = {name: metric for name, metric in made.items() if ("pixels" in metric.gathers) is pixels}
    images = (of_a.pixels, of_b.pixels) if pixels else (_tickets(of_a.count, _SECOND), _tickets(of_b.count))
    if chosen:
      data = _dataset(b.name, images[1])
      evaluation = Evaluation(chosen, {name: name for name in chosen})
      numbers |= measure(evaluation, jax.random.key(0), None, data, {}, Given(images[0]))
  facts = {
    "subject": f"{a.name}, sha256 {of_a.digest}",
    "split": b.name,
    "data_digest": of_b.digest,
    "quantisation": QUANTISATION,
  }
  return {name: Number(one.value, _carded(one.card, facts, net)) for name, one in numbers.items()}


def _carded(card: Card, facts: Mapping[str, str], net: Any) -> Card:
  """The card of a number of tickets as that of the images."""
  return dataclasses.replace(card, **facts, **({} if card.extractor is None else {"extractor_sha256": net.digest}))


def _dataset(name: str, images: np.ndarray) -> Dataset:
  """Every split is these images [N, H, W, C]."""
  split = lambda _: Split(name, "", {"image": images})
  return Dataset(lambda step: {}, facts={"shape": images.shape[1:], "name": name}, split=split)


# The command ----------------------------------------------------------------------------------------------------------


def command(request: Any) -> None:
  """Runs `genjax compare`: one JSON object, or a table."""
  options = dict(request.options)
  as_json, a, b = options.pop("json", False), options.pop("a"), options.pop("b")
  numbers = compare(a, b, **options)
  answer(json.dumps({"a": a, "b": b, "metrics": cards(numbers)}, indent=2) if as_json else table(numbers))


def table(numbers: Mapping[str, Number]) -> str:
  """Numbers under each other, and below them what their cards say."""
  better = _better()
  words = lambda name: "" if better[name] == "neither" else f"{better[name]} is better"
  lines = [f"{name:28}{number.value:14.6g}   {words(name)}".rstrip() for name, number in numbers.items()]
  cards_of = [number.card for number in numbers.values()]
  card = next((card for card in cards_of if card.extractor), cards_of[0])
  lines += ["", f"A         {card.subject[:-48]}; {max(one.generated for one in cards_of)} images"]
  lines += [f"B         {card.split}, sha256 {card.data_digest[:16]}; {max(one.reference for one in cards_of)} images"]
  if card.extractor:
    lines += [f"features  {card.extractor}; sha256 {card.extractor_sha256[:16]}; resize: {card.resize}"]
  lines += [f"pixels    {card.quantisation}; --json has the whole cards"]
  return "\n".join([*lines, *dict.fromkeys(f"warning   {one.warning}" for one in cards_of if one.warning)])


def _better() -> dict[str, str]:
  """Number -> "lower", "higher" or "neither" is better."""
  metrics = [_metric(name, 100, lambda images: images, {}, None) for name in COMPARED]
  return {name: direction for metric in metrics for name, direction in metric.better.items()}
