"""The last picture of a run: samples, the training images nearest to them, real images, the curve, and the card.

Shapes   images [n, H, W, C] float in [-1, 1] or uint8; real [N, H, W, C] uint8.
Checked  tests/metrics/test_figure.py
"""

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from genjax.core import Number
from genjax.metrics.nearest import nearest
from genjax.metrics.pixels import paired

_SHOWN = 8  # a side of the sample grid, and images in a row of pairs
_CHOICE_SEED = 0  # of the training images that are shown


def draw(
  path: str | os.PathLike,
  images: Any,
  real: np.ndarray,
  curve: Sequence[tuple[int, float]],
  anchors: Mapping[str, float],
  number: Number,
) -> None:
  """Writes the figure as PNG.

  Args:
    path: local or gs://.
    images: samples.
    real: training images. As many are drawn at random, the same in every figure of a set; those that are nearest to the
      first samples, in pixels, are shown below them.
    curve: (step, Frechet distance), as evaluated during training.
    anchors: Frechet distances to read the curve against, by name.
    number: the final distance with its card.
  """
  from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and needed once a run
  from matplotlib.figure import Figure

  pixels = paired(images, real, name="samples")
  closest, _ = nearest(pixels[:_SHOWN], real)
  figure = Figure(figsize=(11, 8.2), layout="constrained")
  FigureCanvasAgg(figure)
  left, right = figure.subplots(2, 2, height_ratios=(2, 1.15), squeeze=False)
  tiles(left[0], pixels[: _SHOWN**2], _SHOWN, f"samples (the first {min(len(pixels), _SHOWN**2)}, not chosen)")
  chosen = np.random.default_rng(_CHOICE_SEED).permutation(len(real))[: _SHOWN**2]
  tiles(left[1], real[chosen], _SHOWN, f"training images ({len(chosen)} drawn at random)")
  pairs = np.concatenate([pixels[:_SHOWN], real[closest]])
  tiles(right[0], pairs, _SHOWN, "samples above, the nearest training image below each")
  axis = right[1]
  if curve:
    axis.plot(*zip(*curve, strict=True), marker="o", markersize=3, label="samples")
  for name, value in anchors.items():
    axis.axhline(value, linestyle="--", linewidth=1, color="grey")
    axis.annotate(
      f"{name} {value:.1f}", (1, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7
    )
  axis.set_yscale("log")
  axis.set_xlabel("step")
  axis.set_title("Frechet distance, log scale", fontsize=10)
  axis.grid(alpha=0.3)
  figure.suptitle(caption(number), fontsize=8)
  content = io.BytesIO()
  figure.savefig(content, format="png", dpi=110)
  epath.Path(path).write_bytes(content.getvalue())


def caption(number: Number) -> str:
  """A number and its card in three lines, and a fourth where the card warns."""
  card = number.card
  warning = f"\n{card.warning}" if card.warning else ""
  return (
    f"{card.metric} {number.value:.2f}: {card.generated} samples (ema {card.ema}, seed {card.seed}) against "
    f"{card.reference} images of {card.split}\n"
    f"features: {card.extractor} (sha256 {str(card.extractor_sha256)[:12]}), {card.precision}\n"
    f"{card.quantisation}; resize {card.resize}; jax {card.jax}, genjax {card.genjax}{warning}"
  )


def tiles(axis: Any, images: np.ndarray, columns: int, title: str) -> None:
  """Images [n, H, W, C] uint8 in rows on a matplotlib axis, a white pixel between them."""
  n, height, width, channels = images.shape
  rows = -(-n // columns)
  canvas = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, channels), 255, np.uint8)
  for i, image in enumerate(images):
    top, start = 1 + i // columns * (height + 1), 1 + i % columns * (width + 1)
    canvas[top : top + height, start : start + width] = image
  axis.imshow(canvas.squeeze(-1) if channels == 1 else canvas, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
  axis.set_title(title, fontsize=10)
  axis.axis("off")
