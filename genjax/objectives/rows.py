"""Objectives by name, as text: `genjax objectives`, and what a config needs to know of a row.

A row (papers.py) names its paper, its formula, the optimiser that it needs and the kind of critic; needs.py says
which settings were read in a seed or in released code. No JAX is imported here but by `describe`.

Checked  tests/objectives/test_zoo.py
"""

import difflib
import inspect
import textwrap
from collections.abc import Iterable
from typing import Any

from genjax.objectives.needs import READ
from genjax.objectives.papers import ROWS, Row

__all__ = ["PLAYED", "ROWS", "Row", "describe", "table"]

PLAYED = tuple(name for name, row in ROWS.items() if row.needs)  # rows with a generator


def table() -> str:
  """All rows as text, each with its paper, its formula, and what it needs; for `genjax objectives`."""
  return "\n".join(_entry(name, row) for name, row in ROWS.items())


def describe(name: str) -> str:
  """One row as text, with the arguments of its builder and their defaults; for `genjax objectives ROW`.

  Raises:
    ValueError: no such row, with the nearest one.
  """
  if name not in ROWS:
    near = difflib.get_close_matches(name, list(ROWS), 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(ROWS)}"
    raise ValueError(f"no objective {name!r}; {hint}")
  from genjax.objectives.zoo import OBJECTIVES  # imports JAX

  arguments = inspect.signature(OBJECTIVES[name]).parameters.values()
  lines = [f"--config.objective.{_argument(each)}" for each in arguments] or ["no arguments"]
  return "\n".join([_entry(name, ROWS[name]), *_labelled("takes", lines)])


def _entry(name: str, row: Row) -> str:
  needs = " ".join(f"{key}={_section(value)}" for key, value in row.needs.items())
  critic = row.critic if row.critic != "autoencoder" else f"{row.critic}, {row.error} error"
  lines = {
    "paper": row.paper,
    "loss": row.equation,
    "needs": needs,
    "critic": "" if row.critic == "plain" else critic,
    "from": READ.get(name, "memory") if needs else "",
    "reads": ", ".join(row.reads),
    "note": row.note,
  }
  return "\n".join([name, *(line for label, text in lines.items() if text for line in _labelled(label, [text]))])


def _labelled(label: str, texts: Iterable[str]) -> list[str]:
  """The label before the first text, and all texts in one column."""
  body = [f"  {label if not place else '':<7}{text}" for place, text in enumerate(texts)]
  return [textwrap.fill(line, 118, subsequent_indent=" " * 9, break_long_words=False) for line in body]


def _section(value: Any) -> str:
  """A section of a config as the call that it names; a number as it is."""
  if isinstance(value, float):
    return f"{value:g}"
  if not isinstance(value, dict):
    return str(value)
  inside = ", ".join(f"{key}={_section(inner)}" for key, inner in value.items() if key != "name")
  return f"{value['name']}({inside})"


def _argument(it: inspect.Parameter) -> str:
  """An argument with its default and its type: "gamma=10.0 (float)"."""
  default = "" if it.default is inspect.Parameter.empty else f"={it.default!r}"
  return f"{it.name}{default} ({inspect.formatannotation(it.annotation).replace('typing.', '')})"
