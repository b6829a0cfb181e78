"""Metrics in a feature space: which net gives the features, those of held-out images, and what all such metrics share.

Shapes   N images [N, H, W, C] uint8; features [N, d], logits [N, K] float32.
Checked  tests/metrics/test_features.py, test_metrics_contract.py
"""

import functools
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from genjax.core import Array, Dataset, Metric, Number, Split, State
from genjax.metrics import generated, stored
from genjax.metrics.card import Card, digest
from genjax.metrics.extractor import function_extractor, make_extractor, random_extractor, train_extractor
from genjax.metrics.generated import Drawn, gathered
from genjax.metrics.pixels import as_uint8
from genjax.metrics.real import name_of, once, train_and_held_out
from genjax.ops.frechet import Moments

_CHUNK = 2048  # real images whose features are on the host at once where only moments are kept


class Features(Protocol):
  """What a metric asks of an extractor, whichever net is behind it.

  It may also have `outputs(images) -> (features, logits or None)`, and `resize` and `scaling` for the card.
  """

  description: str  # for the card
  digest: str  # sha256 of the net's parameters

  def features(self, images: Any) -> np.ndarray:
    """[N, H, W, C] to [N, D]."""


class Recipe(NamedTuple):
  """An extractor that is made from the data: (train, held-out, classes, name of the data) -> Features."""

  make: Callable[[Split, Split, int | None, str], Features]
  labels: bool  # whether it is trained on labels, and has logits


# Rows of the registry -------------------------------------------------------------------------------------------------


def classifier(*, extractor_seed: int = 0, steps: int = 600, width: int = 24) -> Recipe:
  """A small classifier trained on the training split; its logits are those of the data's classes.

  Args:
    extractor_seed: of its parameters, batches and shifts; numbers compare only under one.
    steps, width: of the training and the net, see metrics/extractor.py.
  """

  def make(train: Split, held_out: Split, classes: int | None, name: str) -> Features:
    return train_extractor(
      train.examples["image"],
      train.examples["label"],
      classes=classes or 0,
      held_out_images=held_out.examples["image"],
      held_out_labels=held_out.examples["label"],
      data_name=name,
      seed=extractor_seed,
      steps=steps,
      width=width,
    )

  return Recipe(make, labels=True)


def random(*, extractor_seed: int = 0, width: int = 24) -> Recipe:
  """The same net untrained: it needs no labels and has no logits. The arguments are those of `classifier`."""

  def make(train: Split, held_out: Split, classes: int | None, name: str) -> Features:
    del held_out, classes, name
    return random_extractor(train.examples["image"], seed=extractor_seed, width=width)

  return Recipe(make, labels=False)


# Real images ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Real:
  """Held-out images in an extractor's features; each kind is worked out when it is first asked for, and kept on disk.

  Attributes:
    extractor: the net.
    pixels: [N, H, W, C] uint8.
    split: their name, for cards.
    digest: sha256 of the pixels.
    labels: [N], or None.
  """

  extractor: Features
  pixels: np.ndarray
  split: str
  digest: str
  labels: np.ndarray | None = None

  @functools.cached_property
  def moments(self) -> Moments:
    """Of the features."""
    made = stored.kept("reference", self._recipe("moments"), self._moments)
    return Moments(int(made["count"]), made["mean"], made["m2"])

  @functools.cached_property
  def features(self) -> np.ndarray:
    """[N, d] float32."""
    make = lambda: {"features": np.asarray(self.extractor.features(self.pixels), np.float32)}
    return stored.kept("reference", self._recipe("features"), make)["features"]

  @functools.cached_property
  def logits(self) -> np.ndarray:
    """[N, K] float32."""
    make = lambda: {"logits": generated.outputs_of(self.extractor, self.pixels, logits=True)[1]}
    return stored.kept("reference", self._recipe("logits"), make)["logits"]

  def _recipe(self, what: str) -> dict[str, str]:
    where = {"jax": jax.__version__, "backend": jax.default_backend()}
    return {"what": what, "images": self.digest, "extractor": self.extractor.digest, **where}

  def _moments(self) -> dict[str, np.ndarray]:
    moments = None
    for start in range(0, len(self.pixels), _CHUNK):
      moments = generated.moments_of(self.extractor.features(self.pixels[start : start + _CHUNK]), moments)
    return {"count": np.int64(moments.count), "mean": moments.mean, "m2": moments.m2}


_OPENED: "weakref.WeakValueDictionary[tuple, Any]" = weakref.WeakValueDictionary()  # what metrics of a process share


def real_of(extractor: Features, images: Any, *, split: str, labels: np.ndarray | None = None) -> Real:
  """Held-out images [N, H, W, C]; `split` names them on the card. One object for all who ask for the same."""
  pixels = as_uint8(images, name="reference images")
  mark = (digest(pixels), extractor.digest, split, None if labels is None else digest(np.asarray(labels)))
  known = _OPENED.get(mark)
  if known is None:
    known = _OPENED[mark] = Real(extractor, pixels, split, mark[0], labels)
  return known


# What all metrics of features share -----------------------------------------------------------------------------------


class Space(NamedTuple):
  """The data of a metric: its training and held-out images, the latter in features, and a check before all that."""

  images: Callable[[Dataset], tuple[Split, Split]]
  opened: Callable[[Dataset], tuple[Real, np.ndarray]]  # and the training images
  check: Callable[[Dataset], None]


