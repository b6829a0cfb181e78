"""ViTGAN learns to write MNIST's digits, at 28x28: generator and critic are vision transformers.

Command   genjax train --config vitgan_mnist --config.data.path=mnist --workdir runs/vitgan_mnist
          path: the folder of the four idx files, .gz or not; a set that TFDS prepared needs --config.data.data_dir=TFDS
          vitgan_mnist:WORDS   those of vitgan_digits: r1, sn, l2-isn, l2-isn-overlap, noaug, vit-vit, ...
Machine   2 CPU cores; the command says at its start what a step takes and how long the run will be
Expect    not measured
Paper     Lee, Chang, Jiang, Zhang, Tu & Liu, ICLR 2022, arXiv:2107.04589; chapter 3 of the dissertation
Departs   As vitgan_digits, but 28x28 images in patches of 4 (49 tokens), 64 wide, and three times the steps.
"""

from ml_collections import ConfigDict

from genjax.config import load_config

STEPS = 10_000
SIZE = {"patch": 4, "width": 64, "depth": 2, "heads": 4}


def get_config(arg: str = "") -> ConfigDict:
  config = load_config(f"vitgan_digits:{arg}")  # all but what follows
  tiny = "tiny" in arg.split(",")
  config.data.name = "mnist"
  for net in (config.generator, config.critic):
    size = {"patch": SIZE["patch"]} if tiny else SIZE
    net.update({key: value for key, value in size.items() if key in net})
  if not tiny:
    config.train.steps = STEPS
    config.metrics = load_config("gan_mnist").metrics
  return config
