"""A VQ-VAE makes tokens of digits: the bundled 8x8 handwritten digits, each as 4x4 tokens of 32 codes.

Command   genjax train --config vqvae_digits --workdir runs/vqvae_digits
          genjax encode --workdir runs/vqvae_digits --out tokens.npz
Machine   2 CPU cores, a minute or two; any other device works with the same command
Expect    not measured
Paper     van den Oord et al. 2017, arXiv:1711.00937; sizes are ours, for two cores
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
  if arg:
    raise ValueError("vqvae_digits takes no argument")
  config = ConfigDict({"seed": 0})
  config.data = {"name": "digits", "batch": 64}

  config.encoder = {"name": "grid_encoder", "widths": (64,), "blocks": 2}
  config.decoder = {"name": "grid_decoder", "widths": (64,), "blocks": 2}
  config.optimizer = {"name": "adam", "learning_rate": 1e-3, "schedule": "cosine"}  # paper: 2e-4, for longer runs
  config.system = {"name": "vqvae", "codes": 32, "latent": 8, "beta": 0.25, "decay": 0.99, "ema": 0.0}
  config.train = {
    "steps": 2000,
    "steps_per_call": 20,
    "log_every": 20,
    "checkpoint_every": 1000,
    "sample_every": 0,
    "evaluate_every": 0,
    "keep": 3,
  }
  return config
