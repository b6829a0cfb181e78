"""An autoregressive model learns digits, pixel by pixel: the bundled 8x8 handwritten digits, minutes on a laptop.

Command   genjax train --config pixelcnn_digits --workdir runs/pixelcnn_digits
          pixelcnn_digits:plain      PixelCNN, which has a blind spot; without a word it is the gated one
          pixelcnn_digits:row        PixelRNN's Row LSTM
          pixelcnn_digits:diagonal   PixelRNN's Diagonal BiLSTM
          --config.system.likelihood=logistic_mixture   in place of a softmax over the 17 levels of grey
          --config.system.likelihood=bernoulli --config.system.levels=2   black and white, drawn anew in every step
          genjax bench --config pixelcnn_digits   times sampling with the cache and without it
Machine   2 CPU cores, about three minutes of processor time; any other device works with the same command
Expect    seed 0, 2,000 steps: 77.6 nats an image of the test split, exact, over 17 levels of grey (1.75 bits a pixel;
          77.3 at step 1,500), Frechet distance 2.9 (real digits 1.6, a Gaussian of pixels 17.8), no copies among 500
          samples, most of which a person reads. The other nets are not measured.
Paper     van den Oord et al. 2016, arXiv:1601.06759 and arXiv:1606.05328; sizes are ours, for two cores
"""

from ml_collections import ConfigDict

NETS = {"gated": "gated_pixelcnn", "plain": "pixelcnn", "row": "row_lstm", "diagonal": "diagonal_bilstm"}
SIZES = {"width": 32, "layers": 5, "first_kernel": 5, "hidden": 64, "dtype": "float32"}
DROPOUT = {"dropout": 0.3}  # 1,297 images are soon known by heart


def get_config(arg: str = "gated") -> ConfigDict:
  if arg not in NETS:
    raise ValueError(f"pixelcnn_digits takes {', '.join(NETS)} or nothing")
  config = ConfigDict({"seed": 0})
  config.data = {"name": "digits", "batch": 64}

  config.net = {"name": NETS[arg], **SIZES, **(DROPOUT if "cnn" in NETS[arg] else {})}
  config.optimizer = {"name": "adam", "learning_rate": 2e-3, "schedule": "cosine", "clip_norm": 1.0}
  config.system = {"name": "pixelcnn", "likelihood": "categorical", "levels": 17, "cache": True, "ema": 0.995}
  config.train = {
    "steps": 2000,
    "steps_per_call": 20,
    "log_every": 20,
    "checkpoint_every": 1000,
    "sample_every": 1000,
    "evaluate_every": 500,
    "samples": 64,
    "keep": 3,
  }
  config.metrics = {
    "log_prob": {"split": "test"},
    "frechet": {"split": "test", "samples": 500},
    "copies": {"split": "test", "samples": 500},
    "anchors": {"name": "frechet_anchors", "split": "test", "samples": 500, "final": True},
  }
  return config
