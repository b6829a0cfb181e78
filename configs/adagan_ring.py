"""AdaGAN learns 8 Gaussians on a ring: five generators, each for what those before it miss.

Command   genjax train --config adagan_ring --workdir runs/adagan_ring
Machine   2 CPU cores, one to two minutes
Expect    seed 0, one run: 8 modes of 8, and 89 % of the samples within three deviations of one; after the first of the
          five generators 4 modes and 78 %, in a fifth of the steps
Paper     Tolstikhin et al. 2017, arXiv:1701.02386; nets, learning rates, batch and numbers of steps are ours
"""

from ml_collections import ConfigDict

from genjax.config import load_config

COMPONENTS, COMPONENT_STEPS = 5, 2000
CANDIDATES = 4


def get_config() -> ConfigDict:
  config = load_config("gan_ring:non_saturating,shared")  # all but what follows
  config.data.batch *= CANDIDATES
  config.optimizer.schedule = "constant"
  config.system = {
    "name": "adagan",
    "components": COMPONENTS,
    "component_steps": COMPONENT_STEPS,
    "mixture_critic_steps": 500,
    "candidates": CANDIDATES,
    "latent": 16,
    "ema": 0.99,
  }
  config.train.steps = COMPONENTS * COMPONENT_STEPS
  return config
