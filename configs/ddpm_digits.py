"""A diffusion model learns to write digits: the bundled 8x8 handwritten digits, minutes on a laptop.

Command   genjax train --config ddpm_digits --workdir runs/ddpm_digits
          ddpm_digits:ddim   samples are drawn in 50 steps without noise in between, in place of 200 with it
Machine   2 CPU cores, about ten minutes; any other device works with the same command
Expect    seed 0: Frechet distance 1.8 (real digits 1.6, a Gaussian of pixels 17.8), no copies among 500 samples
Paper     Ho, Jain & Abbeel 2020, arXiv:2006.11239; sizes are ours, for two cores, with 200 steps from image to noise in
          place of 1000 and the cosine schedule of Nichol & Dhariwal 2021, arXiv:2102.09672
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
  if arg not in ("", "ddim"):
    raise ValueError("ddpm_digits takes ddim, or nothing")
  config = ConfigDict({"seed": 0})
  config.data = {"name": "digits", "batch": 64}

  config.net = {
    "name": "unet",
    "widths": (24, 48),
    "blocks": 1,
    "attention": (1,),
    "groups": 8,
    "dropout": 0.1,
  }
  config.optimizer = {
    "name": "adam",
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "warmup_steps": 100,
    "clip_norm": 1.0,
  }
  config.system = {
    "name": "ddpm",
    "steps": 200,
    "schedule": "cosine",
    "sampler_steps": 50 if arg else None,
    "eta": 0.0 if arg else 1.0,
    "ema": 0.999,  # paper: 0.9999, for runs far longer
  }
  config.train = {
    "steps": 4000,
    "steps_per_call": 20,
    "log_every": 20,
    "checkpoint_every": 1000,
    "sample_every": 1000,
    "evaluate_every": 2000,
    "samples": 64,
    "keep": 3,
  }
  config.metrics = {
    "frechet": {"split": "test", "samples": 500},
    "copies": {"split": "test", "samples": 500},
    "anchors": {"name": "frechet_anchors", "split": "test", "samples": 500, "final": True},
  }
  return config
