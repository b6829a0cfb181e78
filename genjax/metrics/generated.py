"""Samples as metrics ask for them: drawn in batches of bounded size, once for all metrics of an evaluation.

Of n samples only what the metrics name is kept: moments [d, d], features [n, d], logits [n, K], or pixels as uint8. The
images themselves exist a batch at a time. As many as fit into 64 MiB of float32 come in one call of the view `sample`
with the key itself; more come in equal batches, batch i with fold_in(key, i).

Shapes   n samples [n, H, W, C], uint8 or float in [-1, 1].
Checked  tests/metrics/test_generated.py
"""

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from genjax.core import Array, State
from genjax.metrics.pixels import paired
from genjax.metrics.samples import Given, Samples, mark_of
from genjax.ops.frechet import Moments

BATCH_BYTES = 64 << 20
_ROWS = 1024  # features that become float64 at once


@dataclass(frozen=True, eq=False)
class Drawn:
  """What was kept of n samples; None: nobody asked for it.

  Attributes:
    count: n.
    places: [n] the place of each sample in its batch, as a conditional system counts them.
    pixels: [n, H, W, C] uint8.
    features: [n, d] float32.
    logits: [n, K] float32.
    streamed: their moments, where the features were not kept.
  """

  count: int
  places: np.ndarray
  pixels: np.ndarray | None = None
  features: np.ndarray | None = None
  logits: np.ndarray | None = None
  streamed: Moments | None = None

  @functools.cached_property
  def moments(self) -> Moments:
    """Of the features."""
    return self.streamed if self.streamed is not None else moments_of(self.features)

  def has(self) -> set[str]:
    """Which of "pixels", "features", "logits" and "moments" can be had."""
    names = {name for name in ("pixels", "features", "logits") if getattr(self, name) is not None}
    return names | ({"moments"} if self.streamed is not None or self.features is not None else set())


def batch_of(n: int, shape: tuple[int, ...]) -> int:
  """Samples of one call: n, or so many that they stay below 64 MiB, a multiple of 64 where there are more."""
  most = max(1, BATCH_BYTES // (4 * math.prod(shape)))
  if n <= most:
    return n
  size = -(-n // -(-n // most))
  return size if most < 64 else min(-(-size // 64) * 64, most // 64 * 64)


def batches(sample: Callable, key: Array, state: State, n: int, real: np.ndarray) -> Iterator[np.ndarray]:
  """The n samples as uint8, a batch at a time, of the shape of `real` [..., H, W, C]. Raises ValueError."""
  size = batch_of(n, real.shape[1:])
  view = sample.view if isinstance(sample, Samples) else sample
  for i, start in enumerate(range(0, n, size)):
    if isinstance(view, Given):
      yield paired(view.images[start : min(start + size, n)], real, name="generated images")
      continue
    own_key = key if size == n else jax.random.fold_in(key, i)
    yield paired(view(own_key, state, size), real, name="generated images")[: n - start]


def gathered(
  sample: Callable,
  key: Array,
  state: State,
  n: int,
  *,
  real: np.ndarray,
  wants: frozenset[str],
  extractor: Any = None,
) -> Drawn:
  """What a metric wants of n samples, and what the other metrics of its evaluation will ask for.

  Args:
    sample: the view, or `Samples`.
    key, state, n: its arguments.
    real: real images, whose shape the samples must have.
    wants: of "pixels", "features", "logits", "moments"; all but the first need the extractor.
    extractor: metrics.features.Features.
  """
  shared = sample if isinstance(sample, Samples) else Samples(sample)
  mark = (*mark_of(key, state, n), getattr(extractor, "digest", None))
  known = shared.kept.get(mark)
  if known is None or not wants <= known.has():
    wants = wants | shared.gathers.get(n, frozenset())
    pixels = _pixels(shared, mark, n, real)
    source = batches(shared, key, state, n, real) if pixels is None else iter([pixels])
    known = shared.kept[mark] = _pass(source, n, batch_of(n, real.shape[1:]), extractor, wants)
  return known


def _pixels(shared: Samples, mark: tuple, n: int, real: np.ndarray) -> np.ndarray | None:
  """All samples where some metric kept them, with whatever extractor, or drew them whole."""
  for other, drawn in shared.kept.items():
    if other[:-1] == mark[:-1] and isinstance(drawn, Drawn) and drawn.pixels is not None:
      return drawn.pixels
  whole = shared.kept.get((*mark[:-1], "whole"))
  return None if whole is None or batch_of(n, real.shape[1:]) < n else paired(whole, real, name="generated images")


def _pass(source: Iterator[np.ndarray], n: int, size: int, extractor: Any, wants: frozenset[str]) -> Drawn:
  parts: dict[str, list[np.ndarray]] = {"pixels": [], "features": [], "logits": []}
  moments = None
  of_net = wants - {"pixels"} if extractor is not None else frozenset()
  for pixels in source:
    if "pixels" in wants:
      parts["pixels"].append(pixels)
    if not of_net:
      continue
    features, logits = outputs_of(extractor, pixels, logits="logits" in of_net)
    if logits is not None:
      parts["logits"].append(logits)
    if "features" in of_net:
      parts["features"].append(features)
    elif "moments" in of_net:
      moments = moments_of(features, moments)
  joined = {name: np.concatenate(part) if part else None for name, part in parts.items()}
  return Drawn(n, np.arange(n) % size, **joined, streamed=moments)


def outputs_of(extractor: Any, pixels: np.ndarray, *, logits: bool) -> tuple[np.ndarray, np.ndarray | None]:
  """Features, and logits where they are asked for and the extractor has them."""
  if logits and hasattr(extractor, "outputs"):
    return extractor.outputs(pixels)
  return extractor.features(pixels), None


def moments_of(features: np.ndarray, before: Moments | None = None) -> Moments:
  """Moments of features [n, d], after those of earlier ones."""
  moments = Moments.empty(features.shape[1]) if before is None else before
  for start in range(0, len(features), _ROWS):
    moments = moments.update(features[start : start + _ROWS])
  return moments
