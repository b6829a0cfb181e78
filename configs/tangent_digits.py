"""A classifier of digits that learns from few labels, and from the tangents that an autoencoder of all digits has found.

Command   genjax train --config tangent_digits --workdir runs/tangent_digits
          a plain classifier; with the tangents of an autoencoder that was trained before:
          genjax train --config tangent_digits --config.encoder.run=runs/autoencoder_digits --config.encoder.view=encode --config.system.weight=0.3 --workdir runs/tangent_digits
          genjax study tangents   both, three seeds, as a table
Machine   2 CPU cores, about a minute; any other device works with the same command
Expect    not measured
Paper     Simard et al. 1992, NIPS; Rifai et al. 2011, NIPS; sizes are ours, for two cores: 100 labelled digits
"""  # noqa: E501 - a command is one line

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
  if arg:
    raise ValueError("tangent_digits takes no argument")
  config = ConfigDict({"seed": 0})
  config.data = {"name": "digits", "split": "train[:100]", "batch": 50}
  config.net = {"name": "convnet", "blocks": ((32, 32), (64,))}
  config.optimizer = {"name": "adam", "learning_rate": 1e-3, "schedule": "cosine"}
  config.system = {"name": "tangent_prop", "directions": 6, "weight": 0.0}
  config.train = {
    "steps": 1000,
    "steps_per_call": 20,
    "log_every": 20,
    "checkpoint_every": 500,
    "sample_every": 0,
    "evaluate_every": 0,
    "keep": 2,
  }
  config.metrics = {"error": {"split": "test", "final": True}}
  return config
