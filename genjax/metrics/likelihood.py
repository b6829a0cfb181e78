"""How likely held-out examples are to a model that has a log-likelihood, or a bound of it.

Papers   binarisation  Salakhutdinov & Murray 2008, "On the quantitative analysis of deep belief networks": grey levels
                       as probabilities of white, drawn once ("static") or anew ("dynamic")
         weights       Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, eq 8: `importance_samples`
Departs  The static images are drawn here, by ops/levels.py, from a key that each image makes; those that papers share
         are a file.
Shapes   N examples: images [N, H, W, C] uint8, or tokens [N, L].
Checked  tests/metrics/test_likelihood.py: a model whose likelihood is known; a split that no batch divides
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import Array, Batch, Dataset, Metric, Number, Raw, State, named_key
from genjax.metrics.card import Card, digest
from genjax.metrics.real import once, split_of
from genjax.ops.levels import binarised
from genjax.ops.likelihood import Likelihood, log_mean_exp

BATCH = 250
Binarisation = Literal["none", "static", "dynamic"]
_READ = ("tokens", "image")  # what the views may be asked about, by its name in a batch


class _How(NamedTuple):
  """What of a measurement is compiled."""

  batch: int
  importance_samples: int | None
  binarisation: Binarisation


def log_prob(*, split: str = "test", batch: int = BATCH, seed: int | None = None, ema: bool | None = None) -> Metric:
  """The metrics "log_prob", the mean in nats an example, and "bits", -log2 p for each of its numbers (pixel, token).

  Both are as exact as the view is: a bound where that is one, a density where images are taken as real numbers.

  Args:
    split: held-out examples.
    batch: examples at once; the last batch is filled up, and what fills it is not counted.
    seed: of the training, for the card.
    ema: whether the model has averaged weights, for the card.
  """
  values = lambda mean, size: {"log_prob": mean, "bits": -mean / size / math.log(2)}
  return _metric(values, {"log_prob": "higher", "bits": "lower"}, split, _How(batch, None, "none"), seed, ema)


def nats(
  *,
  split: str = "test",
  batch: int = BATCH,
  importance_samples: int | None = None,
  binarisation: Binarisation = "none",
  seed: int | None = None,
  ema: bool | None = None,
) -> Metric:
  """The metric "nats": the mean of -log p(x) over held-out examples x. The card says whether it is exact or a bound.

  Args:
    split: held-out examples.
    batch: examples at once; the last batch is filled up, and what fills it is not counted.
    importance_samples: K, draws for each example of the view "log_weight", one after the other, of which log p(x) is
      the log of the mean of exp: a bound that rises with K. None: the view "log_prob", once.
    binarisation: "static" or "dynamic": images become black and white, drawn once for all measurements, or in each.
    seed: of the training, for the card.
    ema: whether the model has averaged weights, for the card.
  """
  how = _How(batch, importance_samples, binarisation)
  return _metric(lambda mean, size: {"nats": -mean}, {"nats": "lower"}, split, how, seed, ema)


def bits_per_dim(
  *,
  split: str = "test",
  batch: int = BATCH,
  importance_samples: int | None = None,
  binarisation: Binarisation = "none",
  seed: int | None = None,
  ema: bool | None = None,
) -> Metric:
  """The metric "bits_per_dim": the mean of -log2 p(x) for each number of x (pixel and channel, token).

  Args:
    split, batch, importance_samples, binarisation, seed, ema: as those of `nats`.
  """
  how = _How(batch, importance_samples, binarisation)
  values = lambda mean, size: {"bits_per_dim": -mean / size / math.log(2)}
  return _metric(values, {"bits_per_dim": "lower"}, split, how, seed, ema)


def _metric(
  values: Callable[[float, int], dict[str, float]],
  better: Mapping[str, Any],
  split: str,
  how: _How,
  seed: int | None,
  ema: bool | None,
) -> Metric:
  """The Metric of numbers that follow from the mean log p of an example and how many numbers it has."""
  for name, count in (("batch", how.batch), ("importance_samples", how.importance_samples)):
    if count is not None and count < 1:
      raise ValueError(f"{name} {count}; use at least 1")
  if how.binarisation not in ("none", "static", "dynamic"):
    raise ValueError(f"binarisation {how.binarisation!r}; use 'none', 'static' or 'dynamic'")
  needs = "log_prob" if how.importance_samples is None else "log_weight"
  opened = once(lambda data: _opened(data, split, how.binarisation))

  def measure(key: Array, views: Mapping[str, Callable], state: State, data: Dataset) -> dict[str, Number]:
    held_out, name, examples, content = opened(data)
    mean = _mean(key, views[needs], state, data, name, examples, how)
    says = views["likelihood"](state) if "likelihood" in views else None
    made = data.facts.get("binarisation", "none") if how.binarisation == "none" else how.binarisation
    card = lambda metric: Card(
      metric=metric,
      subject="model",
      generated=len(examples),
      reference=len(examples),
      split=held_out,
      data_digest=content,
      quantisation="none",
      ema=ema,
      seed=seed,
      precision=None,
      binarisation=made if name == "image" else None,
      **_said(says, how.importance_samples),
    )
    numbers = values(mean, math.prod(examples.shape[1:]))
    return {metric: Number(value, card(metric)) for metric, value in numbers.items()}

  return Metric((needs,), measure, better, lambda data: opened(data) and None)


def _said(likelihood: Likelihood | None, importance_samples: int | None) -> dict[str, Any]:
  """The card's fields of a likelihood; a mean of importance weights is a bound."""
  if likelihood is None:
    return {"importance_samples": importance_samples}
  own = likelihood.importance_samples if likelihood.kind == "bound" else None
  return {
    "likelihood": f"{likelihood.kind} {likelihood.of}",
    "dequantisation": likelihood.dequantisation,
    "importance_samples": importance_samples or own,
  }


