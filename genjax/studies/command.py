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
  function, more = load(home), {}
  for option, name in (("config", "base"), ("overrides", "overrides")):
    if option in options:
      if "base" not in inspect.signature(function).parameters:
        raise UsageError(f"study {options['name']} has configs of its own; it takes no --config")
      more[name] = dict(options[option]) if option == "overrides" else options[option]
  answer(function(request.workdir, seeds=seeds, quiet=options.get("quiet", False), **more))
