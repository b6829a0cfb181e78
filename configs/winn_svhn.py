"""WINN learns SVHN: a cascade of four stages of one network.

Command   genjax train --config winn_svhn --config.data.data_dir=TFDS --workdir gs://BUCKET/run
          winn_svhn:single   one stage; winn_svhn:exact, winn_svhn:single,exact   the thesis' minibatch
          winn_svhn:tiny           a handful of images, to see that all works
          genjax bench --config winn_svhn --config.data.name=mock   what a step takes, without the data
Machine   1, 2, 4 ... 64 accelerator chips; hours not measured, as it was not run to its end here. In each step 1,280
          images climb, by up to 2,000 moves
Expect    digits of house numbers; the thesis shows pictures (figure 2.6) and no number
Paper     Lee, Xu, Fan & Tu, "Wasserstein introspective neural networks", CVPR 2018, sections 2.5.1 and 2.5.4 of the
          dissertation: the 73,257 training images, the ResNet critic of WGAN-GP, four CNNs
Departs   Minibatches of 64 + 64 and 1,280 new images a step, which divide over 1 to 64 devices; the thesis has 50 + 50
          and 1,000. The word `exact` brings its numbers back, for 1, 2, 5, 10, 25 or 50 devices. As in the released
          code, the first steps see 1/5, 2/5 ... of the positives, and a stage has 100 steps.
"""

from ml_collections import ConfigDict

from genjax.config import load_config


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  if words - {"single", "exact", "tiny"}:
    raise ValueError("wanted single for one stage, exact for the thesis' minibatch, tiny to try, joined by a comma")
  stages = 1 if "single" in words else 4
  config = load_config(f"winn_cifar10:{','.join(words - {'single'})}")  # all but what follows
  config.data = {"name": "tfds", "dataset": "svhn_cropped", "batch": config.data.batch}
  config.train.steps *= stages
  config.system.cascades = stages
  return config
