"""WINN-single learns to write digits: the bundled 8x8 handwritten digits, minutes on a laptop.

Command   genjax train --config winn_digits --workdir runs/winn_digits
          winn_digits:cascade   four stages of a quarter of the steps each (eq 2.9)
          winn_digits:inn       INN's cross-entropy instead of the Wasserstein loss; all else the same
          winn_digits:inn_cascade
          genjax study digits   trains all of them and prints the table
Machine   2 CPU cores, about eight minutes; any other device works with the same command
Expect    Frechet distance 2.3, the median of the last three evaluations; see notebooks/README.md, "Digits"
Paper     Lee, Xu, Fan & Tu, "Wasserstein introspective neural networks", CVPR 2018, Algorithm 1; the thesis
          has no run on digits this small, so sizes and learning rates are ours, for two cores
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
  if arg not in ("", "cascade", "inn", "inn_cascade"):
    raise ValueError("winn_digits takes cascade, inn or inn_cascade")
  steps = 400
  config = ConfigDict({"seed": 0})
  config.data = {"name": "digits", "batch": 256}

  config.net = {"name": "convnet", "blocks": ((32, 32), (64, 64))}
  config.noise = {"name": "decoder", "width": 64}
  config.objective = {"name": "inn"} if "inn" in arg else {"name": "winn", "weight": 10.0}
  config.sampler = {"name": "adam", "learning_rate": 0.03, "b1": 0.9, "b2": 0.99}
  config.optimizer = {
    "name": "adam",
    "learning_rate": 3e-4,  # paper: 1e-4, for nets and runs far larger
    "b1": 0.0,
    "b2": 0.9,
    "schedule": "cosine",
  }
  config.system = {
    "name": "winn",
    "passes": 3,
    "minibatch": 64,  # paper: 50; 64 divides over up to 64 devices
    "ema": 0.999,
    "ascent_steps": 60,
    "stop": "example",
    "synthesis": 128,
    "synthesis_batch": 128,
    "initial": 1024,
    "capacity": 10_240,
    "policy": "reservoir",
    "pool_dtype": "float32",
    "cascades": 4 if "cascade" in arg else 1,
    "cascade_steps": steps // 4,
    "starts": 1024,
  }
  config.train = {
    "steps": steps,
    "steps_per_call": 10,
    "log_every": 10,
    "checkpoint_every": 50,
    "sample_every": 50,
    "evaluate_every": 50,
    "samples": 64,
    "keep": 3,
  }
  config.metrics = {
    "frechet": {"split": "test", "samples": 500},
    "copies": {"split": "test", "samples": 500},
    "anchors": {"name": "frechet_anchors", "split": "test", "samples": 500, "final": True},
  }
  return config
