"""A GAN learns CIFAR-10 by any objective of the zoo: WGAN-GP with its residual nets, SN-GAN with its own.

Command   genjax train --config gan_cifar10 --config.data.path=cifar-10-binary.tar.gz --workdir gs://BUCKET/run
          gan_cifar10:sn_gan          hinge loss, spectrally normalised critic, wider generator
          gan_cifar10:ROW             any other row of the zoo that has a generator (`genjax objectives` lists them)
          gan_cifar10:ROW,labels      both nets see the labels
          gan_cifar10:tiny            the same nets on a handful of images, to see that all works; sn_gan,tiny too
          genjax bench --config gan_cifar10 --config.data.name=mock   what a step takes, without the data
Machine   1, 2, 4 ... 64 accelerator chips; hours not measured, as it was not run to its end here. A step is one update
          of the generator and as many of the critic as the row needs: five for wgan_gp and sn_gan
Expect    nothing: no run was made to see what it reaches
Paper     Gulrajani et al. 2017, arXiv:1704.00028, Algorithm 1 and `gan_cifar_resnet`: lambda 10, 5 updates of the
          critic on 64 images each, Adam at 2e-4 with b1 0, b2 0.9, a learning rate that falls linearly to 0 in 100,000
          steps. Miyato et al. 2018, arXiv:1802.05957, for sn_gan: hinge, the same Adam and number of updates
Departs   The generator moves on 64 images; both codes give it 128. That code adds noise to its 8-bit images; here are
          none. sn_gan has the steps and the decay of WGAN-GP. Neither net sees the labels without the word.
          Every other row has WGAN-GP's nets, or SN-GAN's critic where it needs a spectral one, the steps and the decay,
          and the optimiser and the number of critic updates that the row needs. The critic of ebgan, began and mmd_gan
          is an autoencoder, here a fully connected one.
          With labels a plain critic is DCGAN's with LayerNorm and a projection, for WGAN-GP's takes none.
"""

from ml_collections import ConfigDict

from genjax.config import load_config
from genjax.objectives.rows import PLAYED, ROWS

STEPS = 100_000  # updates of the generator
WIDTHS = (128, 256, 512)  # of the critic that sees labels
FEATURES = 512 * 4 * 4  # of its last layer


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  rows = words - {"labels", "tiny"}
  if len(rows) > 1 or rows - set(PLAYED):
    raise ValueError(
      f"wanted a row with a generator, labels, and tiny to try, joined by commas; rows are {', '.join(PLAYED)}"
    )
  row = next(iter(rows), "wgan_gp")
  labels = "labels" in words
  config = load_config(f"gan_mnist:{row}{',labels' if labels else ''}")  # all but what follows
  config.data.name = "cifar10"
  config.generator = ConfigDict({"name": "resnet", "width": 256 if row == "sn_gan" else 128})
  config.critic = ConfigDict(_critic(row, labels))
  if row == "denoising":
    config.objective.features = FEATURES if labels else 128  # of the critic's last layer
  if row == "wgan_gp":
    config.objective.weight = 10.0
    config.optimizer.learning_rate = 2e-4  # that of its code for CIFAR-10; Algorithm 1 has 1e-4
  config.system.update({"latent": 128, "ema": 0.0, "sample_batch": 500})
  for name in ("order", "unroll", "consensus"):  # as they are by default
    del config.system[name]
  config.train = {
    "steps": STEPS,
    "steps_per_call": 100,
    "log_every": 100,
    "checkpoint_every": 5000,
    "sample_every": 5000,
    "evaluate_every": 10_000,
    "samples": 64,
    "keep": 3,
  }
  config.metrics = {"frechet": {"split": "test", "samples": 5000}, "copies": {"split": "test", "samples": 5000}}
  if "tiny" in words:
    _tiny(config)
  return config


def _critic(row: str, labels: bool) -> dict:
  """The net of a row: one that sees labels, where it has to."""
  kind = ROWS[row].critic
  if kind == "autoencoder":
    return {"name": "autoencoder", "widths": (512,), "code": 64, "error": ROWS[row].error}
  if kind == "spectral":
    return {"name": "sn_gan_resnet", "width": 128}
  if labels:
    return {"name": "dcgan", "widths": WIDTHS, "norm": "layer"}
  return {"name": "wgan_gp_32", "width": 128}


def _tiny(config: ConfigDict) -> None:
  """The same nets on a handful of images: a step in seconds, to see that all works, and for bench."""
  few = 2
  config.data.batch = few * config.system.critic_steps
  config.system.sample_batch = 2 * few
  config.train.steps = 2
  config.train.steps_per_call = 1
  config.train.log_every = 1
  config.train.checkpoint_every = 2
  config.train.sample_every = 0
  config.train.evaluate_every = 0
  config.train.samples = 2 * few
  config.metrics = {}