def _opened(data: Dataset, split: str, binarisation: Binarisation) -> tuple[str, str, np.ndarray, str]:
  """The name of the split, of what is read in a batch, the examples, their digest. Raises ValueError."""
  real = split_of(data, split)
  wanted = _READ if binarisation == "none" else ("image",)
  name = next((name for name in wanted if name in real.examples), None)
  if name is None or not len(real.examples[name]):
    raise ValueError(f"{real.name} has {', '.join(real.examples) or 'nothing'}; wanted {' or '.join(wanted)}")
  examples = np.asarray(real.examples[name])
  return real.name, name, examples, digest(examples)


def _mean(key: Array, view: Callable, state: Any, data: Dataset, name: str, examples: np.ndarray, how: _How) -> float:
  total, parts = len(examples), []
  key_images, key_weights = jax.random.split(named_key(key, "likelihood"))
  for start in range(0, total, how.batch):
    rows = np.arange(start, start + how.batch)
    keys = tuple(jax.random.fold_in(key, start) for key in (key_images, key_weights))
    parts.append(_summed(view, data.prepare, name, how, keys, state, {name: examples[rows % total]}, rows < total))
  return float(np.asarray(jax.device_get(parts), np.float64).sum() / total)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _summed(
  view: Callable,
  prepare: Callable,
  name: str,
  how: _How,
  keys: tuple[Array, Array],
  state: Any,
  raw: Raw,
  counts: Array,
) -> Array:
  batch: Batch = prepare(None, raw)
  x, (key_images, key_weights) = batch[name], keys
  if how.binarisation != "none":
    x = binarised(None if how.binarisation == "static" else key_images, x)
  if how.importance_samples is None:
    each = view(state, x)
  else:
    each = log_mean_exp(key_weights, lambda key: view(key, state, x), how.importance_samples)
  return jnp.where(counts, each, 0.0).sum()
