"""How far a synthesised texture is from its photograph: in its power spectrum, and in the histograms of its gradients.

Both look at statistics of a whole picture and know nothing of places, so a good synthesis need not match the photograph
pixel for pixel. Neither is 0 for two pieces of one texture: read them beside the anchors, two halves of the photograph
against each other below, and noise above.

Departs  log-spectral distance as in speech processing (root mean square of decibels), here over two frequencies; power
         is averaged over half-overlapping Hann windows (Welch 1967), for one periodogram's log varies by 5.6 dB.
Shapes   pictures [H, W, C] uint8, or float in [-1, 1] and then rounded to 8 bit; sizes may differ, channels may not.
Checked  tests/metrics/test_texture.py: a wave's power is where its frequency is; scipy's Wasserstein distance
"""

from collections.abc import Mapping

import numpy as np

from genjax.core import Number
from genjax.metrics.card import Card, digest
from genjax.ops.augment import to_uint8

WINDOW = 64
_FLOOR = (1 / 255) ** 2 / 3  # variance of 8 bit rounding in [-1, 1]: what is below it is no texture


def spectrum(picture: np.ndarray, window: int = WINDOW) -> np.ndarray:
  """Power by frequency, [window, window, C] float64: white noise of variance v in [-1, 1] has v everywhere.

  The picture's mean is removed; windows overlap by half.
  """
  pixels = _floats(picture)
  if min(pixels.shape[:2]) < window:
    raise ValueError(f"a picture of {pixels.shape[0]}x{pixels.shape[1]} holds no window of {window}; use a smaller one")
  pixels = pixels - pixels.mean((0, 1))
  hann = np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2
  weight = (hann[:, None] * hann)[..., None]
  pieces = np.lib.stride_tricks.sliding_window_view(pixels, (window, window), (0, 1))[:: window // 2, :: window // 2]
  waves = np.fft.fft2(pieces.transpose(0, 1, 3, 4, 2) * weight, axes=(2, 3))
  return (np.abs(waves) ** 2).mean((0, 1)) / (weight**2).sum()


def rings(power: np.ndarray) -> np.ndarray:
  """Power by the length of the frequency alone, [window / 2, C]: means over rings one bin wide, DC in the first."""
  window = power.shape[0]
  axis = np.fft.fftfreq(window, 1 / window)
  radius = np.rint(np.hypot(axis[:, None], axis)).astype(int)
  return np.stack([power[radius == ring].mean(0) for ring in range(window // 2)])


def spectrum_distance(a: np.ndarray, b: np.ndarray, *, window: int = WINDOW, radial: bool = False) -> float:
  """Root mean square difference of two pictures' log power spectra in decibels; `radial` ignores direction."""
  _alike(a, b)
  powers = [spectrum(picture, window) for picture in (a, b)]
  levels = [10 * np.log10((rings(power) if radial else power) + _FLOOR) for power in powers]
  return float(np.sqrt(((levels[0] - levels[1]) ** 2).mean()))


def gradient_distance(a: np.ndarray, b: np.ndarray) -> float:
  """Earth mover's distance between histograms of neighbouring pixels' differences, in levels of 0..255.

  The mean over channels and over the two directions, down and right; signs count, so light from another side is seen.
  """
  _alike(a, b)
  apart = []
  for axis in (0, 1):
    one, two = (np.diff(_pixels(picture).astype(int), axis=axis) for picture in (a, b))
    apart += [_moved(one[..., channel], two[..., channel]) for channel in range(a.shape[2])]
  return float(np.mean(apart))


def measure(picture: np.ndarray, source: np.ndarray, *, subject: str, split: str) -> dict[str, Number]:
  """Both distances of a picture to its source, with their cards: "spectrum" and "gradients"."""
  return _numbers({subject: [(picture, source)]}, source, split)[subject]


def anchors(source: np.ndarray, *, split: str, seed: int = 0) -> dict[str, dict[str, Number]]:
  """The distances to read others by.

  "real": halves of the source against each other, left and right, top and bottom, their mean. They hold half the
  pixels, so a perfect synthesis is a little nearer than they are. "noise": the source's pixels in random order.
  """
  height, width = (side // 2 for side in source.shape[:2])
  halves = [(source[:, :width], source[:, -width:]), (source[:height], source[-height:])]
  flat = np.random.default_rng(seed).permutation(source.reshape(-1, source.shape[2]))
  return _numbers({"real": halves, "noise": [(flat.reshape(source.shape), source)]}, source, split)


def _numbers(
  pairs: Mapping[str, list[tuple[np.ndarray, np.ndarray]]], source: np.ndarray, split: str
) -> dict[str, dict[str, Number]]:
  metrics = {"spectrum": spectrum_distance, "gradients": gradient_distance}

  def number(metric: str, subject: str) -> Number:
    value = np.mean([metrics[metric](a, b) for a, b in pairs[subject]])
    card = Card(
      metric=metric,
      subject=subject,
      generated=1,
      reference=1,
      split=split,
      data_digest=digest(_pixels(source)),
      scaling="[-1, 1], dB" if metric == "spectrum" else "0..255",
      precision="float64",
    )
    return Number(float(value), card)

  return {subject: {metric: number(metric, subject) for metric in metrics} for subject in pairs}


def _moved(a: np.ndarray, b: np.ndarray) -> float:
  """Earth mover's distance between whole numbers in -255..255."""
  shares = [np.bincount(values.ravel() + 255, minlength=511) / values.size for values in (a, b)]
  return float(np.abs(np.cumsum(shares[0] - shares[1])).sum())


def _alike(a: np.ndarray, b: np.ndarray) -> None:
  for picture in (a, b):
    if picture.ndim != 3:
      raise ValueError(f"a picture has shape {picture.shape}; wanted [H, W, C]")
  if a.shape[2] != b.shape[2]:
    raise ValueError(f"pictures of {a.shape[2]} and {b.shape[2]} channels; bring them to the same")


def _pixels(picture: np.ndarray) -> np.ndarray:
  return picture if picture.dtype == np.uint8 else np.asarray(to_uint8(picture))


def _floats(picture: np.ndarray) -> np.ndarray:
  return _pixels(picture).astype(np.float64) / 127.5 - 1
