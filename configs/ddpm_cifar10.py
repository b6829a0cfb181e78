"""DDPM on CIFAR-10, at its published size: 35.7 million parameters, T 1000.

Command   genjax train --config ddpm_cifar10 --config.data.path=cifar-10-binary.tar.gz --workdir gs://BUCKET/run
          ddpm_cifar10:cosine   the schedule and the learned variance of Nichol and Dhariwal, dropout 0.3
          ddpm_cifar10:tiny     the same net on a handful of images, to see that all works; cosine,tiny too
          genjax bench --config ddpm_cifar10 --config.data.name=mock   what a step takes, without the data
Machine   1, 2, 4 ... 128 accelerator chips; hours not measured, as it was not run to its end here. The paper: 800,000
          steps on a v3-8 at 21 steps a second, 10.6 hours
Expect    nothing was measured by us. The paper: FID 3.17, Inception score 9.46, at most 3.75 bits a dimension; cosine:
          at most 2.94 bits a dimension, by a net of another size and 4000 steps
Paper     Ho, Jain & Abbeel 2020, arXiv:2006.11239, appendix B: batches of 128, flips, Adam at 2e-4 with 5,000 steps of
          warming up, norms of gradients up to 1, an average of the weights with decay 0.9999, dropout 0.1;
          Nichol & Dhariwal 2021, arXiv:2102.09672
Departs   The bound is measured with beta tilde; the paper's number is with beta (config.system.variance=beta).
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  if words - {"cosine", "tiny"}:
    raise ValueError("ddpm_cifar10 takes cosine, and tiny to try, joined by a comma")
  cosine = "cosine" in words
  config = ConfigDict({"seed": 0})
  config.data = {"name": "cifar10", "flip": True, "batch": 128}
  config.net = {"name": "unet", "dropout": 0.3 if cosine else 0.1}
  config.optimizer = {"name": "adam", "learning_rate": 2e-4, "warmup_steps": 5000, "clip_norm": 1.0}
  config.system = {
    "name": "ddpm",
    "steps": 1000,
    "schedule": "cosine" if cosine else "linear",
    "variance": "learned" if cosine else "beta_tilde",
    "ema": 0.9999,
    "sample_batch": 500,
  }
  config.train = {
    "steps": 800_000,
    "steps_per_call": 100,
    "log_every": 100,
    "checkpoint_every": 5000,
    "sample_every": 20_000,
    "evaluate_every": 100_000,
    "samples": 64,
    "keep": 3,
  }
  config.metrics = {
    "frechet": {"split": "test", "samples": 5000},
    "copies": {"split": "test", "samples": 5000},
    "bits_per_dim": {"split": "test", "final": True},
  }
  if "tiny" in words:
    _tiny(config)
  return config


def _tiny(config: ConfigDict) -> None:
  """The same net on a handful of images and few steps, to see that all works, and for bench."""
  config.data.batch = 2
  config.system.update({"steps": 4, "sample_batch": 4})
  config.train.update({"steps": 2, "steps_per_call": 1, "log_every": 1, "checkpoint_every": 2, "samples": 4})
  config.train.update({"sample_every": 0, "evaluate_every": 0})
  config.metrics = {}
