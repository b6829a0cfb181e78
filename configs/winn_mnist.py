"""WINN-single learns to write MNIST's digits, at 28x28, in a net that a laptop can train.

Command   genjax train --config winn_mnist --config.data.path=mnist --workdir runs/winn_mnist
          path: the folder of the four idx files, .gz or not; a set that TFDS prepared needs --config.data.data_dir=TFDS
          winn_mnist:cascade    four stages of a quarter of the steps each (eq 2.9)
          winn_mnist:inn        INN's cross-entropy instead of the Wasserstein loss; inn_cascade: both
          winn_mnist:vanilla    the net of winn_mnist_classifier:vanilla; words are joined by commas: vanilla,inn
          --config.data.split=train[:12000]   fewer images
Machine   2 CPU cores: the command says at its start what a step takes and how long the run will be; any other device
          works with the same command
Expect    not measured. A run of winn_digits' settings on 12,000 images, 100 steps in 12 minutes on two cores, had
          Frechet distance 12.9 (real images 0.6, a Gaussian of pixels 32.3), half of the digits readable, still falling
Paper     Lee, Xu, Fan & Tu, "Wasserstein introspective neural networks", CVPR 2018, Algorithm 1; the thesis has no
          samples of a WINN that learns MNIST without labels, so sizes and learning rates are ours, for two cores
"""

from ml_collections import ConfigDict

from genjax.config import load_config

LOSSES = ("cascade", "inn", "inn_cascade")
NETS = {"convnet": {"blocks": ((16, 16), (32, 32), (64, 64))}, "vanilla": {"dropout": 0.0}}
STEPS = 600


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  nets, losses = words & set(NETS), words & set(LOSSES)
  if words - nets - losses or len(nets) > 1 or len(losses) > 1:
    raise ValueError("wanted convnet or vanilla, and cascade, inn or inn_cascade, joined by a comma")
  net = next(iter(nets), "convnet")
  config = load_config(f"winn_digits:{next(iter(losses), '')}")  # all but what follows
  config.data = {"name": "mnist", "batch": 256}
  config.net = ConfigDict({"name": net, **NETS[net]})
  config.system.update({"initial": 512, "capacity": 8192, "cascade_steps": STEPS // 4})
  config.train.update({"steps": STEPS, "steps_per_call": 1, "log_every": 5, "sample_every": 25})
  for metric in config.metrics.values():
    metric.samples = 2000
  config.metrics.copies.split = "test[:2000]"  # each is compared with 60,000
  config.metrics.prdc = ConfigDict({"split": "test[:2000]", "samples": 2000, "final": True})
  return config
