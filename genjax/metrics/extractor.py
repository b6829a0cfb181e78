"""Offline feature extractors: 64 numbers an image, from a classifier trained here or from random convolutions.

Inception's weights need a download and know nothing of 8x8 digits. A small classifier of the same data ranks samples
of that data, costs seconds, and its card says what it is. Data without labels gets an untrained net of stated seed.
Features are divided by one number, so that over the training images their mean variance is 1: distances of different
extractors are then of like size (never equal: compare only under one sha256).

Shapes   N images [N, H, W, C], uint8 or float in [-1, 1]; features [N, 64] float32.
Checked  tests/metrics/test_extractor.py: at least 98 % on held-out digits, same digest twice, cache hit, corrupt cache.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import Array
from genjax.metrics import classifier
from genjax.metrics.card import digest
from genjax.metrics.pixels import as_uint8
from genjax.metrics.placing import copied, multiple, split
from genjax.metrics.stored import content, kept
from genjax.ops.augment import to_unit

_BATCH_PIXELS = 1 << 18  # pixels of one forward pass: some 50 MB of activations
_BATCH_MOST = 256
_PROBES = 64  # images whose features identify a function
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Extractor:
  """A frozen net that maps images to features.

  Attributes:
    net, params: the flax module and its parameters.
    scale: features are divided by it.
    size: height, width, channels that it reads.
    kind: "classifier" or "random".
    description: what it is, for the card.
    digest: sha256 of the parameters and the scale.
    accuracy: on held-out images; None where there are no labels.
  """

  net: classifier.Classifier
  params: Any
  scale: float
  size: tuple[int, int, int]
  kind: str
  description: str
  digest: str
  accuracy: float | None = None

  def features(self, images: Any) -> np.ndarray:
    """Features [N, 64] float32 of images [N, H, W, C], uint8 or float in [-1, 1] (rounded to 8 bit first)."""
    return self._forward(images)[1] / np.float32(self.scale)

  def logits(self, images: Any) -> np.ndarray:
    """Logits [N, classes] float32 of the same; of no meaning if `kind` is "random"."""
    return self._forward(images)[0]

  def outputs(self, images: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Features and logits of one forward pass; no logits if `kind` is "random"."""
    logits, features = self._forward(images)
    return features / np.float32(self.scale), logits if self.kind == "classifier" else None

  def _forward(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
    pixels = as_uint8(images)
    if pixels.shape[1:] != self.size:
      raise ValueError(f"images are {pixels.shape[1:]}; this extractor reads {self.size} and does not resize")
    params = jax.device_put(self.params, copied())
    return _in_batches(lambda part: classifier.forward(self.net, params, jax.device_put(part, split())), pixels)


def train_extractor(
  images: np.ndarray,
  labels: np.ndarray,
  *,
  classes: int,
  held_out_images: np.ndarray | None = None,
  held_out_labels: np.ndarray | None = None,
  data_name: str = "the given images",
  seed: int = 0,
  steps: int = 600,
  batch: int = 64,
  learning_rate: float = 6e-3,
  width: int = 24,
  cache: str | os.PathLike | None = None,
) -> Extractor:
  """A classifier of the images, from the cache if the same one was trained before.

  Args:
    images: [N, H, W, C] uint8, at least 2x2.
    labels: [N] whole numbers in 0 .. classes - 1.
    classes: at least 2.
    held_out_images, held_out_labels: what `accuracy` is measured on; both or neither.
    data_name: for the description.
    seed: of parameters, batches and shifts.
    steps, batch, learning_rate, width: of the training; Adam, cosine to 0.
    cache: folder; $GENJAX_CACHE or ~/.cache/genjax if None.

  Raises:
    ValueError: shapes or labels that do not fit.
  """
  images, labels = _checked(images, labels, classes, "training")
  net = classifier.Classifier(head_classes=classes, width=width)
  recipe = {
    "recipe": classifier.RECIPE, "data": digest(images, labels), "classes": classes, "seed": seed, "steps": steps,
    "batch": batch, "learning_rate": learning_rate, "width": width, "jax": jax.__version__,
  }  # fmt: skip

  def make() -> dict[str, np.ndarray]:
    started = time.perf_counter()
    key = jax.random.key(seed)
    params, losses = classifier.trained(net, key, images, jnp.asarray(labels), steps, batch, learning_rate)
    losses = np.asarray(losses)
    if not np.isfinite(losses).all():
      raise ValueError(f"the extractor's loss is not finite from step {int(np.argmin(np.isfinite(losses)))} on")
    _log.info("trained the metric's classifier of %s in %.1f s", data_name, time.perf_counter() - started)
    return _scaled(net, params, images)

  stored = kept("extractor", recipe, make, cache=cache)
  description = f"{classifier.FEATURES} features of a small classifier trained on {data_name}, not Inception"
  extractor = _extractor(net, stored, images.shape[1:], "classifier", description)
  if held_out_images is None or held_out_labels is None:
    return extractor
  held_images, held_labels = _checked(held_out_images, held_out_labels, classes, "held-out")
  accuracy = float(np.mean(extractor.logits(held_images).argmax(axis=1) == held_labels))
  return _extractor(net, stored, images.shape[1:], "classifier", description, accuracy)


def random_extractor(images: np.ndarray, *, seed: int = 0, width: int = 24) -> Extractor:
  """The same net untrained, for data without labels: weak and honest. The images set the scale only."""
  images = as_uint8(images, name="training images")
  net = classifier.Classifier(head_classes=2, width=width)
  stored = _scaled(net, classifier.untrained(net, jax.random.key(seed), images.shape[1:]), images)
  description = f"{classifier.FEATURES} random features of an untrained convolutional net (seed {seed}), not Inception"
  return _extractor(net, stored, images.shape[1:], "random", description)


def make_extractor(
  train: Mapping[str, np.ndarray],
  held_out: Mapping[str, np.ndarray],
  *,
  classes: int | None,
  data_name: str,
  seed: int = 0,
) -> Extractor:
  """A classifier where the data has labels of two classes at least, else random features.

  Args:
    train, held_out: "image" [N, H, W, C] uint8 and, where there are labels, "label" [N].
    classes: number of labels; None if there are none.
    data_name: for the card.
    seed: of the extractor.
  """
  if classes is None or classes < 2:
    return random_extractor(train["image"], seed=seed)
  return train_extractor(
    train["image"],
    train["label"],
    classes=classes,
    held_out_images=held_out["image"],
    held_out_labels=held_out["label"],
    data_name=data_name,
    seed=seed,
  )


@dataclass(frozen=True, eq=False)
class FunctionExtractor:
  """Features by a function of images, made by `function_extractor`.

  Attributes:
    apply: images [B, H, W, C] uint8 -> [B, D] float32, compiled.
    description: what it is, for the card.
    digest: sha256 that identifies the function.
    gives_logits: whether the features are logits of classes.
  """

  apply: Callable[[Array], Array]
  description: str
  digest: str
  gives_logits: bool = False

  def features(self, images: Any) -> np.ndarray:
    """Features [N, D] float32 of images [N, H, W, C], uint8 or float in [-1, 1] (rounded to 8 bit first)."""
    return _in_batches(self.apply, as_uint8(images))

  def outputs(self, images: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """The features, and the same as logits where the function gives logits."""
    features = self.features(images)
    return features, features if self.gives_logits else None


def function_extractor(function: Callable[[Array], Array], images: np.ndarray) -> FunctionExtractor:
  """The features that a function gives, for example the view `encode` or `classify` of another run.

  Args:
    function: images [B, H, W, C] float32 in [-1, 1] -> [B, ...]; traceable. Its attributes `description`, `digest` and
      `logits` (True: it gives class logits) are used where it has them.
    images: [N, H, W, C] uint8; the function's features of the first ones are its digest where it has none of its own.

  Raises:
    ValueError: the function does not give one array with a row for each image.
  """

  @jax.jit
  @classifier.highest
  def apply(pixels):
    features = function(to_unit(pixels))
    if not isinstance(features, jax.Array) or features.shape[:1] != pixels.shape[:1]:
      raise ValueError(
        f"an extractor gave {jax.tree.map(jnp.shape, features)} for {len(pixels)} images; wanted [B, ...]"
      )
    return features.reshape(len(pixels), -1).astype(jnp.float32)

  description = getattr(function, "description", "features of a net of another run, not Inception")
  known = getattr(function, "digest", None) or digest(_in_batches(apply, as_uint8(images[:_PROBES])))
  return FunctionExtractor(apply, description, known, bool(getattr(function, "logits", False)))


def _in_batches(function: Callable[[np.ndarray], Any], pixels: np.ndarray) -> Any:
  """What a function gives for images [N, H, W, C] uint8, a batch of one size at a time, joined on the host."""
  batch = multiple(max(1, min(_BATCH_MOST, _BATCH_PIXELS // (pixels.shape[1] * pixels.shape[2]))))
  parts = []
  for start in range(0, len(pixels), batch):
    part = pixels[start : start + batch]
    kept = len(part)
    padded = np.concatenate([part, np.zeros((batch - kept, *pixels.shape[1:]), np.uint8)])
    parts.append(jax.tree.map(lambda x, kept=kept: x[:kept], jax.device_get(function(padded))))
  return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def _checked(images, labels, classes: int, name: str) -> tuple[np.ndarray, np.ndarray]:
  images = as_uint8(images, name=f"{name} images")
  labels = np.asarray(labels)
  if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
    raise ValueError(f"{name} labels are {labels.dtype}{list(labels.shape)}; wanted whole numbers, [{len(images)}]")
  if classes < 2 or labels.min() < 0 or labels.max() >= classes:
    raise ValueError(f"{name} labels go from {labels.min()} to {labels.max()}; wanted 0 to {classes - 1}, two at least")
  return images, labels.astype(np.int32)


def _extractor(net, stored: dict[str, np.ndarray], size, kind, description, accuracy=None) -> Extractor:
  params = flax.traverse_util.unflatten_dict({k: v for k, v in stored.items() if k != "scale"}, sep="/")
  return Extractor(net, params, float(stored["scale"]), size, kind, description, content(stored), accuracy)


def _scaled(net: classifier.Classifier, params: Any, images: np.ndarray) -> dict[str, np.ndarray]:
  """Parameters by path, with the scale that makes the mean variance of the features of the images 1."""
  bare = Extractor(net, params, 1.0, images.shape[1:], "", "", "")
  scale = np.sqrt(bare.features(images).astype(np.float64).var(axis=0).mean())
  flat = flax.traverse_util.flatten_dict(jax.device_get(params), sep="/")
  return {**flat, "scale": np.float64(scale if scale > 0 else 1.0)}
