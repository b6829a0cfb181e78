"""A GAN learns 25 Gaussians on a square grid: does its generator find every mode?

Command   genjax train --config gan_grid:wgan_gp --workdir runs/gan_grid
Args      a row of the zoo, and a word, as gan_ring takes them; wgan_gp unless given
Machine   2 CPU cores, one to two minutes
Expect    "modes" of 25, and "good": the share of samples within three deviations of a mode: see notebooks/README.md
Paper     Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761, has the grid and its two measures; all else is that of
          gan_ring
"""

from ml_collections import ConfigDict

from genjax.config import load_config


def get_config(arg: str = "wgan_gp") -> ConfigDict:
  config = load_config(f"gan_ring:{arg}")  # all but what follows
  config.data.name = "grid"
  return config
