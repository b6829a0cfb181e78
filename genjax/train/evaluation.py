"""The numbers that evaluators give of a state, by name.

Checked  tests/train/test_loop.py, tests/train/test_best.py
"""

import logging
from collections.abc import Callable, Mapping

import jax
import numpy as np

from genjax.core import Array, State, named_key

_LOG = logging.getLogger("genjax")

Evaluator = Callable[[Array, State], Mapping[str, float]]  # key, state -> number by name


def evaluated(evaluators: Mapping[str, Evaluator], key: Array, state: State, step: int, best: str) -> dict[str, float]:
  """Calls every evaluator with a key of its own, fold_in(named_key(key, "evaluate/<name>"), step).

  Args:
    evaluators: by name.
    key: of the run.
    state: after `step` steps.
    step: finished steps.
    best: a number that must be among them; "" for none.

  Returns:
    "eval/<number>" to its value. A value that is not finite is a warning.

  Raises:
    ValueError: two evaluators give one name, or none gives `best`.
  """
  values: dict[str, float] = {}
  for name, evaluator in evaluators.items():
    own_key = jax.random.fold_in(named_key(key, f"evaluate/{name}"), step)
    for number, value in evaluator(own_key, state).items():
      if f"eval/{number}" in values:
        raise ValueError(f"two evaluators give {number!r}; name one otherwise")
      values[f"eval/{number}"] = float(value)
      if not np.isfinite(values[f"eval/{number}"]):
        _LOG.warning("evaluator %s: %s is %s at step %d", name, number, value, step)
  if best and f"eval/{best}" not in values:
    given = ", ".join(name.removeprefix("eval/") for name in values)
    raise ValueError(f"no evaluator gives {best!r}, by which the best state is chosen; they give {given}")
  return values
