"""WINN as a classifier of MNIST, beside ICN and the baseline, with a vanilla CNN or a ResNet-32.

Command   genjax train --config winn_mnist_classifier:vanilla --workdir runs/winn_mnist_classifier
          winn_mnist_classifier:resnet32
          winn_mnist_classifier:vanilla,baseline   and resnet32,baseline: without pseudo-negatives
          winn_mnist_classifier:vanilla,icn        ICN: INN's cross-entropy instead of the Wasserstein loss
          genjax evaluate --workdir runs/winn_mnist_classifier --step best
Machine   one GPU or TPU chip, or 2, 4 or 5 of them; for 8 set minibatch, synthesis_batch, synthesis and initial of
          config.system to 120, and capacity to 24120. Hours, not measured: a turn is an epoch, then 1,000 chains of up
          to 2,000 moves
Expect    test error at the step of the least validation error, in summary.json. The thesis (Table 2.2): vanilla 0.67 %,
          its baseline 0.89 %, ICN 0.81 %; ResNet-32 0.48 %, its baseline 0.45 %. The released code chose its
          step on the test set.
Paper     Lee, Xu, Fan & Tu, "Wasserstein introspective neural networks", CVPR 2018, section 2.5.6 of the dissertation,
          Tables 2.2 and 2.3. 45,000 images to train, 15,000 to choose the step; no augmentation, constant rates, 200
          epochs (released code).
          Synthesis stops each image at its own goal (the thesis); config.system.stop=batch is the released code's rule.
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = "vanilla") -> ConfigDict:
  net, *rest = arg.split(",")
  if net not in ("vanilla", "resnet32") or rest not in ([], ["baseline"], ["icn"]):
    raise ValueError("winn_mnist_classifier takes vanilla or resnet32, then nothing, baseline or icn: vanilla,baseline")
  baseline = "baseline" in rest
  steps = 200
  config = ConfigDict()
  config.seed = 0

  config.data = ConfigDict()
  config.data.name = "mnist"
  config.data.split = "train[:45000]"
  config.data.path = config_dict.placeholder(str)
  config.data.data_dir = config_dict.placeholder(str)  # where TFDS keeps prepared sets
  config.data.size = 28
  config.data.channels = config_dict.placeholder(int)
  config.data.batch = 45_000  # a turn is an epoch
  config.data.flip = False
  config.data.pad = 0
  config.data.crop = 0

  config.net = ConfigDict({"name": net, "f_on": "logits", "dropout": 0.0})
  config.noise = ConfigDict({"name": "decoder", "width": 512})
  config.objective = ConfigDict({"name": "inn"} if "icn" in rest else {"name": "winn", "weight": 10.0})
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
  config.system.pool_dtype = "uint8"  # 158 MB; four times as much in float32

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
  config.metrics.validation = "train[45000:]"
  config.metrics.split = "test"
  return config
