"""The last picture of a run shows what it says, and carries its card."""

import numpy as np
import pytest
from PIL import Image

from genjax.core import Number
from genjax.metrics import figure
from genjax.metrics.card import Card
from genjax.metrics.figure import caption, draw

NUMBER = Number(
  3.25,
  Card(
    metric="frechet", subject="samples", generated=10, reference=20, split="digits/test", data_digest="ab",
    extractor="64 features", extractor_sha256="c0ffee" * 8, ema=True, seed=4,
  ),
)  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("curve", [[], [(10, 30.0), (20, 3.25)]])
def test_a_figure_is_drawn_for_few_images_grey_or_colour(tmp_path, channels, curve):
  rng = np.random.default_rng(0)
  images = rng.uniform(-1, 1, (3, 8, 9, channels)).astype(np.float32)
  real = rng.integers(0, 256, (5, 8, 9, channels), np.uint8)
  draw(tmp_path / "figure.png", images, real, curve, {"real": 1.0, "noise": 40.0}, NUMBER)
  picture = np.asarray(Image.open(tmp_path / "figure.png").convert("L"))
  assert picture.shape[0] > 500
  assert picture.std() > 10


def test_below_each_sample_stands_the_training_image_that_is_nearest(tmp_path, monkeypatch):
  shown = {}
  monkeypatch.setattr(figure, "tiles", lambda axis, images, columns, title: shown.update({title.split()[0]: images}))
  real = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1), np.uint8)
  samples = np.clip(real[[7, 0, 13]].astype(int) + 3, 0, 255).astype(np.uint8)
  draw(tmp_path / "figure.png", samples, real, [], {}, NUMBER)
  np.testing.assert_array_equal(shown["samples"], np.concatenate([samples, real[[7, 0, 13]]]))


def test_the_training_images_of_a_set_sorted_by_class_are_of_all_classes_and_always_the_same(tmp_path, monkeypatch):
  shown = []
  monkeypatch.setattr(figure, "tiles", lambda axis, images, columns, title: shown.append((title.split()[0], images)))
  real = np.repeat(np.arange(10, dtype=np.uint8), 100)[:, None, None, None]
  for _ in range(2):
    draw(tmp_path / "figure.png", real[:3], real, [], {}, NUMBER)
  first, again = (images for title, images in shown if title == "training")
  assert len(first) == 64
  assert len(np.unique(first)) == 10
  np.testing.assert_array_equal(first, again)


def test_the_caption_says_how_the_number_was_made():
  text = caption(NUMBER)
  for part in ("3.25", "10 samples", "20 images of digits/test", "ema True", "seed 4", "c0ffeec0ffee", "8 bit"):
    assert part in text
