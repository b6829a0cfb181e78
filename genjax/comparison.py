"""Measures images on disk, which any tool made, against others: `genjax compare A B`. B is the reference.

Images are read a batch at a time, in colour, and of both sides features are held (8 kB an image in Inception's); only
sliced_wasserstein needs pixels in memory. Features of B are kept on disk (metrics/stored.py): B is read first for its
sha256, and again where they are not there.

Departs  Quantisation is that of the files: who wrote them may have rounded or cut off.
Checked  tests/test_comparison.py
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np

from genjax.core import Dataset, Metric, Number, Split
from genjax.evaluate import Evaluation, cards, measure
from genjax.make import parameters
from genjax.metrics.card import Card
from genjax.metrics.extractor import function_extractor
from genjax.metrics.features import Recipe
from genjax.metrics.samples import Given
from genjax.reading import OF_A, Check, Known, Read, Side, in_memory, one_size, read_side, side_of, tickets
from genjax.registry import COMPARED, METRICS, UsageError, load, nearest, resolve
from genjax.train.terminal import answer

PROBES = 1024  # images of B that set the scale of random features
QUANTISATION = "8 bit, as the files have it"


def compare(
  a: str,
  b: str,
  *,
  metrics: Sequence[str] | Mapping[str, Mapping[str, Any]] | None = None,
  extractor: str | None = None,
  weights: str | None = None,
  resize: Literal["tf1", "pil"] | None = None,
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
    resize: of Inception, see there; None: tf1.
    n: at most so many images of each side, chosen at random. None: all.
    seed: of that choice.

  Raises:
    UsageError: one line.
  """
  settings = _settings(metrics, weights)
  if weights is None and extractor in (None, "random", "classifier", "inception"):
    _refuse_without_weights("inception" if extractor == "inception" else next(filter(_IS_FID, settings), None))
  try:
    sides = side_of(a, n, seed), side_of(b, n, seed)
    chosen = seed if any(len(side.rows) < side.source.count for side in sides) else None
    made = lambda count, net: {name: _metric(name, count, net, more, chosen) for name, more in settings.items()}
    made(len(sides[0].rows), lambda images: images)  # settings of which no number comes, before anything is read
    check = one_size()
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


_IS_FID = ("fid", "fid_infinity").__contains__


def _refuse_without_weights(what: str | None) -> None:
  """Raises UsageError for what is Inception's; None is not."""
  from genjax.metrics.inception import WANTED

  if what is not None:
    raise UsageError(
      f"{what} is in Inception's features: say --weights PATH of {WANTED}; the same distance in other features is the "
      "metric frechet"
    )


# Extractors -----------------------------------------------------------------------------------------------------------


def _net(name: str | None, weights: str | None, resize: str | None, reference: Side, check: Check) -> Any:
  """The extractor of a name. Raises UsageError, ValueError or OSError."""
  name = name or ("random" if weights is None else "inception")
  if weights is None and resize is not None:
    raise UsageError(f"--resize is Inception's, and --extractor is {name}; leave it out, or say --weights")
  if name != "inception" and weights is not None:
    raise UsageError(f"--weights are Inception's, and --extractor is {name}; leave one of them out")
  try:
    made = resolve("extractor", name)(**({"weights": weights, "resize": resize or "tf1"} if weights else {}))
  except LookupError as error:
    raise UsageError(f"--extractor {error}") from error
  if isinstance(made, Recipe):
    split = in_memory(reference, None if made.labels else PROBES, check)
    if made.labels and "label" not in split.examples:
      raise UsageError(f'"{reference.path}" has no labels to train a classifier on; two subfolders or more are labels')
    return made.make(split, split, len(reference.source.label_names) or None, reference.path)
  if hasattr(made, "features"):
    return made
  return function_extractor(made, in_memory(reference, PROBES, check).examples["image"])


# Measuring ------------------------------------------------------------------------------------------------------------


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
  of_a = read_side(a, wants, net, check)
  of_b = read_side(b, wants - of_net, None, check)

  @functools.cache
  def again() -> Read:
    read = read_side(b, of_net, net, check, quiet=True)
    if read.digest != of_b.digest:
      raise ValueError(f'"{b.path}" changed while it was read')
    return read

  mark = hashlib.sha256(f"{getattr(net, 'digest', None)} {of_b.digest}".encode()).hexdigest()
  made = metrics(of_a.count, net and Known(net, (again, lambda: of_a), mark))
  numbers = {}
  for pixels in (False, True):
    chosen = {name: metric for name, metric in made.items() if ("pixels" in metric.gathers) is pixels}
    images = (of_a.pixels, of_b.pixels) if pixels else (tickets(of_a.count, OF_A), tickets(of_b.count))
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
