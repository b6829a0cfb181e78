"""Does the score f separate images like its training data from others? AUROC, AUPR and FPR at 95 % TPR, set by set.

In-distribution images are the positives: f should be high on them. An energy model that is one can do this without
ever having seen the other sets. Most need no download, and each asks something else:

    uniform noise   is f low where there is no image at all?
    constant        is f high on whatever is smooth? one colour per image
    permuted        each image's own pixels in a random order: colours are right, structure is not
    inverted        255 - x: structure is right, colours are not (nearly in-distribution where both signs occur)
    rotated         a quarter turn, or half a turn of images that are no squares (some digits stay digits)

The caller adds what it has: start noise p0 of its sampler, textures, another data set.

Papers   Hendrycks & Gimpel 2017, arXiv:1610.02136; scores of energy models: Grathwohl et al. 2020, arXiv:1912.03263
Shapes   N images [N, H, W, C] uint8, or float in [-1, 1], then rounded to 8 bit: f must not look at the rounding.
Checked  tests/metrics/test_detection.py
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import numpy as np

from genjax.core import Array, Dataset, Metric, Number, State
from genjax.metrics.card import Card, digest
from genjax.metrics.pixels import as_uint8, paired
from genjax.metrics.real import once, real_images
from genjax.ops.augment import to_unit
from genjax.ops.ranking import aupr, auroc, fpr_at_tpr

BATCH = 250
MEASURES: dict[str, Callable[[Any, Any], float]] = {"auroc": auroc, "aupr": aupr, "fpr at 95% tpr": fpr_at_tpr}
SETS = ("uniform noise", "constant", "permuted", "inverted", "rotated")  # that need no download


def detection(
  *,
  split: str = "test",
  by: Literal["score", "confidence"] = "score",
  against: Dataset | None = None,
  against_split: str = "test",
  out_seed: int = 0,
  seed: int | None = None,
  ema: bool | None = None,
) -> Metric:
  """The metrics "auroc_<set>" for every set of SETS, and for another data set.

  Args:
    split: the images that are in-distribution.
    by: "score" is the view of this name, f; "confidence" the largest log-probability of the view "classify".
    against: another data set, whose images have the same size.
    against_split: of that data set.
    out_seed: of the sets that are drawn.
    seed, ema: of the training, and whether the weights are averaged, for the card.
  """
  view = {"score": "score", "confidence": "classify"}[by]
  names = {name: f"auroc_{name.replace(' ', '_')}" for name in SETS}
  if against is not None:
    other = str(against.facts.get("name", "other"))
    names[other] = f"auroc_{other}"

  @once
  def opened(data: Dataset) -> tuple[Any, dict[str, np.ndarray]]:
    real = real_images(data, split)
    sets = out_sets(real.examples["image"], seed=out_seed)
    if against is not None:
      sets[other] = real_images(against, against_split).examples["image"]
      paired(sets[other], real.examples["image"], name=f"images of {other}")
    return real, sets

  def measure(key: Array, views: Mapping[str, Callable], state: State, data: Dataset) -> dict[str, Number]:
    del key
    real, sets = opened(data)
    score = lambda images: views[view](state, images)
    detector = score if by == "score" else confidence(score)
    apart = separation(detector, real.examples["image"], sets, split=real.name, subject=by, seed=seed, ema=ema)
    return {name: apart[other]["auroc"] for other, name in names.items()}

  def check(data: Dataset) -> None:
    opened(data)

  return Metric((view,), measure, dict.fromkeys(names.values(), "higher"), check)


def confidence(classify: Callable[[Array], Array]) -> Callable[[Array], Array]:
  """Images -> the largest log-probability of a class [B], by class logits [B, K]."""
  return lambda images: jax.nn.log_softmax(classify(images)).max(-1)


def separation(
  score: Callable[[Array], Array],
  in_images: Any,
  out_images: Mapping[str, Any],
  *,
  split: str,
  subject: str = "score",
  seed: int | None = None,
  ema: bool | None = None,
  batch: int = BATCH,
) -> dict[str, dict[str, Number]]:
  """Scores the in-distribution images once, then every other set against them.

  Args:
    score: images [B, H, W, C] float32 in [-1, 1] -> [B], high where in-distribution; traceable.
    in_images: held-out images of the data that the model was trained on.
    out_images: set name to images, of the same height, width and channels; any number of them.
    split: names the in-distribution images on the cards, e.g. "digits/test".
    subject: whose score it is.
    seed, ema: of its training, and whether its weights are averaged.
    batch: images scored at once.

  Returns:
    set name -> "auroc", "aupr", "fpr at 95% tpr" -> the number.

  Raises:
    ValueError: images of other sizes, no image, or NaN among the scores; names the set.
  """
  if not out_images:
    raise ValueError("detection against no set; give out_images at least one, e.g. those of `out_sets`")
  inside = as_uint8(in_images, name="in-distribution images")
  others = {name: paired(images, inside, name=f"images of {name!r}") for name, images in out_images.items()}
  scored = jax.jit(lambda pixels: score(to_unit(pixels)))
  of_inside, of_images = scores(scored, inside, batch, "in-distribution images"), digest(inside)
  numbers = {}
  for name, pixels in others.items():
    of_others = scores(scored, pixels, batch, f"images of {name!r}")
    card = lambda metric, name=name, pixels=pixels: Card(
      metric=metric,
      subject=subject,
      generated=len(pixels),
      reference=len(inside),
      split=f"{split} against {name}",
      data_digest=of_images,
      seed=seed,
      ema=ema,
      precision=None,
    )
    numbers[name] = {metric: Number(rule(of_inside, of_others), card(metric)) for metric, rule in MEASURES.items()}
  return numbers


def scores(scored: Callable[[Array], Array], pixels: np.ndarray, batch: int, name: str) -> np.ndarray:
  """Scores [N] of images [N, H, W, C], `batch` at a time; the last batch is filled up, so that one shape compiles."""
  batch, parts = min(batch, len(pixels)), []
  for start in range(0, len(pixels), batch):
    values = np.asarray(scored(pixels[np.arange(start, start + batch) % len(pixels)]))
    if values.shape != (batch,):
      raise ValueError(f"the score of {batch} {name} has shape {list(values.shape)}; wanted one number per image")
    parts.append(values[: len(pixels) - start])
  values = np.concatenate(parts).astype(np.float64)
  if np.isnan(values).any():
    raise ValueError(f"the score of {int(np.isnan(values).sum())} of {len(pixels)} {name} is NaN; look at its training")
  return values


def out_sets(images: Any, *, seed: int = 0) -> dict[str, np.ndarray]:
  """Sets that need no download, each like `images` [N, H, W, C] in number and size, uint8.

  Returns:
    those of SETS, as the header describes them.
  """
  pixels = as_uint8(images)
  rng_noise, rng_constant, rng_permuted = np.random.default_rng(seed).spawn(3)
  count, height, width, channels = pixels.shape
  colours = rng_constant.integers(0, 256, size=(count, 1, 1, channels), dtype=np.uint8)
  order = rng_permuted.random((count, height * width, 1)).argsort(axis=1)
  permuted = np.take_along_axis(pixels.reshape(count, height * width, channels), order, axis=1)
  return {
    "uniform noise": rng_noise.integers(0, 256, size=pixels.shape, dtype=np.uint8),
    "constant": np.broadcast_to(colours, pixels.shape).copy(),
    "permuted": permuted.reshape(pixels.shape),
    "inverted": 255 - pixels,
    "rotated": np.rot90(pixels, 1 if height == width else 2, (1, 2)).copy(),
  }
