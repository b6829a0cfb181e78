"""A transformer learns to write text, character by character: any text file, minutes on a laptop.

Command   genjax train --config gpt_text --workdir runs/gpt_text
          genjax train --config gpt_text --config.data.path=my_text.txt --workdir runs/my_text
          Without a path it reads the topics of Python's language reference, which every Python brings along.
Machine   2 CPU cores, about ten minutes; any other device works with the same command
Expect    seed 0, without a path: 1.28 nats a character of held-out text (1.85 bits); words and indentation are those of
          Python's manual, sentences are not. tests/systems/test_gpt.py reaches 2.06 in seconds (pairs of letters 2.32,
          letters 2.87)
Paper     Radford et al. 2018 and 2019 (GPT, GPT-2); sizes are ours, for two cores
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  config = ConfigDict({"seed": 0})
  config.data = {"name": "text", "batch": 32, "length": 64, "unit": "character"}

  config.net = {"name": "gpt", "width": 96, "depth": 3, "heads": 4, "dropout": 0.1}
  config.optimizer = {
    "name": "adam",
    "learning_rate": 3e-3,  # paper: 2.5e-4, for nets and runs far larger
    "schedule": "cosine",
    "warmup_steps": 100,
    "clip_norm": 1.0,
  }
  config.system = {"name": "gpt", "temperature": 1.0, "cache": True, "ema": 0.0}
  config.train = {
    "steps": 3000,
    "steps_per_call": 20,
    "log_every": 20,
    "checkpoint_every": 500,
    "sample_every": 500,
    "evaluate_every": 500,
    "samples": 8,
    "keep": 3,
  }
  config.metrics = {"log_prob": {"split": "test"}}
  return config
