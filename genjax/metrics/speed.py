"""How long the metrics of features take on this machine, and the memory that they hold beside the features.

The features are drawn, not a net's: what is timed is the comparison of two sets, from arrays to the number.

Shapes   n features [n, 2048] float32 on each side, as Inception gives them.
Checked  tests/metrics/test_speed.py; beside torch-fidelity: notebooks/README.md
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genjax.metrics.generated import moments_of
from genjax.ops.frechet import frechet_between
from genjax.ops.kernel_distance import subset_distances
from genjax.ops.label_scores import inception_score
from genjax.ops.neighbours import overlap, two_sample

FEATURES, LOGITS = 2048, 1008  # of Inception
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Row(NamedTuple):
  """A metric, its seconds, and the most memory beyond what was resident before it, in bytes; None: not known."""

  name: str
  seconds: float
  memory: int | None
  value: float


def speeds(n: int, *, features: int = FEATURES, seed: int = 0) -> list[Row]:
  """Times every comparison once, n against n."""
  rng = np.random.default_rng(seed)
  real, generated = drawn(rng, n, features), drawn(rng, n, features) + np.float32(0.02)
  logits = rng.standard_normal((n, LOGITS), dtype=np.float32)
  size = min(1000, n)
  metrics: dict[str, Callable[[], float]] = {
    "fid": lambda: frechet_between(moments_of(generated), moments_of(real)),
    f"kid, 100 subsets of {size}": lambda: float(subset_distances(generated, real, size=size).mean()),
    "prdc": lambda: overlap(real, generated).coverage,
    "two_sample": lambda: two_sample(real, generated).accuracy,
    "inception_score": lambda: inception_score(logits).mean,
  }
  return [_timed(name, metric) for name, metric in metrics.items()]


def drawn(rng: np.random.Generator, n: int, features: int) -> np.ndarray:
  """Features [n, d] float32, not negative, of unequal variances, correlated by a tenth as many factors."""
  factors = rng.standard_normal((n, max(1, features // 10)), dtype=np.float32)
  mixing = np.random.default_rng(1).standard_normal((factors.shape[1], features), dtype=np.float32)
  noise = rng.standard_normal((n, features), dtype=np.float32)
  return np.maximum(0.05 * (factors @ mixing / np.float32(np.sqrt(len(mixing))) + noise) + np.float32(0.3), 0)


def table(rows: Sequence[Row], n: int, features: int = FEATURES) -> str:
  """The rows for a person."""
  lines = [f"{'':24}{'seconds':>10}{'memory':>12}{'value':>14}"]
  for row in rows:
    memory = "-" if row.memory is None else f"{row.memory / 2**20:,.0f} MiB"
    lines.append(f"{row.name:24}{row.seconds:10.2f}{memory:>12}{row.value:14.6g}")
  return "\n".join([
    *lines,
    "",
    f"{n:,} against {n:,} in {features:,} features, which take {2 * n * features * 4 / 2**20:,.0f} MiB; programs are",
    f"compiled within these seconds; {os.cpu_count()} cores, numpy {np.__version__}",
  ])  # fmt: skip


def _timed(name: str, metric: Callable[[], float]) -> Row:
  before, reset = _resident("VmRSS"), _forget_peak()
  began = time.perf_counter()
  value = metric()
  seconds = time.perf_counter() - began
  peak = _resident("VmHWM")
  known = reset and None not in (before, peak)
  return Row(name, seconds, max(0, peak - before) if known else None, value)


def _resident(field: str) -> int | None:
  """Bytes, by Linux; None elsewhere."""
  try:
    lines = _STATUS.read_text().splitlines()
  except OSError:
    return None
  return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), None)


def _forget_peak() -> bool:
  """Starts the count of the peak anew, where Linux lets a process do so."""
  try:
    _RESET.write_text("5")
  except OSError:
    return False
  return True
