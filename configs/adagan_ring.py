"""AdaGAN learns 8 Gaussians on a ring: five generators, each for what those before it miss.

Command   genjax train --config adagan_ring --workdir runs/adagan_ring
Machine   2 CPU cores, one to two minutes
Expect    seed 0, one run: 8 modes of 8, and 57 % of the samples within three deviations of one; after the first of the
          five generators 6 modes and 18 %, in a fifth of the steps
Paper     Tolstikhin et al. 2017, arXiv:1701.02386; nets, rates, batch and numbers of steps are ours
"""

from ml_collections import ConfigDict, config_dict

COMPONENTS, COMPONENT_STEPS = 5, 2000
CANDIDATES = 4
STEPS = COMPONENTS * COMPONENT_STEPS


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
  config.data.batch = 256 * CANDIDATES

  config.generator = ConfigDict({"name": "mlp", "widths": (128, 128), "activation": "relu", "bounded": False})
  config.net = ConfigDict({"name": "mlp", "widths": (128, 128), "activation": "relu"})  # of critic and judge
  config.objective = ConfigDict({"name": "non_saturating"})

  config.system = ConfigDict()
  config.system.name = "adagan"
  config.system.components = COMPONENTS
  config.system.component_steps = COMPONENT_STEPS
  config.system.judge_steps = 500
  config.system.candidates = CANDIDATES
  config.system.judge_rate = 1e-3
  config.system.latent = 16
  config.system.critic_steps = 1
  config.system.optimizer = "adam"
  config.system.rate = 1e-3
  config.system.generator_rate = config_dict.placeholder(float)
  config.system.b1 = 0.5
  config.system.b2 = 0.999
  config.system.ema = 0.99

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
