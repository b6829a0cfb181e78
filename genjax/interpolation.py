"""The interpolations of a workdir's newest checkpoint, for a page that must be made with or without them.

Checked  tests/test_small_runs.py
"""

import os
from collections.abc import Collection

import jax
import numpy as np

from genjax import workdir as workdirs
from genjax.config import kept_config, on_path
from genjax.experiment import experiment
from genjax.registry import UsageError
from genjax.samples import samples
from genjax.train.errors import RunError, reason
from genjax.train.slices import quiet_libtpu


def interpolation(workdir: str, rows: int, across: int, allow: Collection[str]) -> np.ndarray | str:
  """What `genjax sample --workdir W --interpolate ACROSS --n ROWS` draws: a picture [H, W, 1 or 3] uint8.

  Where there is none, one line says why: no config, no latents, code that is not allowed, no sound checkpoint.
  """
  quiet_libtpu()
  on_path(os.getcwd())
  try:
    config = kept_config(workdir)
    if config is None:
      return "no interpolations: there is no config.json"
    it = experiment(config, allow=allow)
    if "latents" not in it.system.views or it.data.show is None:
      return f"no interpolations: the system {config.system.name} has no latents"
    state, _ = workdirs.restored(it.system, it.data, workdir, seed=config.seed)
    drawn = samples(it, jax.random.key(0), state, {"interpolate": across, "n": rows})
    return it.data.show(drawn.examples, drawn.columns)
  except (UsageError, RunError) as error:
    return f"no interpolations: {' '.join(str(error).split())}"
  except OSError as error:
    return f"no interpolations: {reason(error)}"
