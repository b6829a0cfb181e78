"""A GAN learns CIFAR-10: WGAN-GP with its residual nets, or SN-GAN with its own.

Command   genjax train --config gan_cifar10 --config.data.path=cifar-10-binary.tar.gz --workdir gs://BUCKET/run
          gan_cifar10:sn_gan          hinge loss, spectrally normalised critic, wider generator
          gan_cifar10:tiny            the same nets on a handful of images, to see that all works; sn_gan,tiny too
          genjax bench --config gan_cifar10 --config.data.name=mock   what a step takes, without the data
Machine   1, 2, 4 ... 64 accelerator chips; hours not measured, as it was not run to its end here. A step is five
          updates of the critic and one of the generator
Expect    nothing: no run was made to see what it reaches
Paper     Gulrajani et al. 2017, arXiv:1704.00028, Algorithm 1 and `gan_cifar_resnet`: lambda 10, 5 updates of the
          critic on 64 images each, Adam at 2e-4 with b1 0, b2 0.9, a learning rate that falls linearly to 0 in 100,000
          steps. Miyato et al. 2018, arXiv:1802.05957, for sn_gan: hinge, the same Adam and number of updates
Departs   The generator moves on 64 images; both codes give it 128. That code adds noise to its 8-bit images; here are
          none. sn_gan has the steps and the decay of WGAN-GP. Neither net sees the labels.
"""

from ml_collections import ConfigDict

STEPS = 100_000  # updates of the generator


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  if words - {"wgan_gp", "sn_gan", "tiny"} or {"wgan_gp", "sn_gan"} <= words:
    raise ValueError("wanted wgan_gp or sn_gan, and tiny to try, joined by a comma")
  spectral = "sn_gan" in words
  m, critic_steps = 64, 5

  config = ConfigDict({"seed": 0})
  config.data = {"name": "cifar10", "batch": m * critic_steps}

  config.generator = {"name": "resnet", "width": 256 if spectral else 128}
  config.critic = {"name": "sn_gan_resnet" if spectral else "wgan_gp_32", "width": 128}
  config.objective = {"name": "sn_gan"} if spectral else {"name": "wgan_gp", "weight": 10.0}
  config.optimizer = {"name": "adam", "learning_rate": 2e-4, "b1": 0.0, "b2": 0.9, "schedule": "linear"}
  config.system = {
    "name": "gan",
    "latent": 128,
    "prior": "normal",
    "critic_steps": critic_steps,
    "ema": 0.0,
    "sample_batch": 500,
  }
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
