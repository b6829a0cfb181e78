"""A GAN learns 25 Gaussians on a square grid: does its generator find every mode?

Command   genjax train --config gan_grid:wgan_gp --workdir runs/gan_grid
Args      a row of the zoo (`genjax objectives` lists them); wgan_gp unless given
Machine   2 CPU cores, about a minute
Expect    wgan_gp: 13.6 +- 5.6 modes, 5 +- 6 % good, over five seeds; other rows in notebooks/README.md.
          "modes" of 25, and "good": the share of samples within three deviations of a mode
Paper     Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761, has the grid and its two measures; all else is that of
          gan_ring
"""

from ml_collections import ConfigDict

from genjax.config import load_config


def get_config(arg: str = "wgan_gp") -> ConfigDict:
  config = load_config(f"gan_ring:{arg}")  # all but what follows
  config.data.name = "grid"
  return config
