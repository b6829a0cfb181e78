"""ViTGAN learns to write digits: generator and critic are vision transformers, minutes on a laptop.

Command   genjax train --config vitgan_digits --workdir runs/vitgan_digits
          vitgan_digits:WORDS   those of vitgan_cifar10, which name the rows of the thesis' tables, but biggan and
                                transgan: r1, sn, l2-isn, l2-isn-overlap, noaug, vit-vit, vitgan-stylegan2, ...
Machine   2 CPU cores, about ten minutes; any other device works with the same command
Expect    seed 0: Frechet distance 5.9 (real digits 1.6, a Gaussian of pixels 17.8; gan_digits:wgan_gp 7.6)
Paper     Lee, Chang, Jiang, Zhang, Tu & Liu, ICLR 2022, arXiv:2107.04589; chapter 3 of the dissertation
Departs   8x8 images in patches of 2, 48 wide, 2 + 2 blocks, a mapping of 2 layers, pixels through tanh; twice the
          learning rate, to 0 over the run. bCR weighs a hundredth of the paper's: with all of it the critic separated
          nothing in so few steps. Digits are shifted and cut, more rarely, and neither coloured nor scaled.
"""

from ml_collections import ConfigDict

from genjax.config import load_config

STEPS = 3000
SIZE = {"patch": 2, "width": 48, "depth": 2, "heads": 4}


def get_config(arg: str = "") -> ConfigDict:
  if {"biggan", "transgan"} & set(arg.split(",")):
    raise ValueError("biggan and transgan are nets for 32x32; use another word")
  tiny = "tiny" in arg.split(",")
  paper = load_config(f"vitgan_cifar10:{arg}")
  config = load_config("gan_digits:non_saturating")
  config.generator, config.critic, config.objective, config.optimizer = (
    ConfigDict(paper[name]) for name in ("generator", "critic", "objective", "optimizer")
  )
  for net in (config.generator, config.critic):
    size = {"patch": 2} if tiny else SIZE
    net.update({key: value for key, value in size.items() if key in net})
    if "base" in net and not tiny:
      net.base = 512
  if "mapping_depth" in config.generator and not tiny:
    config.generator.mapping_depth = 2
  config.system.critic_steps = paper.system.critic_steps
  config.system.augment = "translation=0.4,cutout=0.2" if paper.system.augment else ""
  config.objective.real = config.objective.fake = paper.objective.real / 100
  if config.generator.name == "vitgan":
    config.generator.bounded = True
  config.optimizer.update({"learning_rate": 2 * paper.optimizer.learning_rate, "schedule": "linear"})
  config.data.batch = 64
  config.system.latent = 64
  config.system.ema = 0.99
  config.train.steps = STEPS
  config.train.evaluate_every = config.train.sample_every = 500
  config.train.checkpoint_every = 500
  if tiny:
    config.train.update(paper.train)
    config.data.batch, config.metrics = paper.data.batch, ConfigDict()
  return config
