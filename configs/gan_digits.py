"""A GAN learns to write digits: the bundled 8x8 handwritten digits, by any objective of the zoo, minutes on a laptop.

Command   genjax train --config gan_digits:wgan_gp --workdir runs/gan_digits
Args      a row of the zoo (`genjax objectives` lists them), wgan_gp unless given; or cgan: both nets
          see the labels. The optimiser and the number of critic updates are those that the row needs.
Machine   2 CPU cores, about five minutes; any other device works with the same command
Expect    seed 0: Frechet distance 7.6 for wgan_gp, 1.6 for cgan, with 1.6 % copies (real digits 1.6, a Gaussian of
          pixels 17.8)
Paper     Gulrajani et al. 2017, arXiv:1704.00028, Algorithm 1, for the default row; sizes are ours, for two cores. The
          critic is that of winn_digits, but for rows that need another kind.
"""

from ml_collections import ConfigDict

from genjax.objectives.rows import PLAYED, ROWS

CRITIC_UPDATES = 7500  # of a run: 1,500 steps of 5, and more steps where a row needs fewer updates in each
MOST_STEPS = 4000
PART = 64  # images of one update of the critic


def get_config(arg: str = "wgan_gp") -> ConfigDict:
  row = "non_saturating" if arg == "cgan" else arg
  if row not in PLAYED:
    raise ValueError(f"wanted cgan, or a row with a generator: {', '.join(PLAYED)}")
  needs, kind = ROWS[row].needs, ROWS[row].critic
  critic_steps = needs["critic_steps"]
  steps = min(CRITIC_UPDATES // critic_steps, MOST_STEPS)
  faster = min(3.0, 1e-3 / needs["optimizer"]["learning_rate"])  # papers' are for nets and runs far larger
  config = ConfigDict({"seed": 0})
  config.data = {"name": "digits", "batch": PART * critic_steps}

  config.generator = {"name": "mlp", "widths": (256, 256)}
  config.critic = {"name": "convnet", "blocks": ((32, 32), (64, 64))}
  config.objective = {"name": row}
  if arg == "cgan":
    config.critic = {"name": "mlp", "widths": (256, 256)}
  if kind == "spectral":
    config.critic = {"name": "dcgan", "widths": (64, 128), "norm": "spectral"}
  if kind == "autoencoder":
    config.critic = {"name": "autoencoder", "widths": (256,), "code": 32, "error": ROWS[row].error}
  if row.startswith("ebgan"):
    config.objective.margin = 0.2  # in mean squared error
  if row == "denoising":
    config.objective.features = 256  # of the critic's last layer

  for name in ("optimizer", "generator_optimizer"):
    if name in needs:
      learning_rate = round(faster * needs[name]["learning_rate"], 8)
      config[name] = {**needs[name], "learning_rate": learning_rate, "schedule": "linear"}
  config.system = {
    "name": "gan",
    "latent": 32,
    "prior": "normal",
    "conditional": arg == "cgan",
    "critic_steps": critic_steps,
    "clip": needs.get("clip"),
    "ema": 0.99,
    "order": "alternating",
    "unroll": 0,
    "consensus": 0.0,
  }
  config.train = {
    "steps": steps,
    "steps_per_call": 10,
    "log_every": 10,
    "checkpoint_every": 250,
    "sample_every": 250,
    "evaluate_every": 250,
    "samples": 64,
    "keep": 3,
  }
  config.metrics = {
    "frechet": {"split": "test", "samples": 500},
    "copies": {"split": "test", "samples": 500},
    "anchors": {"name": "frechet_anchors", "split": "test", "samples": 500, "final": True},
  }
  return config
