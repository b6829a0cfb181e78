"""Attacks on two classifiers, each classifying the other's adversarial images: the columns of the thesis' Table 2.3.

Adversarial images are made for A, from all test images, also from those that A had wrong before. N_A of N fool A.

    adversarial error of A   N_A / N
    correction rate by B     1 - N_{A and B} / N_A: of the images that fool A, the share that B gets right

A is the baseline and B the method for "correction by method" (high is good), and the reverse for "correction by
baseline" (low is good: it is hard to fool the method with images that the baseline sees through).

Papers   Lee, Xu, Fan & Tu, CVPR 2018; dissertation (UCSD 2022) section 2.5.6, Tables 2.3 and 2.4
Shapes   N images, K classes. images [N, H, W, C] uint8, or float in [-1, 1]; labels [N] int; predictions [N] int.
Checked  tests/metrics/test_robustness.py
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import Array, Number
from genjax.metrics.card import QUANTISATION, Card, digest
from genjax.ops.attack import Attack, gradient_report
from genjax.ops.augment import to_unit

BATCH = 250
_FLOAT = "none: images stay float32"


class Model(NamedTuple):
  """A classifier under attack. Models of one `classify` and other parameters share what is compiled."""

  name: str  # for cards and tables
  classify: Callable[[Any, Array], Array]  # params, images [B, H, W, C] in [-1, 1] -> class logits [B, K]
  params: Any


class Robustness(NamedTuple):
  """A method beside its baseline, for one seed and one attack. All numbers are shares from 0 to 1."""

  baseline: str
  method: str
  clean_error_of_baseline: Number
  clean_error_of_method: Number
  adversarial_error_of_baseline: Number
  adversarial_error_of_method: Number
  correction_by_method: Number  # of the baseline's adversarial images
  correction_by_baseline: Number  # of the method's

  def values(self) -> dict[str, float]:
    """The bare values, for a log."""
    return {name: part.value for name, part in self._asdict().items() if isinstance(part, Number)}


# Counting -------------------------------------------------------------------------------------------------------------


def error(predictions: np.ndarray, labels: np.ndarray) -> float:
  """Share of predictions that are wrong; on A's adversarial images the adversarial error of A."""
  return float(np.mean(_wrong(predictions, labels)))


def correction_rate(of_a: np.ndarray, of_b: np.ndarray, labels: np.ndarray) -> float:
  """Of A's adversarial images that fool A, the share that B gets right: 1 - N_{A and B} / N_A.

  Args:
    of_a, of_b: [N] predictions of both on the images that were made for A.
    labels: [N].

  Returns:
    The share; NaN if no image fools A, for then there is nothing to correct.
  """
  fooled = _wrong(of_a, labels)
  if not fooled.any():
    return float("nan")
  return 1.0 - float(np.sum(fooled & _wrong(of_b, labels)) / np.sum(fooled))


