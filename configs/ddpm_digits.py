"""A diffusion model learns to write digits: the bundled 8x8 handwritten digits, minutes on a laptop.

Command   genjax train --config ddpm_digits --workdir runs/ddpm_digits
          ddpm_digits:ddim       samples are drawn in 50 steps without noise in between, in place of 200 with it
          ddpm_digits:labels     the net sees the labels; samples are guided (w 1), image i is of class i modulo 10
          ddpm_digits:velocity   the net says the velocity, in place of the noise; image: the image
          ddpm_digits:learned    the net says the variance of a step as well
          ddpm_digits:dit        a transformer in the U-Net's place; words are joined by commas: ddim,labels,velocity
Machine   2 CPU cores, about ten minutes; any other device works with the same command
Expect    seed 0: Frechet distance 1.8 (real digits 1.6, a Gaussian of pixels 17.8), no copies among 500 samples
Paper     Ho, Jain & Abbeel 2020, arXiv:2006.11239; sizes are ours, for two cores, with 200 steps from image to noise in
          place of 1000 and the cosine schedule of Nichol & Dhariwal 2021, arXiv:2102.09672; Song et al. 2021,
          arXiv:2010.02502; Ho & Salimans 2022, arXiv:2207.12598; Peebles & Xie 2023, arXiv:2212.09748
"""

from ml_collections import ConfigDict

WORDS = ("ddim", "labels", "velocity", "image", "learned", "dit")


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  if words - set(WORDS) or {"velocity", "image"} <= words or {"ddim", "learned"} <= words:
    raise ValueError(f"wanted words of {', '.join(WORDS)}; not velocity with image, nor ddim with learned")
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
  if "dit" in words:
    config.net = {"name": "dit", "patch": 2, "width": 96, "depth": 3, "heads": 4, "dtype": "float32"}
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
    "prediction": next(iter(words & {"velocity", "image"}), "noise"),
    "variance": "learned" if "learned" in words else "beta_tilde",
    "sampler_steps": 50 if "ddim" in words else None,
    "eta": 0.0 if "ddim" in words else 1.0,
    "conditional": "labels" in words,
    "guidance": 1.0 if "labels" in words else 0.0,
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
    "bits_per_dim": {"split": "test", "final": True},
    "anchors": {"name": "frechet_anchors", "split": "test", "samples": 500, "final": True},
  }
  return config
