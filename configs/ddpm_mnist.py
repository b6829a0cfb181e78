"""A diffusion model learns to write MNIST's digits, at 28x28.

Command   genjax train --config ddpm_mnist --config.data.path=mnist --workdir runs/ddpm_mnist
          path: the folder of the four idx files, .gz or not; a set that TFDS prepared needs --config.data.data_dir=TFDS
          ddpm_mnist:WORDS   those of ddpm_digits: labels, velocity, image, learned, dit; ddim,labels
Machine   2 CPU cores; the command says at its start what a step takes and how long the run will be
Expect    not measured
Paper     Ho, Jain & Abbeel 2020, arXiv:2006.11239; T 1000 and the cosine schedule of Nichol & Dhariwal 2021,
          arXiv:2102.09672. The net is ours, for two cores; samples are drawn in 100 steps of the 1000
"""

from ml_collections import ConfigDict

from genjax.config import load_config


def get_config(arg: str = "") -> ConfigDict:
  config = load_config(f"ddpm_digits:{arg}")  # all but what follows
  config.data.name = "mnist"
  if config.net.name == "unet":
    config.net.update({"widths": (32, 64, 64), "attention": (2,)})
  else:
    config.net.update({"patch": 4, "width": 128, "depth": 4})
  config.system.update({"steps": 1000, "sampler_steps": 100})
  config.train.update({"steps": 10_000, "sample_every": 1000, "evaluate_every": 2000})
  for metric in config.metrics.values():
    metric.samples = 2000
  config.metrics.copies.split = "test[:2000]"  # each is compared with 60,000
  config.metrics.prdc = ConfigDict({"split": "test[:2000]", "samples": 2000, "final": True})
  config.metrics.bits_per_dim = ConfigDict({"split": "test[:500]", "final": True})  # 1000 passes an image
  return config
