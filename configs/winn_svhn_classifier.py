"""WINN as a classifier of SVHN's cropped digits, beside its baseline: a ResNet-32, the train split alone.

Command   genjax train --config winn_svhn_classifier --workdir runs/winn_svhn_classifier
          winn_svhn_classifier:baseline   without pseudo-negatives
          winn_svhn_classifier:icn        ICN: INN's cross-entropy instead of the Wasserstein loss
          genjax evaluate --workdir runs/winn_svhn_classifier --step best
Machine   one GPU or TPU chip, or 2, 4 or 5 of them; for 8 set minibatch, synthesis_batch, synthesis and initial of
          config.system to 120, and capacity to 24120. Hours, not measured: a step is an epoch, then 1,000 chains of up
          to 2,000 moves
Expect    test error at the step of the least validation error, in summary.json. The thesis (Table 2.2): 4.50 %, its
          baseline 4.64 %. The released code chose its step on the test set.
Paper     Lee, Xu, Fan & Tu, "Wasserstein introspective neural networks", CVPR 2018, section 2.5.6 of the dissertation,
          Tables 2.2 and 2.4. It trains on the train split (73,257 images, none of the 531,131 extra ones) and does not
          say how it chose the step; here the last 7,257 of them choose it and are not trained on. Learning
          rate and epochs are those of MNIST.
          Synthesis stops each image at its own goal (the thesis); config.system.stop=batch is the released code's rule.
"""

from ml_collections import ConfigDict

from genjax.config import load_config


def get_config(arg: str = "") -> ConfigDict:
  if arg not in ("", "baseline", "icn"):
    raise ValueError("winn_svhn_classifier takes baseline or icn")
  config = load_config("winn_mnist_classifier:resnet32" + (f",{arg}" if arg else ""))  # all but what follows
  config.data = {"name": "tfds", "dataset": "svhn_cropped", "split": "train[:66000]"}
  config.data.batch = 66_000  # a step is an epoch; the pool is then 618 MB
  config.metrics.validation.split = "train[66000:]"
  return config
