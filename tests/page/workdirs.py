"""Workdirs as runs leave them, written by hand: a page is made of files alone."""

import json

import numpy as np
from PIL import Image

CARD = {
  "metric": "frechet",
  "subject": "samples",
  "generated": 500,
  "reference": 500,
  "split": "digits/test",
  "data_digest": "ab",
  "extractor": "64 features",
  "seed": 0,
  "ema": True,
  "jax": "0.10.2",
  "genjax": "0.1.0",
}
CONFIG = {
  "data": {"name": "digits", "batch": 64},
  "system": {"name": "vae", "latent": 16},
  "optimizer": {"learning_rate": 2e-3},
  "metrics": {"frechet": {"samples": 500}},
  "seed": 0,
  "train": {"steps": 20, "sample_every": 10},
  "layout": 2,
}


def write(path, *, config=CONFIG, rows=None, summary=None, samples=(0, 10, 20), text=None):
  """A workdir of a finished run of 20 steps; `text` makes its samples texts."""
  (path / "samples").mkdir(parents=True)
  (path / "config.json").write_text(json.dumps(config))
  rows = ROWS if rows is None else rows
  (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
  (path / "summary.json").write_text(json.dumps(SUMMARY if summary is None else summary))
  for step in samples:
    name = path / "samples" / f"step_{step:08d}.png"
    picture(name, step) if text is None else name.with_suffix(".txt").write_text(text)
  picture(path / "figure.png", 1)
  for step in (10, 20):
    (path / "checkpoints" / str(step)).mkdir(parents=True)
  return path


def picture(path, shade, size=(20, 20)):
  Image.fromarray(np.full((*size, 3), shade, np.uint8)).save(path)


ROWS = [
  {"step": 10, "loss": 2.0, "clock": {"steps_per_second": 8.0, "compile_s": 3.0}},
  {"step": 10, "eval/frechet": 9.0},
  {"step": 20, "loss": 1.0, "clock": {"steps_per_second": 10.0}},
  {"step": 20, "eval/frechet": 4.25},
]
SUMMARY = {
  "steps": 20,
  "devices": 1,
  "platform": "cpu",
  "hardware": {"device_kind": "cpu", "cpu": "a chip, 2 cores"},
  "versions": {"jax": "0.10.2", "numpy": "2.3.1"},
  "metrics": {"frechet": {"value": 4.125, "card": CARD}},
}
