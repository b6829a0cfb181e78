"""WINN as a classifier of SVHN's cropped digits, beside its baseline: a ResNet-32, the train split alone.

Command   genjax train --config winn_svhn_classifier --workdir runs/winn_svhn_classifier
          winn_svhn_classifier:baseline   without pseudo-negatives
          winn_svhn_classifier:icn        ICN: INN's cross-entropy instead of the Wasserstein loss
          genjax evaluate --workdir runs/winn_svhn_classifier --step best
Machine   one GPU or TPU chip, or 2, 4 or 5 of them; for 8 set minibatch, synthesis_batch, synthesis and initial of
          config.system to 120, and capacity to 24120. Hours, not measured: a turn is an epoch, then 1,000 chains of up
          to 2,000 moves
Expect    test error at the step of the least validation error, in summary.json. The thesis (Table 2.2): 4.50 %, its
          baseline 4.64 %. The released code chose its step on the test set.
Paper     Lee, Xu, Fan & Tu, "Wasserstein introspective neural networks", CVPR 2018, section 2.5.6 of the dissertation,
          Tables 2.2 and 2.4. It trains on the train split (73,257 images, none of the 531,131 extra ones) and does not
          say how it chose the step; here the last 7,257 of them choose it and are not trained on. Rates and epochs as
          on MNIST.
          Synthesis stops each image at its own goal (the thesis); config.system.stop=batch is the released code's rule.
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = "") -> ConfigDict:
  if arg not in ("", "baseline", "icn"):
    raise ValueError("winn_svhn_classifier takes baseline or icn")
  baseline = arg == "baseline"
  steps = 200
  config = ConfigDict()
  config.seed = 0

  config.data = ConfigDict()
  config.data.name = "svhn_cropped"
  config.data.split = "train[:66000]"
  config.data.path = config_dict.placeholder(str)
  config.data.data_dir = config_dict.placeholder(str)  # where TFDS keeps prepared sets
  config.data.size = 32
  config.data.channels = config_dict.placeholder(int)
  config.data.batch = 66_000  # a turn is an epoch
  config.data.flip = False
  config.data.pad = 0
  config.data.crop = 0

  config.net = ConfigDict({"name": "resnet32", "f_on": "logits", "dropout": 0.0})
  config.noise = ConfigDict({"name": "decoder", "width": 512})
  config.objective = ConfigDict({"name": "inn"} if arg == "icn" else {"name": "winn", "weight": 10.0})
  config.sampler = ConfigDict({"name": "adam", "rate": 0.02, "b1": 0.9, "b2": 0.9})

  config.system = ConfigDict()
  config.system.name = "winn_classifier"
  config.system.alpha = 0.0 if baseline else 0.01
  config.system.passes = 1
  config.system.minibatch = 100
  config.system.rate = 1e-3
  config.system.b1 = 0.0
  config.system.b2 = 0.9
  config.system.decay_steps = config_dict.placeholder(int)
  config.system.ema = 0.0
  config.system.ascent_steps = 2000
  config.system.class_weight = 0.5
  config.system.tolerance = 1e-3
  config.system.stop = "example"
  config.system.synthesis = 0 if baseline else 100  # of each class a turn
  config.system.synthesis_batch = 100
  config.system.initial = 100
  config.system.capacity = 100 * (1 + steps)  # of each class: all that is ever made
  config.system.policy = "reservoir"
  config.system.pool_dtype = "uint8"  # 618 MB; four times as much in float32

  config.train = ConfigDict()
  config.train.steps = steps
  config.train.steps_per_call = 1
  config.train.log_every = 1
  config.train.checkpoint_every = 5
  config.train.sample_every = 0 if baseline else 10
  config.train.evaluate_every = 1
  config.train.samples = 100  # ten columns, one for each digit
  config.train.keep = 2
  config.train.best = "validation_error"

  config.metrics = ConfigDict()
  config.metrics.name = "error"
  config.metrics.validation = "train[66000:]"
  config.metrics.split = "test"
  return config
