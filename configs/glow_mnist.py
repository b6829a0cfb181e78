"""Glow learns to write MNIST's digits, at 28x28 and 256 levels of grey.

Command   genjax train --config glow_mnist --config.data.path=mnist --workdir runs/glow_mnist
          path: the folder of the four idx files, .gz or not; a set that TFDS prepared needs --config.data.data_dir=TFDS
          glow_mnist:variational   learned noise on grey levels in place of uniform noise
          glow_mnist:published     the paper's depth and widths, for one GPU or TPU chip or more
Args      published, variational, joined by a comma
Machine   2 CPU cores, about two hours: 0.59 s of processor time a step without a word (5 steps, other work beside them)
Expect    not measured; the first step has 7.6 bits a dimension. Published: 1.05 (Glow), 1.06 (RealNVP), both
          with uniform noise
Paper     Kingma & Dhariwal 2018, arXiv:1807.03039, and its released code: steps, widths, learning rate, warm-up, batch.
          28 halves twice, so there are two levels in place of three, which the code has after a border of zeros is put
          around the image to make it 32x32. Sizes without a word are ours, for two cores
"""

from ml_collections import ConfigDict

from genjax.config import load_config

NET = {"name": "glow", "levels": 2, "depth": 16, "width": 64}
PUBLISHED = {"name": "glow", "levels": 2, "depth": 32, "width": 512, "remat": True}
DEQUANTISERS = {
  False: {"name": "dequantiser", "depth": 3, "blocks": 1, "width": 24},
  True: {"name": "dequantiser", "depth": 5, "blocks": 2, "width": 96},
}


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  if words - {"published", "variational"}:
    raise ValueError("wanted published, variational, or both joined by a comma")
  published = "published" in words
  config = load_config("glow_digits")  # all but what follows
  config.data = {"name": "mnist", "batch": 64}
  config.net = ConfigDict(PUBLISHED if published else NET)
  if "variational" in words:
    config.dequantiser_net = DEQUANTISERS[published]
  config.optimizer.learning_rate = 1e-3
  config.optimizer.warmup_steps = 7800 if published else 500  # paper: 10 epochs of 50,000 images
  config.system.update({"levels": 256, "ema": 0.999})
  steps = 234_000 if published else 20_000  # of 250 epochs; of two hours
  config.train.update({"steps": steps, "log_every": 20, "sample_every": 1000, "evaluate_every": 2000})
  config.train.checkpoint_every = 500
  config.train.best = ""
  del config.metrics.validation
  config.metrics.bits_per_dim.split = "test[:2000]"
  config.metrics.whole = {"name": "bits_per_dim", "split": "test", "final": True}
  for name in ("frechet", "copies", "anchors"):
    config.metrics[name].samples = 1000
  config.metrics.copies.split = "test[:2000]"  # each is compared with 60,000
  return config
