"""The released MetaOptNet's weights by name and shape, filled by a formula, so that full-width nets need no large file.

Names and shapes are those of its state dicts: they were checked against nets of PyTorch by fixtures/metaoptnet/make.py.
"""

import numpy as np


def shapes_of(net: str, widths: tuple[int, ...], channels: int = 3) -> dict[str, tuple[int, ...]]:
  """Name in the state dict to its shape, in its order. `net` is resnet12, conv4 or r2d2."""
  shapes, before = {}, channels
  for number, width in enumerate(widths):
    if net == "resnet12":
      at = f"layer{number + 1}.0"
      for place in (1, 2, 3):
        shapes[f"{at}.conv{place}.weight"] = (width, before if place == 1 else width, 3, 3)
        shapes |= _norm(f"{at}.bn{place}", width)
      shapes[f"{at}.downsample.0.weight"] = (width, before, 1, 1)
      shapes |= _norm(f"{at}.downsample.1", width)
    else:
      at = f"encoder.{number}.block" if net == "conv4" else f"block{number + 1}"
      shapes[f"{at}.0.weight"] = (width, before, 3, 3)
      if net == "r2d2":
        shapes[f"{at}.0.bias"] = (width,)
      shapes |= _norm(f"{at}.1", width)
    before = width
  return shapes


def _norm(at: str, width: int) -> dict[str, tuple[int, ...]]:
  parts = {f"{at}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
  return {**parts, f"{at}.num_batches_tracked": ()}


def filled(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
  """Values that look random, the same on every machine: the fractional parts of multiples of a tensor's own number."""
  values = {}
  for number, (name, shape) in enumerate(shapes.items()):
    if name.endswith("num_batches_tracked"):
      values[name] = np.int64(7)
      continue
    rise = np.arange(1, int(np.prod(shape)) + 1, dtype=np.float64) * (np.sqrt(2) + 0.01 * number)
    wave = 2 * ((rise * (np.sqrt(5) + rise % 1.7)) % 1.0) - 1  # in [-1, 1)
    if len(shape) == 4:
      wave = wave * np.sqrt(6 / np.prod(shape[1:]))
    else:
      low, high = {"weight": (0.5, 1.5), "running_var": (0.5, 1.5)}.get(name.rsplit(".", 1)[1], (-0.3, 0.3))
      wave = low + (wave + 1) * (high - low) / 2
    values[name] = wave.reshape(shape).astype(np.float32)
  return values


def pictures(count: int, side: int, channels: int = 3, start: int = 0) -> np.ndarray:
  """Images [B, H, W, C] of the same kind; another start, other images."""
  at = np.arange(count * side * side * channels, dtype=np.float64) + start
  noise = 2 * ((at * (np.sqrt(7) + at % 1.3)) % 1.0) - 1
  return (noise + np.sin(at / 50)).reshape(count, side, side, channels).astype(np.float32)
