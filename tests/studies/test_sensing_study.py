"""Compressed sensing on a run of a few steps: a curve for each method, a picture."""

import json

import numpy as np
import pytest
from PIL import Image

from genjax.studies.sensing import _lasso, _lasso_of_cosines, sensing

SMALL = {
  "encoder.widths": (8,), "decoder.widths": (8,), "system.latent": 2, "data.batch": 16, "metrics": "none",
  "train.steps": 2, "train.steps_per_call": 1, "train.log_every": 1, "train.checkpoint_every": 2,
  "train.sample_every": 0, "train.evaluate_every": 0,
}  # fmt: skip


@pytest.mark.slow
def test_every_method_has_a_curve_over_the_measurements(tmp_path):
  text = sensing(str(tmp_path), quiet=True, overrides=SMALL, shares=(0.05, 0.9), images=5, steps=20)
  kept = json.loads((tmp_path / "sensing.json").read_text())
  assert kept["measurements"] == [3, 58]
  assert list(kept["errors"]) == ["generator", "Lasso, pixels", "Lasso, cosines"]
  assert text.splitlines()[0].endswith("| 3 | 58 |")
  for name in ("Lasso, pixels", "Lasso, cosines"):
    few, many = kept["errors"][name]
    assert many[0] < few[0] / 3
  assert np.asarray(Image.open(tmp_path / "sensing.png")).std() > 10


def test_lasso_finds_an_image_of_few_pixels_and_one_of_few_cosines():
  rng = np.random.default_rng(0)
  a = rng.normal(size=(64, 32)).astype(np.float32) / 32**0.5
  dots = np.full((1, 8, 8, 1), -1.0, np.float32)
  dots[0, [1, 4, 6], [2, 5, 0]] = [[0.5], [1.0], [0.0]]
  assert np.abs(_lasso(a, dots) - dots).max() < 0.15
  wave = 0.5 * np.cos(np.pi * (np.arange(8) + 0.5) * 2 / 8)[None, :, None, None] * np.ones((1, 8, 8, 1))
  wave = wave.astype(np.float32)
  assert np.abs(_lasso_of_cosines(a, wave) - wave).max() < 0.15
  assert np.abs(_lasso(a, wave) - wave).max() > 0.3
