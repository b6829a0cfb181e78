"""A GAN learns to write MNIST's digits, at 28x28: by any objective of the zoo, with the nets of DCGAN.

Command   genjax train --config gan_mnist:r1 --config.data.path=mnist --workdir runs/gan_mnist
          path: the folder of the four idx files, .gz or not; a set that TFDS prepared needs --config.data.data_dir=TFDS
          gan_mnist:r1,labels   both nets see the labels (the word of gan_digits is cgan)
Args      a row of the zoo (`genjax objectives` lists them), wgan_gp unless given; and labels
Machine   2 CPU cores; the command says at its start what a step takes and how long the run will be
Expect    not measured
Paper     Radford, Metz & Chintala 2016, arXiv:1511.06434, for the nets, in two doublings of a grid of 7 and a third of
          the widths; each row has the optimiser and the number of critic updates of its own paper
Departs   LayerNorm in the critic in place of batch norm, for a penalty on its slope has no meaning where images are
          mixed; spectral norm where the row needs that. The four rows whose critic is an autoencoder have one that is
          fully connected. The learning rate falls linearly to 0; samples are made with averaged weights.
"""

from ml_collections import ConfigDict

from genjax.config import load_config
from genjax.objectives.rows import PLAYED, ROWS

UPDATES = 10_000  # of the generator
WIDTHS = (128, 64)  # of the generator, and backwards of the critic
NORMS = {"plain": "layer", "spectral": "spectral"}


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  rows = words - {"labels"}
  if len(rows) > 1 or rows - set(PLAYED):
    raise ValueError(f"wanted a row with a generator, and labels, joined by a comma; rows are {', '.join(PLAYED)}")
  row = next(iter(rows), "wgan_gp")
  kind, needs = ROWS[row].critic, ROWS[row].needs
  if "labels" in words and kind == "autoencoder":
    raise ValueError(f"the critic of {row} is an autoencoder, which takes no labels; leave out labels")
  config = load_config(f"gan_digits:{row}")  # all but what follows
  config.data.name = "mnist"
  config.generator = ConfigDict({"name": "dcgan", "widths": WIDTHS})
  if kind in NORMS:
    config.critic = ConfigDict({"name": "dcgan", "widths": WIDTHS[::-1], "norm": NORMS[kind]})
  if row == "denoising":
    config.objective.features = WIDTHS[0] * 7 * 7  # of the critic's last layer
  for name in ("optimizer", "generator_optimizer"):
    if name in needs:
      config[name].learning_rate = needs[name]["learning_rate"]
  config.system.latent = 100
  config.system.ema = 0.999
  config.system.conditional = "labels" in words
  config.train.update({"steps": UPDATES, "evaluate_every": 500, "sample_every": 500, "checkpoint_every": 500})
  for metric in config.metrics.values():
    metric.samples = 2000
  config.metrics.copies.split = "test[:2000]"  # each is compared with 60,000
  config.metrics.prdc = ConfigDict({"split": "test[:2000]", "samples": 2000, "final": True})
  return config
