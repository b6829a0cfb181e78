"""An autoencoder of digits: the bundled 8x8 handwritten digits, a minute on a laptop.

Command   genjax train --config autoencoder_digits --workdir runs/autoencoder_digits
          autoencoder_digits:denoising     the encoder sees noise, of deviation 0.5, on the images
          autoencoder_digits:contractive   a penalty on the Jacobian of the code
          autoencoder_digits:conv          convolutions, pooling, upsampling; joined by a comma: conv,denoising
          genjax encode --workdir runs/autoencoder_digits --out codes.npz
          genjax study tangents            the tangents that the three find, and a classifier that uses them
Machine   2 CPU cores, about a minute; any other device works with the same command
Expect    not measured
Paper     Vincent et al. 2010, JMLR 11:3371; Rifai et al. 2011, ICML; sizes are ours, for two cores
"""

from ml_collections import ConfigDict

KINDS = ("plain", "denoising", "contractive")


def get_config(arg: str = "") -> ConfigDict:
  words = set(filter(None, arg.split(",")))
  kinds = words & set(KINDS)
  if len(kinds) > 1 or words - kinds - {"conv"}:
    raise ValueError(f"wanted one of {', '.join(KINDS)}, and conv, joined by a comma")
  kind = next(iter(kinds), "plain")
  config = ConfigDict({"seed": 0})
  config.data = {"name": "digits", "batch": 128}

  if "conv" in words:
    config.encoder = {"name": "pooling_encoder", "widths": (16, 32), "features": 128}
    config.decoder = {"name": "upsampling_decoder", "widths": (32, 16)}
  else:
    config.encoder = {"name": "mlp_encoder", "widths": (256,)}
    config.decoder = {"name": "mlp_decoder", "widths": (256,)}
  config.optimizer = {"name": "adam", "learning_rate": 2e-3, "schedule": "cosine"}
  config.system = {
    "name": "autoencoder",
    "code": 16,
    "noise": 0.5 if kind == "denoising" else 0.0,
    "contraction": 0.1 if kind == "contractive" else 0.0,
  }
  config.train = {
    "steps": 4000,
    "steps_per_call": 50,
    "log_every": 50,
    "checkpoint_every": 1000,
    "sample_every": 0,
    "evaluate_every": 0,
    "keep": 2,
  }
  return config
