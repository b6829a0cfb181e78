"""Digits become inverted digits, and these digits, without a single pair: the bundled 8x8 handwritten digits.

Command   genjax train --config cyclegan_digits --workdir runs/cyclegan_digits
Machine   2 CPU cores, about five minutes; any other device works with the same command
Expect    a translated digit is its negative (seed 0; looked at, by the command sample); in
          tests/systems/test_cyclegan.py their correlation is 0.94 after 150 steps of a smaller net
Paper     Zhu et al. 2017, arXiv:1703.10593; sizes and data are ours, for two cores. The sets share no digit.
"""

from ml_collections import ConfigDict

BATCH = 32


def get_config() -> ConfigDict:
  config = ConfigDict({"seed": 0})
  config.data = {
    "name": "pairs",
    "batch": BATCH,
    "source": {"name": "digits", "split": "train[:50%]"},
    "target": {"name": "digits", "split": "train[50%:]", "invert": True},
  }

  config.generator = {"name": "translator", "width": 16, "halvings": 1, "blocks": 2, "kernel": 3}
  config.critic = {"name": "patch_critic", "widths": (16, 32)}
  config.optimizer = {"name": "adam", "learning_rate": 1e-3, "b1": 0.5, "schedule": "linear"}  # paper: 2e-4
  config.system = {
    "name": "cyclegan",
    "cycle": 10.0,
    "identity": 0.0,
    "history": 2 * BATCH,  # paper: 50 fakes, for a batch of one
    "ema": 0.0,
  }
  config.train = {
    "steps": 1000,
    "steps_per_call": 10,
    "log_every": 10,
    "checkpoint_every": 250,
    "keep": 3,
  }
  return config
