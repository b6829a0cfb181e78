"""How likely held-out examples are to a model that has a log-likelihood, or a bound of it.

Shapes   N examples: images [N, H, W, C] uint8, or tokens [N, L].
Checked  tests/metrics/test_likelihood.py: a model whose likelihood is known; a split that no batch divides
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.core import Array, Batch, Dataset, Metric, Number, Raw, State
from genjax.metrics.card import Card, digest
from genjax.metrics.real import once, split_of

BATCH = 250
_READ = ("tokens", "image")  # what the view log_prob may be asked about, by its name in a batch
LogProb = Callable[[Any, Array], Array]


def log_prob(*, split: str = "test", batch: int = BATCH, seed: int | None = None, ema: bool | None = None) -> Metric:
  """The metrics "log_prob", the mean in nats an example, and "bits", -log2 p for each of its numbers (pixel, token).

  Both are as exact as the view is: a bound where that is one, a density where images are taken as real numbers.

  Args:
    split: held-out examples.
    batch: examples at once; the last batch is filled up, and what fills it is not counted.
    seed: of the training, for the card.
    ema: whether the model has averaged weights, for the card.
  """
  if batch < 1:
    raise ValueError(f"batch {batch}; use at least 1")
  opened = once(lambda data: _opened(data, split))

  def measure(key: Array, views: Mapping[str, Callable], state: State, data: Dataset) -> dict[str, Number]:
    del key
    held_out, name, examples, content = opened(data)
    total, size = len(examples), math.prod(examples.shape[1:])
    mean = _mean(views["log_prob"], state, data, name, examples, batch)
    card = lambda metric: Card(
      metric=metric,
      subject="model",
      generated=total,
      reference=total,
      split=held_out,
      data_digest=content,
      quantisation="none",
      ema=ema,
      seed=seed,
      precision=None,
    )
    values = {"log_prob": mean, "bits": -mean / size / math.log(2)}
    return {metric: Number(value, card(metric)) for metric, value in values.items()}

  return Metric(("log_prob",), measure, {"log_prob": "higher", "bits": "lower"}, lambda data: opened(data) and None)


def _opened(data: Dataset, split: str) -> tuple[str, str, np.ndarray, str]:
  """The name of the split, of what is read in a batch, the examples, their digest. Raises ValueError."""
  real = split_of(data, split)
  name = next((name for name in _READ if name in real.examples), None)
  if name is None or not len(real.examples[name]):
    raise ValueError(f"{real.name} has {', '.join(real.examples) or 'nothing'}; wanted {' or '.join(_READ)}")
  examples = np.asarray(real.examples[name])
  return real.name, name, examples, digest(examples)


def _mean(view: LogProb, state: Any, data: Dataset, name: str, examples: np.ndarray, batch: int) -> float:
  total, parts = len(examples), []
  for start in range(0, total, batch):
    rows = np.arange(start, start + batch)
    parts.append(_summed(view, data.prepare, name, state, {name: examples[rows % total]}, rows < total))
  return float(np.asarray(jax.device_get(parts), np.float64).sum() / total)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _summed(view: LogProb, prepare: Callable, name: str, state: Any, raw: Raw, counts: Array) -> Array:
  batch: Batch = prepare(None, raw)
  return jnp.where(counts, view(state, batch[name]), 0.0).sum()
