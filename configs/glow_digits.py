"""A flow learns to write digits: the bundled 8x8 handwritten digits, minutes on a laptop.

Command   genjax train --config glow_digits --workdir runs/glow_digits
          glow_digits:realnvp       RealNVP's net in place of Glow's
          glow_digits:variational   learned noise on grey levels in place of uniform noise
          genjax sample --workdir runs/glow_digits --truncation 0.7   latents of deviation 0.7
Args      glow or realnvp, and variational, joined by a comma
Machine   2 CPU cores, minutes; any other device works with the same command
Expect    not measured at these sizes. Seed 0 with depth 8, width 64 and all of train: 2.28 bits a dimension of the test
          split after 500 steps (independent pixels 2.43, the best normal distribution 2.96) and 2.57 after 1,000, as
          training digits were learned by heart (1.73); Frechet distance 5.0 and 3.2, no copies (real digits 1.6)
Paper     Kingma & Dhariwal 2018, arXiv:1807.03039 (Glow); Dinh, Sohl-Dickstein & Bengio 2017, arXiv:1605.08803
          (RealNVP); Ho et al. 2019, arXiv:1902.00275 (Flow++), for learned noise. Sizes are ours, for two cores. These
          digits have 17 levels of grey, so that no model needs more than 4.09 bits a dimension
"""

from ml_collections import ConfigDict

NETS = {
  "glow": {"name": "glow", "levels": 2, "depth": 4, "width": 32},
  "realnvp": {"name": "realnvp", "scales": 2, "blocks": 1, "width": 32, "alpha": 0.05},
}
DEQUANTISERS = {"variational": {"name": "dequantiser", "depth": 3, "blocks": 1, "width": 16}}


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  nets, noises = words & set(NETS), words & set(DEQUANTISERS)
  if words - nets - noises or len(nets) > 1:
    raise ValueError("wanted glow or realnvp, and variational, joined by a comma")
  config = ConfigDict({"seed": 0})
  config.data = {"name": "digits", "batch": 128, "split": "train[:90%]"}

  config.net = NETS[next(iter(nets), "glow")]
  if noises:
    config.dequantiser_net = DEQUANTISERS["variational"]
  config.optimizer = {
    "name": "adam",
    "learning_rate": 2e-3,  # paper: 1e-3, for nets and runs far larger
    "schedule": "cosine",
    "warmup_steps": 100,
    "clip_norm": 10.0,
  }
  config.system = {"name": "flow", "levels": 17, "temperature": 1.0, "ema": 0.99}
  config.train = {
    "steps": 800,
    "steps_per_call": 20,
    "log_every": 20,
    "checkpoint_every": 200,
    "sample_every": 200,
    "evaluate_every": 200,
    "samples": 64,
    "keep": 3,
    "best": "validation_bits_per_dim",  # a thousand images are soon learned by heart
  }
  config.metrics = {
    "validation": {"name": "bits_per_dim", "split": "train[90%:]"},
    "bits_per_dim": {"split": "test"},
    "frechet": {"split": "test", "samples": 500},
    "copies": {"split": "test", "samples": 500},
    "anchors": {"name": "frechet_anchors", "split": "test", "samples": 500, "final": True},
  }
  return config
