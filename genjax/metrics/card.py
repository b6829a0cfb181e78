"""The card of a number: how it was measured.

Two numbers are compared only if they were measured the same way: the Frechet distance falls with the number of
images and changes with the extractor, the reference and the rounding of the pixels.

Checked  tests/metrics/test_card.py
"""

import hashlib
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from typing import Any

import jax
import numpy as np

from genjax.core import Number

QUANTISATION = "8 bit: round((x + 1) * 127.5)"
_DISTRIBUTION = "genjax-vision"
_WHAT = ("subject", "seed", "warning")  # what was measured, and what follows from the rest; every other field is how
_NONE_IS_ONE_WAY = ("attack", "extractor", "extractor_sha256", "quantisation")  # of these, None is a way to measure


def genjax_version() -> str:
  """The installed version, or words that say that there is none."""
  try:
    return metadata.version(_DISTRIBUTION)
  except metadata.PackageNotFoundError:
    return "not installed"


@dataclass(frozen=True, kw_only=True)
class Card:
  """How one number was measured. A field that is None does not apply to it.

  Attributes:
    metric: name of the metric, e.g. "frechet".
    subject: what was measured: "samples", "pixel Gaussian", ...
    extractor: the features, in words; None where the metric looks at pixels.
    extractor_sha256: digest of the extractor's parameters.
    resize: how images were brought to the extractor's size.
    scaling: range that the extractor reads.
    quantisation: how pixels were rounded, generated and real alike; None where none were.
    generated: number of measured images.
    reference: number of images they were measured against.
    split: where those come from, e.g. "digits/test".
    data_digest: sha256 of those images.
    ema: whether the samples came from averaged parameters, or a word on which; None for what no network made.
    seed: of the measured images.
    precision: of the extractor's products.
    warning: why the number says less than it seems to; None: no reason is known.
    attack: what made the images adversarial, in words, epsilon on [0, 1]; None for images as they are.
    likelihood: "exact" or "bound", and of what: "bound probability", "exact density".
    dequantisation: the noise that grey levels get: "uniform" or "variational".
    binarisation: how images became black and white: "static", "dynamic"; "none": they did not.
    importance_samples: K, draws of which a bound is the log of the mean weight.
    jax, genjax: versions.
  """

  metric: str
  subject: str
  generated: int
  reference: int
  split: str
  data_digest: str
  extractor: str | None = None
  extractor_sha256: str | None = None
  resize: str | None = "none"
  scaling: str | None = "[-1, 1]"
  quantisation: str | None = QUANTISATION
  ema: bool | str | None = None
  seed: int | None = None
  precision: str | None = "float32, highest"
  attack: str | None = None
  likelihood: str | None = None
  dequantisation: str | None = None
  binarisation: str | None = None
  importance_samples: int | None = None
  warning: str | None = None
  jax: str = field(default_factory=lambda: jax.__version__)
  genjax: str = field(default_factory=genjax_version)

  def to_dict(self) -> dict[str, Any]:
    """Plain JSON values; `Card(**card.to_dict())` is the card again."""
    return asdict(self)


def differences(a: Card, b: Card) -> tuple[str, ...]:
  """Names of the fields in which two measurements differ.

  Subject and seed are what is being compared, and a warning follows from the numbers: they do not count. A field that
  is None on one side does not apply there, unless None says how it was measured: without an attack, in pixels.
  """
  pairs = ((f.name, getattr(a, f.name), getattr(b, f.name)) for f in fields(Card) if f.name not in _WHAT)
  counts = lambda name, x, y: name in _NONE_IS_ONE_WAY or (x is not None and y is not None)
  return tuple(name for name, x, y in pairs if x != y and counts(name, x, y))


def compare(a: Number, b: Number, *, force: bool = False) -> float:
  """The difference a - b of two values, if both were measured in the same way.

  Raises:
    ValueError: the cards differ, and `force` is not set; names the fields and both values.
  """
  differ = differences(a.card, b.card)
  if differ and not force:
    pairs = "; ".join(f"{name}: {getattr(a.card, name)!r} and {getattr(b.card, name)!r}" for name in differ)
    raise ValueError(
      f"two numbers that were not measured alike: {pairs}; measure one again, or compare with force=True"
    )
  return a.value - b.value


def digest(*arrays: np.ndarray) -> str:
  """sha256 over dtypes, shapes and bytes of arrays, in order."""
  sha = hashlib.sha256()
  for array in map(np.ascontiguousarray, arrays):
    sha.update(f"{array.dtype.str}{array.shape};".encode())
    sha.update(array.data)
  return sha.hexdigest()
