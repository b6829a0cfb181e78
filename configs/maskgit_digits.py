"""MaskGIT draws digits in eight steps: the bundled 8x8 handwritten digits as 4x4 tokens, minutes on a laptop.

Command   genjax train --config maskgit_digits --workdir runs/maskgit_digits
          One run trains the tokens (a VQ-VAE, as in vqvae_digits) and the transformer that fills them in.
          --config.system.sampler_steps=16   settles one token in each step, as an autoregressive model does
Machine   2 CPU cores, a few minutes; any other device works with the same command
Expect    not measured
Paper     Chang et al. 2022, arXiv:2202.04200; sizes are ours, for two cores
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
  if arg:
    raise ValueError("maskgit_digits takes no argument")
  config = ConfigDict({"seed": 0})
  config.data = {"name": "digits", "batch": 64}

  config.encoder = {"name": "grid_encoder", "widths": (64,), "blocks": 2}
  config.decoder = {"name": "grid_decoder", "widths": (64,), "blocks": 2}
  config.net = {
    "name": "bidirectional",
    "width": 96,
    "depth": 3,
    "heads": 4,
    "dropout": 0.2,
    "dtype": "float32",
  }
  config.optimizer = {"name": "adam", "learning_rate": 1e-3, "schedule": "cosine", "warmup_steps": 100}
  config.system = {
    "name": "maskgit",
    "codes": 32,
    "latent": 8,
    "sampler_steps": 8,
    "temperature": 1.0,  # paper: 4.5, for 256 tokens
    "smoothing": 0.1,
    "ema": 0.995,
  }
  config.train = {
    "steps": 4000,
    "steps_per_call": 20,
    "log_every": 20,
    "checkpoint_every": 1000,
    "sample_every": 1000,
    "evaluate_every": 1000,
    "samples": 64,
    "keep": 3,
  }
  config.metrics = {
    "frechet": {"split": "test", "samples": 500},
    "copies": {"split": "test", "samples": 500},
    "anchors": {"name": "frechet_anchors", "split": "test", "samples": 500, "final": True},
  }
  return config
