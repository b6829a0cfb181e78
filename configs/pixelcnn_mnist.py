"""Gated PixelCNN learns binarised MNIST, the set on which likelihoods are compared.

Command   genjax train --config pixelcnn_mnist --config.data.path=mnist --workdir runs/pixelcnn_mnist
          path: the folder of the four idx files, .gz or not; a set that TFDS prepared needs --config.data.data_dir=TFDS
          pixelcnn_mnist:plain      PixelCNN; without a word it is the gated one
          pixelcnn_mnist:row        PixelRNN's Row LSTM
          pixelcnn_mnist:diagonal   PixelRNN's Diagonal BiLSTM
Machine   2 CPU cores: a step takes 1.0 s of processor time, so 30,000 take about 8 hours of it, half of that on two
          cores with nothing else to do; any other device works with the same command
Expect    not measured
Paper     nats an image of the test split, static binarisation: PixelCNN 81.30, Row LSTM 80.54, Diagonal BiLSTM 79.20
          (van den Oord et al. 2016, arXiv:1601.06759, table 4). The gated net's paper (arXiv:1606.05328) has no MNIST:
          sizes and learning rates are ours. Training draws black and white anew in every step, and the test images are
          one draw of ours (ops/levels.py), not Larochelle's file, which is no part of MNIST's own.
"""

from ml_collections import ConfigDict

NETS = {"gated": "gated_pixelcnn", "plain": "pixelcnn", "row": "row_lstm", "diagonal": "diagonal_bilstm"}
SIZES = {"width": 32, "layers": 10, "first_kernel": 7, "hidden": 64, "dtype": "float32"}


def get_config(arg: str = "gated") -> ConfigDict:
  if arg not in NETS:
    raise ValueError(f"pixelcnn_mnist takes {', '.join(NETS)} or nothing")
  config = ConfigDict({"seed": 0})
  config.data = {"name": "mnist", "batch": 32}

  config.net = {"name": NETS[arg], **SIZES}
  config.optimizer = {"name": "adam", "learning_rate": 1e-3, "schedule": "cosine", "clip_norm": 1.0}
  config.system = {"name": "pixelcnn", "likelihood": "bernoulli", "binarise": "dynamic", "cache": True, "ema": 0.999}
  config.train = {
    "steps": 30_000,
    "steps_per_call": 10,
    "log_every": 50,
    "checkpoint_every": 1000,
    "sample_every": 2000,
    "evaluate_every": 2000,
    "samples": 64,
    "keep": 3,
  }
  config.metrics = {"log_prob": {"split": "test"}}
  return config
