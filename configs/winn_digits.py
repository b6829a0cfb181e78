"""WINN-single learns to write digits: the bundled 8x8 handwritten digits, minutes on a laptop.

Command   genjax train --config winn_digits --workdir runs/winn_digits
          winn_digits:cascade   four stages of a quarter of the turns each (eq 2.9)
          winn_digits:inn       INN's cross-entropy instead of the Wasserstein loss; all else the same
          winn_digits:inn_cascade
          genjax study digits   trains all of them and prints the table
Machine   2 CPU cores, about five minutes; any other device works with the same command
Expect    see README.md, "What it shows"
Paper     Lee, Xu, Fan & Tu, "Wasserstein introspective neural networks", CVPR 2018, Algorithm 1; the thesis
          has no run on digits this small, so sizes and rates here are ours, chosen for two cores
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = "") -> ConfigDict:
  if arg not in ("", "cascade", "inn", "inn_cascade"):
    raise ValueError("winn_digits takes cascade, inn or inn_cascade")
  steps = 400
  config = ConfigDict()
  config.seed = 0

  config.data = ConfigDict()
  config.data.name = "digits"
  config.data.split = "train"
  config.data.path = config_dict.placeholder(str)  # of a folder of images, or of an archive
  config.data.data_dir = config_dict.placeholder(str)  # where TFDS keeps prepared sets
  config.data.size = 8
  config.data.channels = config_dict.placeholder(int)  # 1 grey, 3 colour; unset: as the images are
  config.data.batch = 256
  config.data.flip = False
  config.data.pad = 0
  config.data.crop = 0

  config.net = ConfigDict({"name": "convnet", "blocks": ((32, 32), (64, 64))})
  config.noise = ConfigDict({"name": "decoder", "width": 64})
  config.objective = ConfigDict({"name": "inn"} if "inn" in arg else {"name": "winn", "weight": 10.0})
  config.sampler = ConfigDict({"name": "adam", "rate": 0.03, "b1": 0.9, "b2": 0.99})

  config.system = ConfigDict()
  config.system.name = "winn"
  config.system.passes = 3
  config.system.minibatch = 64  # paper: 50; 64 divides over up to 64 devices
  config.system.rate = 3e-4  # paper: 1e-4, for nets and runs far larger
  config.system.b1 = 0.0
  config.system.b2 = 0.9
  config.system.decay_steps = steps
  config.system.ema = 0.999
  config.system.ascent_steps = 60
  config.system.stop = "example"
  config.system.synthesis = 128
  config.system.synthesis_batch = 128
  config.system.initial = 1024
  config.system.capacity = 10_240
  config.system.policy = "reservoir"
  config.system.pool_dtype = "float32"
  config.system.cascades = 4 if "cascade" in arg else 1
  config.system.cascade_steps = steps // 4
  config.system.starts = 1024

  config.train = ConfigDict()
  config.train.steps = steps
  config.train.steps_per_call = 10
  config.train.log_every = 10
  config.train.checkpoint_every = 50
  config.train.sample_every = 50
  config.train.evaluate_every = 50
  config.train.samples = 64
  config.train.keep = 3

  config.metrics = ConfigDict()
  config.metrics.name = "frechet"
  config.metrics.split = "test"
  config.metrics.samples = 500
  return config