def space(
  split: str, train_split: str, extractor: Any, extractor_seed: int, *, logits: bool = False, labels: bool = False
) -> Space:
  """The feature space of a metric.

  Args:
    split, train_split, extractor, extractor_seed: arguments of the metric, see `frechet`.
    logits: whether the metric needs class logits.
    labels: whether it needs labels of the held-out images.

  Raises:
    ValueError: an extractor that is none.
  """
  complete = all(hasattr(extractor, name) for name in ("features", "description", "digest"))
  if not (extractor is None or isinstance(extractor, Recipe) or complete or callable(extractor)):
    raise ValueError(f"extractor {extractor!r}; wanted metrics.frechet.Features, or a function of images")
  images = once(lambda data: _images(data, train_split, split))
  opened = once(lambda data: _opened(data, *images(data), extractor, extractor_seed))

  def check(data: Dataset) -> None:
    train, held_out = images(data)
    made_here = extractor is None or isinstance(extractor, Recipe)
    height, width = train.examples["image"].shape[1:3]
    if made_here and min(height, width) < 2:
      raise ValueError(f"{train.name} has images of {height}x{width}; features need 2x2, or an extractor")
    labelled = (data.facts.get("classes") or 0) > 1
    if isinstance(extractor, Recipe) and extractor.labels and not labelled:
      raise ValueError(f"{train.name} has no classes, so no classifier is trained on it; use extractor=random")
    if logits and not (_has_logits(extractor) or (extractor is None and labelled)):
      raise ValueError(
        "class logits are needed, which these features do not have; use extractor=classifier or inception"
      )
    if labels and held_out.examples.get("label") is None:
      raise ValueError(f"{held_out.name} has no labels; leave the metric out")

  return Space(images, opened, check)


def _has_logits(extractor: Any) -> bool:
  if isinstance(extractor, Recipe):
    return extractor.labels
  return hasattr(extractor, "outputs") or bool(getattr(extractor, "logits", False))


def _images(data: Dataset, train_split: str, split: str) -> tuple[Split, Split]:
  """Training and held-out images, with labels where the data have classes. Raises ValueError."""
  both = train_and_held_out(data, train_split, split)
  for real in both:
    if (data.facts.get("classes") or 0) > 1 and real.examples.get("label") is None:
      raise ValueError(f"{real.name} has no labels, though the data have {data.facts['classes']} classes")
  return both


def _opened(data: Dataset, train: Split, held_out: Split, extractor: Any, seed: int) -> tuple[Real, np.ndarray]:
  images, name, classes = train.examples["image"], name_of(data, train), data.facts.get("classes")
  if extractor is None:
    mark = (digest(images), train.digest, held_out.digest, name, classes, seed)
    known = _OPENED.get(mark)
    if known is None:
      known = make_extractor(train.examples, held_out.examples, classes=classes, data_name=name, seed=seed)
      _OPENED[mark] = known
    extractor = known
  elif isinstance(extractor, Recipe):
    extractor = extractor.make(train, held_out, classes, name)
  elif callable(extractor) and not hasattr(extractor, "features"):
    extractor = function_extractor(extractor, images)
  real = real_of(extractor, held_out.examples["image"], split=held_out.name, labels=held_out.examples.get("label"))
  return real, images


class Value(NamedTuple):
  """A number before it has its card: what the metric is called there, with its settings, and what warns."""

  value: float
  metric: str
  warning: str | None = None
  reference: int | None = None  # real images that it was measured against; None: all


def card_of(
  value: Value, real: Real, generated: int, *, subject: str = "samples", ema: bool | str | None, seed: int | None
) -> Card:
  """The card of a number in features."""
  return Card(
    metric=value.metric,
    subject=subject,
    extractor=real.extractor.description,
    extractor_sha256=real.extractor.digest,
    resize=getattr(real.extractor, "resize", "none"),
    scaling=getattr(real.extractor, "scaling", "[-1, 1]"),
    generated=generated,
    reference=len(real.pixels) if value.reference is None else value.reference,
    split=real.split,
    data_digest=real.digest,
    ema=ema,
    seed=seed,
    warning=value.warning,
  )


def check_samples(samples: int, what: str, least: int = 2) -> None:
  """Raises ValueError for fewer samples than `what` takes."""
  if samples < least:
    number = {2: "two"}.get(least, str(least))
    raise ValueError(f"samples {samples}; {what} takes {number} at least, and some hundreds to say anything")


def feature_metric(
  compare: Callable[[Drawn, Real], Mapping[str, Value]],
  better: Mapping[str, str],
  *,
  wants: str,
  split: str,
  samples: int,
  train_split: str,
  extractor: Any,
  extractor_seed: int,
  seed: int | None,
  ema: bool | None,
  least: int = 2,
  labels: bool = False,
  what: str = "a comparison",
) -> Metric:
  """A metric of samples against held-out images in an extractor's features.

  Args:
    compare: what is kept of the samples, and the real images -> every number of `better`.
    better: as in core.Metric.
    wants: what is kept of the samples: "moments", "features" or "logits".
    split, samples, train_split, extractor, extractor_seed, seed, ema: arguments of the metric, see `frechet`.
    least: samples at least.
    labels: whether the labels of the held-out images are needed.
    what: for the error of too few samples.
  """
  check_samples(samples, what, least)
  it = space(split, train_split, extractor, extractor_seed, logits=wants == "logits", labels=labels)

  def measure(key: Array, views: Mapping[str, Callable], state: State, data: Dataset) -> dict[str, Number]:
    real, train = it.opened(data)
    drawn = gathered(
      views["sample"], key, state, samples, real=train, wants=frozenset({wants}), extractor=real.extractor
    )
    values = compare(drawn, real)
    card = lambda value: card_of(value, real, samples, ema=ema, seed=seed)
    return {name: Number(float(value.value), card(value)) for name, value in values.items()}

  return Metric(("sample",), measure, better, it.check, samples, (wants,))
