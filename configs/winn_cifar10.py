"""WINN learns CIFAR-10: one network, or a cascade of five stages of it.

Command   genjax train --config winn_cifar10 --config.data.path=cifar-10-binary.tar.gz --workdir gs://BUCKET/run
          winn_cifar10:cascades   five stages (WINN-5CNNs)
          winn_cifar10:exact, winn_cifar10:cascades,exact   the thesis' minibatch
          winn_cifar10:tiny           a handful of images, to see that all works
          genjax bench --config winn_cifar10 --config.data.name=mock   what a step takes, without the data
Machine   1, 2, 4 ... 64 accelerator chips; hours not measured, as it was not run to its end here. In each step 1,280
          images climb, by up to 2,000 moves
Expect    the thesis' Inception score on 50,000 samples: 4.62 +- .05 (single), 5.58 +- .05 (five stages); nothing was
          measured by us
Paper     Lee, Xu, Fan & Tu, "Wasserstein introspective neural networks", CVPR 2018, sections 2.5.1 and 2.5.5 of the
          dissertation: training images with horizontal flips, the ResNet critic of WGAN-GP, Adam at 1e-4 with b1 0,
          b2 0.9; images by Adam at 0.01 with b1 0.9, b2 0.99; at most 10,000 images a step
Departs   Minibatches of 64 + 64 and 1,280 new images a step, which divide over 1 to 64 devices; the thesis has 50 + 50
          and 1,000. The word `exact` brings its numbers back, for 1, 2, 5, 10, 25 or 50 devices. As in the released
          code, the first steps see 1/5, 2/5 ... of the positives, and a stage has 100 steps.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  if words - {"single", "cascades", "exact", "tiny"} or {"single", "cascades"} <= words:
    raise ValueError("wanted single or cascades, and exact for the thesis' minibatch, tiny to try, joined by a comma")
  m, stages = 50 if "exact" in words else 64, 5 if "cascades" in words else 1

  config = ConfigDict({"seed": 0})
  config.data = {"name": "cifar10", "flip": True, "batch": 100 * m}  # positives a step; as many pseudo-negatives

  config.net = {"name": "wgan_gp_32", "width": 128}
  config.noise = {"name": "decoder", "width": 512}
  config.objective = {"name": "winn", "weight": 10.0}
  config.sampler = {"name": "adam", "learning_rate": 0.01, "b1": 0.9, "b2": 0.99}
  config.optimizer = {"name": "adam", "learning_rate": 1e-4, "b1": 0.0, "b2": 0.9}
  config.system = {
    "name": "winn",
    "passes": 3,
    "minibatch": m,
    "ramp": 5,
    "ema": 0.0,
    "ascent_steps": 2000,
    "stop": "example",
    "synthesis": 20 * m,
    "synthesis_batch": 2 * m,
    "initial": 200 * m,
    "capacity": 2400 * m,  # released code: 119,000 after a stage, on disk; here on the devices
    "policy": "reservoir",
    "pool_dtype": "uint8",
    "cascades": stages,
    "cascade_steps": 100,
    "starts": 200 * m,
  }
  config.train = {
    "steps": 100 * stages,
    "steps_per_call": 1,
    "log_every": 1,
    "checkpoint_every": 5,
    "sample_every": 10,
    "evaluate_every": 10,
    "samples": 64,
    "keep": 3,
  }
  config.metrics = {"frechet": {"split": "test", "samples": 5000}, "copies": {"split": "test", "samples": 5000}}
  if "tiny" in words:
    _tiny(config)
  return config


def _tiny(config: ConfigDict) -> None:
  """The same net on a handful of images: a step in seconds or minutes, to see that all works, and for bench."""
  few = 8
  config.data.batch = config.system.synthesis = config.system.synthesis_batch = 2 * few
  config.system.minibatch = config.system.initial = few
  config.system.starts = 2 * few
  config.system.capacity = 8 * few
  config.system.ramp = 1
  config.system.ascent_steps = 10
  config.system.cascade_steps = 2
  config.train.steps = 2 * config.system.cascades
  config.train.checkpoint_every = 2
  config.train.sample_every = 0
  config.train.evaluate_every = 0
  config.metrics = {}
