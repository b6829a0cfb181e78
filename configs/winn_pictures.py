"""WINN-single learns a folder of your own pictures, at 16x16, in a net that a laptop can train.

Command   genjax train --config winn_pictures --config.data.path=pictures --workdir runs/pictures
          a set that TFDS prepared: --config.data.name=tfds --config.data.dataset=mnist --config.data.size=16
          sharper, and dearer: --config.data.size=32 --config.net.blocks=((32,32),(64,64),(128,128))
Machine   2 CPU cores: the command says at its start what a step takes and how long the run will be
Expect    depends on the pictures; a tenth of a folder without a test split is held out and measured against
Paper     Lee, Xu, Fan & Tu, "Wasserstein introspective neural networks", CVPR 2018, Algorithm 1; sizes are ours
"""

from ml_collections import ConfigDict

from genjax.config import load_config


def get_config() -> ConfigDict:
  config = load_config("winn_digits")  # all but what follows
  config.data = {"name": "folder", "size": 16, "batch": 256}
  config.net.blocks = ((16, 16), (32, 32), (64, 64))
  config.system.update({"synthesis": 64, "synthesis_batch": 64, "minibatch": 64, "initial": 512, "capacity": 4096})
  config.train.update({"steps": 600, "steps_per_call": 1, "log_every": 5, "sample_every": 25, "evaluate_every": 50})
  for metric in config.metrics.values():
    metric.samples = 256
  return config
