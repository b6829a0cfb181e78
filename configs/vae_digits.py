"""A variational autoencoder learns digits: the bundled 8x8 handwritten digits, minutes on a laptop.

Command   genjax train --config vae_digits --workdir runs/vae_digits
          vae_digits:gaussian   normal pixels with one learned deviation, in place of black and white ones
Machine   2 CPU cores, about two minutes; any other device works with the same command
Expect    seed 0: the bound is -24.0 nats an image of the test split (bernoulli), Frechet distance 6.9 (real digits
          1.6, a Gaussian of pixels 17.8): the means that it draws are blurred. In tests/systems/test_vae.py, in 1,000
          steps of other nets, one run each: -24.9 (bernoulli; independent pixels -27.1), -18.3 (gaussian; PPCA -30.9)
Paper     Kingma & Welling 2014, arXiv:1312.6114; sizes are ours, for two cores
"""

from ml_collections import ConfigDict

LIKELIHOODS = ("bernoulli", "gaussian")


def get_config(arg: str = "bernoulli") -> ConfigDict:
  if arg not in LIKELIHOODS:
    raise ValueError(f"vae_digits takes {' or '.join(LIKELIHOODS)}")
  config = ConfigDict({"seed": 0})
  config.data = {"name": "digits", "batch": 128}

  config.encoder = {"name": "mlp_encoder", "widths": (256,)}
  config.decoder = {"name": "mlp_decoder", "widths": (256,)}
  config.optimizer = {"name": "adam", "learning_rate": 2e-3, "schedule": "cosine"}
  config.system = {
    "name": "vae",
    "latent": 16,
    "likelihood": arg,
    "beta": 1.0,
    "importance_samples": 1,
    "ema": 0.0,
  }
  config.train = {
    "steps": 5000,
    "steps_per_call": 50,
    "log_every": 50,
    "checkpoint_every": 1000,
    "sample_every": 1000,
    "evaluate_every": 1000,
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