def _wrong(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
  predictions, labels = np.asarray(predictions), np.asarray(labels)
  if predictions.shape != labels.shape or labels.ndim != 1 or not len(labels):
    raise ValueError(f"predictions are {list(predictions.shape)} and labels {list(labels.shape)}; wanted [N] both")
  return predictions != labels


# Measuring ------------------------------------------------------------------------------------------------------------


def robustness(
  key: Array,
  baseline: Model,
  method: Model,
  images: Any,
  labels: Any,
  *,
  attack: Attack,
  split: str,
  seed: int | None = None,
  batch: int = BATCH,
) -> Robustness:
  """Attacks both models on the same images and lets each classify the other's.

  Make `attack` once and hand the same object to every seed: it is part of what jit remembers.

  Args:
    key: of the attack's random starts; the numbers of PGD depend on it and on `batch`.
    baseline, method: the two models.
    images, labels: test images [N, H, W, C] and [N].
    attack: from genjax.ops.attack.
    split: names the images on the cards, e.g. "digits/test".
    seed: of the trainings, for the cards.
    batch: images at once; the last batch is filled up, so that each function compiles once.

  Raises:
    ValueError: shapes that do not fit, or a model whose logits are NaN or infinite.
  """
  images, labels = _checked(images, labels)
  key_baseline, key_method = jax.random.split(key)
  clean_b, on_b, method_on_b = _duel(key_baseline, baseline, method, images, labels, attack, batch)
  clean_m, on_m, baseline_on_m = _duel(key_method, method, baseline, images, labels, attack, batch)
  of_images = digest(images, labels)

  def number(metric: str, subject: str, value: float, attacked: bool = True) -> Number:
    card = Card(
      metric=metric,
      subject=subject,
      generated=len(images),
      reference=len(images),
      split=split,
      data_digest=of_images,
      seed=seed,
      precision=None,
      attack=attack.described if attacked else None,
      quantisation=_FLOAT if attacked or images.dtype != np.uint8 else QUANTISATION,
    )
    return Number(value, card)

  images_of = lambda a, b: f"adversarial images of {a.name}, classified by {b.name}"
  return Robustness(
    baseline.name,
    method.name,
    number("error", baseline.name, error(clean_b, labels), attacked=False),
    number("error", method.name, error(clean_m, labels), attacked=False),
    number("adversarial error", baseline.name, error(on_b, labels)),
    number("adversarial error", method.name, error(on_m, labels)),
    number("correction rate", images_of(baseline, method), correction_rate(on_b, method_on_b, labels)),
    number("correction rate", images_of(method, baseline), correction_rate(on_m, baseline_on_m, labels)),
  )


def gradient_shares(
  model: Model, images: Any, labels: Any, *, split: str, seed: int | None = None, batch: int = BATCH
) -> dict[str, Number]:
  """How much of a test set cross-entropy's gradient says nothing about; see the header of genjax.ops.attack.

  Returns:
    "zero images": share of images whose gradient is 0 in every pixel. "zero pixels": of pixels. "saturated": share of
    images whose label has a probability that float32 rounds to 1. "sign agreement": share of pixels where the
    gradient's sign is the exact one.
  """
  images, labels = _checked(images, labels)
  parts = _over_batches(partial(_report, model.classify, model.params), images, labels, batch)
  names = {"zero images": "zero", "zero pixels": "zero_pixels", "saturated": "saturated", "sign agreement": "agreement"}
  card = lambda metric: Card(
    metric=f"cross-entropy gradient: {metric}",
    subject=model.name,
    generated=len(images),
    reference=len(images),
    split=split,
    data_digest=digest(images, labels),
    seed=seed,
    precision=None,
  )
  return {name: Number(float(getattr(parts, field).mean()), card(name)) for name, field in names.items()}


def _duel(
  key: Array, a: Model, b: Model, images: np.ndarray, labels: np.ndarray, attack: Attack, batch: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Predictions [N] of A on clean images, and of A and of B on A's adversarial images."""
  attacked = partial(_attacked, attack.run, a.classify, b.classify, a.params, b.params, key)
  logits = _over_batches(attacked, images, labels, batch)
  for name, values in zip((a.name, a.name, b.name), logits, strict=True):
    bad = int((~np.isfinite(values)).any(axis=1).sum())
    if bad:
      raise ValueError(f"{name} gives NaN or infinite logits for {bad} of {len(images)} images; look at its training")
  return tuple(values.argmax(axis=1) for values in logits)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _attacked(run, classify_a, classify_b, params_a, params_b, key, number, images, labels):
  images = to_unit(images)
  adversarial = run(jax.random.fold_in(key, number), partial(classify_a, params_a), images, labels)
  return classify_a(params_a, images), classify_a(params_a, adversarial), classify_b(params_b, adversarial)


@partial(jax.jit, static_argnums=0)
def _report(classify, params, number, images, labels):
  del number
  return gradient_report(partial(classify, params), images, labels)


def _over_batches(function: Callable, images: np.ndarray, labels: np.ndarray, batch: int) -> Any:
  """function(number of the batch, images, labels) over all batches, its results joined on the host, in float32."""
  batch = min(batch, len(images))
  parts = []
  for number, start in enumerate(range(0, len(images), batch)):
    rows = np.arange(start, start + batch) % len(images)  # the last batch is filled from the front
    results = function(jnp.int32(number), images[rows], labels[rows])
    kept = min(batch, len(images) - start)
    parts.append(jax.tree.map(lambda x, kept=kept: np.asarray(x)[:kept].astype(np.float32), results))
  return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def _checked(images: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
  images, labels = np.asarray(images), np.asarray(labels)
  if images.ndim != 4 or labels.shape != images.shape[:1] or 0 in images.shape:
    raise ValueError(f"images are {list(images.shape)} and labels {list(labels.shape)}; wanted [N, H, W, C] and [N]")
  if not np.issubdtype(labels.dtype, np.integer):
    raise ValueError(f"labels are {labels.dtype}; wanted integers")
  return images, labels.astype(np.int32)


# Tables ---------------------------------------------------------------------------------------------------------------

_COLUMNS = ("method", "clean error", "adversarial error", "correction by method", "correction by baseline")


def table(results: Sequence[Robustness]) -> str:
  """Table 2.3 as Markdown: per cent, mean and deviation (ddof 1) over the seeds.

  Results of one attack, baseline and method are the seeds of one row. Each attack has its own table; a baseline's row
  stands above those of its methods. A correction rate that no seed has, because no image fooled the model, is "none
  fooled"; if some seeds lack it, the cell says how many have it.
  """
  if not results:
    raise ValueError("a table of no results; it takes one at least")
  tables: dict[tuple, dict[str, dict[str, list[Robustness]]]] = {}
  for result in results:
    card = result.adversarial_error_of_baseline.card
    baselines = tables.setdefault((card.attack, card.split, card.generated), {})
    baselines.setdefault(result.baseline, {}).setdefault(result.method, []).append(result)
  return "\n\n".join(_table(*how, baselines) for how, baselines in tables.items())


def _table(attack: str, split: str, count: int, baselines: dict[str, dict[str, list[Robustness]]]) -> str:
  seeds = sorted({len(rows) for methods in baselines.values() for rows in methods.values()})
  how_many = " or ".join(map(str, seeds)) + (" seed" if seeds == [1] else " seeds")
  lines = [f"{attack}; {count} images of {split}; {how_many}, in %", "", _row(_COLUMNS), _row(("---",) + ("---:",) * 4)]
  for baseline, methods in baselines.items():
    first = next(iter(methods.values()))
    lines.append(_row((baseline, *_cells(first, "clean_error_of_baseline", "adversarial_error_of_baseline"), "-", "-")))
    for method, rows in methods.items():
      of_method = ("clean_error_of_method", "adversarial_error_of_method")
      lines.append(_row((method, *_cells(rows, *of_method, "correction_by_method", "correction_by_baseline"))))
  return "\n".join(lines)


def _cells(rows: Sequence[Robustness], *names: str) -> list[str]:
  return [spread([getattr(row, name).value for row in rows]) for name in names]


def spread(values: Sequence[float]) -> str:
  """Shares as per cent: "7.99 ± 0.31", of one value "7.99"; NaN is left out and said."""
  known = 100 * np.array([value for value in values if not np.isnan(value)])
  if not len(known):
    return "none fooled"
  text = f"{known.mean():.2f}" + (f" ± {known.std(ddof=1):.2f}" if len(known) > 1 else "")
  return text if len(known) == len(values) else f"{text} ({len(known)} of {len(values)} seeds)"


def _row(cells: Sequence[str]) -> str:
  return f"| {' | '.join(cells)} |"
