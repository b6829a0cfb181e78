"""D2GAN learns 8 Gaussians on a ring: one critic for each direction of the KL divergence.

Command   genjax train --config d2gan_ring --workdir runs/d2gan_ring
Machine   2 CPU cores, one to two minutes
Expect    seed 0, one run: 8 modes of 8, and 67 % of the samples within three deviations of one
Paper     Nguyen et al. 2017, arXiv:1709.03831: alpha 0.2, beta 0.1 and Adam with b1 0.5; nets, rate, batch and number
          of steps are those of gan_ring, ours
"""

from ml_collections import ConfigDict, config_dict

STEPS = 10_000


def get_config() -> ConfigDict:
  config = ConfigDict()
  config.seed = 0

  config.data = ConfigDict()
  config.data.name = "ring"
  config.data.split = "train"
  config.data.path = config_dict.placeholder(str)
  config.data.data_dir = config_dict.placeholder(str)
  config.data.size = config_dict.placeholder(int)
  config.data.channels = config_dict.placeholder(int)
  config.data.batch = 256

  config.generator = ConfigDict({"name": "mlp", "widths": (128, 128), "activation": "relu", "bounded": False})
  config.net = ConfigDict({"name": "mlp", "widths": (128, 128), "activation": "relu"})  # of both critics

  config.system = ConfigDict()
  config.system.name = "d2gan"
  config.system.alpha = 0.2
  config.system.beta = 0.1
  config.system.latent = 16
  config.system.prior = "normal"
  config.system.critic_steps = 1
  config.system.optimizer = "adam"
  config.system.rate = 1e-3
  config.system.generator_rate = config_dict.placeholder(float)
  config.system.b1 = 0.5
  config.system.b2 = 0.999
  config.system.decay_steps = STEPS
  config.system.ema = 0.99
  config.system.sample_batch = 2500

  config.train = ConfigDict()
  config.train.steps = STEPS
  config.train.steps_per_call = 50
  config.train.log_every = 50
  config.train.checkpoint_every = 1000
  config.train.sample_every = 1000
  config.train.evaluate_every = 500
  config.train.samples = 2500
  config.train.keep = 2

  config.metrics = ConfigDict()
  config.metrics.name = "modes"
  config.metrics.split = "test"  # not looked at: the centres are known
  config.metrics.samples = 2500
  return config
