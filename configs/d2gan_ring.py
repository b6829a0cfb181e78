"""D2GAN learns 8 Gaussians on a ring: one critic for each direction of the KL divergence.

Command   genjax train --config d2gan_ring --workdir runs/d2gan_ring
Machine   2 CPU cores, one to two minutes
Expect    seed 0, one run: 8 modes of 8, and 58 % of the samples within three deviations of one
Paper     Nguyen et al. 2017, arXiv:1709.03831: alpha 0.2, beta 0.1 and Adam with b1 0.5; steps as in gan_ring, but
          nets and batches are larger and the rate is lower: with gan_ring's own it had 6 modes and 0.5 %
"""

from ml_collections import ConfigDict

from genjax.command import load_config


def get_config() -> ConfigDict:
  config = load_config("gan_ring:non_saturating").unlock()  # all but what follows
  del config.objective
  del config.net.spectral  # the net is that of both critics
  config.generator.widths = config.net.widths = (128, 128)
  config.data.batch = 256
  system = config.system
  system.rate = 1e-3
  for key in ("classes", "clip", "order", "unroll", "consensus"):
    del system[key]
  system.name = "d2gan"
  system.alpha = 0.2
  system.beta = 0.1
  return config
