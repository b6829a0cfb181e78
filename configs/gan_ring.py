"""A GAN learns 8 Gaussians on a ring: the plainest test of whether a generator finds every mode.

Command   genjax train --config gan_ring:wgan_gp --workdir runs/gan_ring
          gan_ring:ROW            a row of the zoo (`genjax objectives` lists them) at settings of its own for mixtures
          gan_ring:ROW,1          at the second of the settings that were tried for the row, and so on
          gan_ring:ROW,shared     at the settings that all rows share
          genjax study modes      every row, 5 seeds, as a table; modes_shared: at the shared settings; modes_choice:
                                  all that was tried
          Metz et al.'s nets and learning rates: --config gan_ring:minimax,shared --config.system.order=simultaneous
          --config.optimizer.learning_rate=1e-4 --config.generator_optimizer=adam
          --config.generator_optimizer.learning_rate=1e-3 --config.generator_optimizer.b1=0.5
          --config.critic.activation=tanh --config.generator.activation=tanh
          --config.critic.widths=(128,128) --config.generator.widths=(128,128)
          --config.data.batch=256, and --config.system.unroll=10 or 0
Machine   2 CPU cores, one to two minutes
Expect    "modes" of 8, and "good": the share of samples within three deviations of a mode: see notebooks/README.md.
          Metz et al.'s settings, one run each: 8 modes and 78 % with unroll=10, 6 modes and 19 % without
Paper     Metz et al. 2017, arXiv:1611.02163, has the ring and its nets of two layers of 128; ours are of 64. A row's
          settings are those of genjax/objectives/mixtures.py; the generator makes as many updates in every row.
          Shared are widths, the critic's learning rate, points of an update and number of critic updates; all else is
          what a row needs: a generator whose learning rate is its own has it as much smaller here as there. The shared
          learning rate is 3e-3: at 1e-3 (seeds 0, 1) wgan_gp covered 1 mode and r1 had 11 to 29 % good samples
"""

from ml_collections import ConfigDict

from genjax.config import load_config
from genjax.objectives.mixtures import STEPS, Mixed, tried
from genjax.objectives.rows import PLAYED, ROWS

WIDTHS = (64, 64)  # of both nets
CRITIC_UPDATES = 20_000  # this and what follows: of the shared settings
MOST_STEPS = 10_000
POINTS = 64  # of one update of the critic
LEARNING_RATE = 3e-3  # of the critic


def get_config(arg: str = "wgan_gp") -> ConfigDict:
  row, _, word = arg.partition(",")
  if row not in PLAYED:
    raise ValueError(f"wanted a row with a generator: {', '.join(PLAYED)}; and after a comma shared, or nothing")
  own = {"": 0, **{str(number): number for number in range(len(tried(row)))}}
  if word != "shared" and word not in own:
    raise ValueError(f"{row} has no settings {word!r}; wanted shared, or a number below {len(tried(row))}")
  config = load_config(f"gan_digits:{row}")  # all but what follows
  config.data = {"name": "ring"}
  config.generator = ConfigDict({"name": "mlp", "widths": WIDTHS, "activation": "relu", "bounded": False})
  spectral = ROWS[row].critic == "spectral"
  config.critic = ConfigDict({"name": "mlp", "widths": WIDTHS, "activation": "relu", "spectral": spectral})
  if ROWS[row].critic == "autoencoder":
    config.critic = ConfigDict({"name": "autoencoder", "widths": WIDTHS, "code": 16, "error": ROWS[row].error})
  if ROWS[row].shifts:
    config.objective.pad = 0  # it would shift an image by some pixels, and a point has one
  if row == "denoising":
    config.objective.features = WIDTHS[-1]  # of the critic's last layer
  for name in {"optimizer", "generator_optimizer"} & set(config):
    del config[name]
  config.system.update({"latent": 16, "sample_batch": 2500})
  config.train.update({"steps": STEPS, "steps_per_call": 50, "log_every": 50, "samples": 2500, "keep": 2})
  config.train.update({"checkpoint_every": 1000, "sample_every": 1000, "evaluate_every": 500})
  config.metrics = ConfigDict({"modes": {"samples": 2500}})
  if word == "shared":
    _set_shared(config, row)
  else:
    _set_own(config, row, tried(row)[own[word]])
  return config


def _set_own(config: ConfigDict, row: str, own: Mixed) -> None:
  """Sets what a row has for itself on mixtures."""
  needs = ROWS[row].needs
  learning_rates = {"optimizer": own.learning_rate, "generator_optimizer": own.generator_learning_rate}
  for name, learning_rate in learning_rates.items():
    if learning_rate is not None:
      of_row = needs.get(name, needs["optimizer"])
      config[name] = {**of_row, **own.optimizer, "learning_rate": learning_rate, "schedule": "linear"}
  config.system.critic_steps = own.critic_steps
  config.system.clip = own.clip or needs.get("clip")
  config.data.batch = own.points * own.critic_steps
  config.critic.update(own.critic)
  config.objective.update(own.objective)


def _set_shared(config: ConfigDict, row: str) -> None:
  """Sets what all rows share; what a row needs for images is its own."""
  needs = ROWS[row].needs
  config.data.batch = POINTS * needs["critic_steps"]
  config.train.steps = min(CRITIC_UPDATES // needs["critic_steps"], MOST_STEPS)
  scale = LEARNING_RATE / needs["optimizer"]["learning_rate"]
  for name in ("optimizer", "generator_optimizer"):  # the first is of both nets, where there is no second
    if name in needs:
      learning_rate = round(scale * needs[name]["learning_rate"], 8)
      config[name] = {**needs[name], "learning_rate": learning_rate, "schedule": "linear"}
