"""The command `genjax study`.

Checked  tests/studies/test_runs.py
"""

import inspect
from typing import Any

from genjax.registry import UsageError, load
from genjax.studies import STUDIES
from genjax.train.terminal import answer


def study(request: Any) -> None:
  """Runs the study that a command line names, and prints its table. Raises UsageError."""
  options = request.options
  home, seeds, _ = STUDIES[options["name"]]
  seeds = options.get("seeds", seeds)
  if seeds < 1:
    raise UsageError(f"--seeds {seeds}; at least 1")
  function = load(home)
  known, more = inspect.signature(function).parameters, {}
  for option, name in (("config", "base"), ("overrides", "overrides")):
    if option in options and name not in known:
      word = "--config" if option == "config" else "--config.KEY"
      raise UsageError(f"study {options['name']} has settings of its own; it takes no {word}")
  if "config" in options:
    more["base"] = options["config"]
  if "overrides" in options:
    more["overrides"] = dict(options["overrides"])
  answer(function(request.workdir, seeds=seeds, quiet=options.get("quiet", False), **more))
