"""D2GAN learns 8 Gaussians on a ring: one critic for each direction of the KL divergence.

Command   genjax train --config d2gan_ring --workdir runs/d2gan_ring
Machine   2 CPU cores, one to two minutes
Expect    seed 0, one run: 8 modes of 8, and 58 % of the samples within three deviations of one
Paper     Nguyen et al. 2017, arXiv:1709.03831: alpha 0.2, beta 0.1 and Adam with b1 0.5; steps as in gan_ring, but
          nets and batches are larger and the learning rate is lower: with gan_ring's own it had 6 modes and 0.5 %
"""

from ml_collections import ConfigDict

from genjax.config import load_config


def get_config() -> ConfigDict:
  config = load_config("gan_ring:non_saturating,shared")  # all but what follows
  del config.objective
  config.generator.widths = config.critic.widths = (128, 128)  # the critic is that of both critics
  config.data.batch = 256
  config.optimizer.learning_rate = 1e-3
  config.system = {"name": "d2gan", "alpha": 0.2, "beta": 0.1, "latent": 16, "ema": 0.99, "sample_batch": 2500}
  return config
