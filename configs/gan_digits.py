"""A GAN learns to write digits: the bundled 8x8 handwritten digits, by any objective of the zoo, minutes on a laptop.

Command   genjax train --config gan_digits:wgan_gp --workdir runs/gan_digits
Args      a row of the zoo (`genjax objectives` lists them); wgan_gp unless given. The optimiser and the number of
          critic updates are those that the row needs.
Machine   2 CPU cores, about five minutes; any other device works with the same command
Expect    wgan_gp, seed 0: Frechet distance 7.6 (real digits 1.6, a Gaussian of pixels 17.8)
Paper     Gulrajani et al. 2017, arXiv:1704.00028, Algorithm 1, for the default row; sizes are ours, for two cores. The
          critic is that of winn_digits, but for rows that need another kind.
"""

from ml_collections import ConfigDict, config_dict

from genjax.objectives.rows import ROWS

CRITIC_UPDATES = 7500  # of a run: 1,500 steps of 5, and more steps where a row needs fewer updates in each
MOST_STEPS = 4000
AUTOENCODERS = ("ebgan", "ebgan_pull_away", "began", "mmd_gan")  # rows whose critic is one
SPECTRAL = ("sn_gan", "big_gan")  # rows whose critic has spectrally normalised weights
MARGIN = 0.2  # of EBGAN, in mean squared error


def get_config(arg: str = "wgan_gp") -> ConfigDict:
  rows = [name for name, row in ROWS.items() if row.needs]  # the others have no generator
  if arg not in rows:
    raise ValueError(f"wanted a row with a generator: {', '.join(rows)}")
  needs = ROWS[arg].needs
  steps = min(CRITIC_UPDATES // needs["critic_steps"], MOST_STEPS)
  faster = min(3.0, 1e-3 / needs["rate"])  # papers' rates are for nets and runs far larger
  part = 64  # images of one update of the critic
  config = ConfigDict()
  config.seed = 0

  config.data = ConfigDict()
  config.data.name = "digits"
  config.data.split = "train"
  config.data.path = config_dict.placeholder(str)  # of a folder of images, or of an archive
  config.data.data_dir = config_dict.placeholder(str)  # where TFDS keeps prepared sets
  config.data.size = 8
  config.data.channels = config_dict.placeholder(int)  # 1 grey, 3 colour; unset: as the images are
  config.data.batch = part * needs["critic_steps"]
  config.data.flip = False
  config.data.pad = 0
  config.data.crop = 0

  config.generator = ConfigDict({"name": "mlp", "widths": (256, 256)})
  config.net = ConfigDict({"name": "convnet", "blocks": ((32, 32), (64, 64))})
  config.objective = ConfigDict({"name": arg})
  if arg in SPECTRAL:
    config.net = ConfigDict({"name": "dcgan", "widths": (64, 128), "norm": "spectral"})
  if arg in AUTOENCODERS:
    error = "absolute" if arg == "began" else "squared"
    config.net = ConfigDict({"name": "autoencoder", "widths": (256,), "code": 32, "error": error})
  if arg.startswith("ebgan"):
    config.objective.margin = MARGIN
  if arg == "denoising":
    config.objective.features = 256  # of the critic's last layer

  config.system = ConfigDict()
  config.system.name = "gan"
  config.system.latent = 32
  config.system.prior = "normal"
  config.system.classes = config_dict.placeholder(int)  # 10: both nets are told the labels
  config.system.critic_steps = needs["critic_steps"]
  config.system.optimizer = needs["optimizer"]
  config.system.rate = round(faster * needs["rate"], 8)
  config.system.generator_rate = _or_unset(needs, "generator_rate", faster)
  config.system.b1 = needs["b1"]
  config.system.b2 = needs["b2"]
  config.system.decay_steps = steps
  config.system.clip = _or_unset(needs, "clip")
  config.system.ema = 0.99
  config.system.order = "alternating"
  config.system.unroll = 0
  config.system.consensus = 0.0

  config.train = ConfigDict()
  config.train.steps = steps
  config.train.steps_per_call = 10
  config.train.log_every = 10
  config.train.checkpoint_every = 250
  config.train.sample_every = 250
  config.train.evaluate_every = 250
  config.train.samples = 64
  config.train.keep = 3

  config.metrics = ConfigDict()
  config.metrics.name = "frechet"
  config.metrics.split = "test"
  config.metrics.samples = 500
  return config


def _or_unset(needs, key: str, times: float = 1.0):
  return round(times * needs[key], 8) if key in needs else config_dict.placeholder(float)
