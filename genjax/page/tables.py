"""The tables of a page: configs side by side with their differences marked, and the machine of each run.

Checked  tests/page/test_page.py
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from genjax.page import commands
from genjax.page.html import MISSING, command, details, element, flat, shown, table, table_row
from genjax.page.read import Run

_MOST_KEYS = 2_000
_MOST_FACTS = 50


def config(runs: Sequence[Run]) -> Element:
  values = [flat(run.config) for run in runs]
  keys = sorted({key for of_run in values for key in of_run})
  differ = [key for key in keys if len({json.dumps(of[key]) if key in of else "" for of in values}) > 1]
  head = ["key", *(_chip(i, run) for i, run in enumerate(runs))]
  rows = [table_row(key, [_text(of, key) for of in values], key in differ) for key in keys[:_MOST_KEYS]]
  parts: list[Element] = []
  if len(runs) > 1:
    words = (
      f"{len(differ)} of {len(keys)} keys differ; each is marked \N{NOT EQUAL TO}. A dash: the run has no such key."
    )
    changed = [table_row(key, [_text(of, key) for of in values], True) for key in differ[:_MOST_KEYS]]
    parts = [
      element("p", words if differ else "The configs are the same."),
      *([table(head, changed, class_="changes")] if differ else []),
    ]
  if len(keys) > _MOST_KEYS:
    parts.append(element("p", f"The first {_MOST_KEYS:,} of {len(keys):,} keys.", class_="note"))
  missing = [run.name for run in runs if not run.config]
  if missing:
    parts.append(element("p", f"Without a config.json that can be read: {', '.join(missing)}.", class_="note"))
  if keys:
    parts.append(
      details(
        f"All {len(keys):,} keys, each --config.KEY=VALUE of the command line",
        table(list(head), rows),
        opened=len(runs) == 1,
      )
    )
  return element("section", element("h2", "Config"), *parts, *_continued(runs), id="config")


def _continued(runs: Sequence[Run]) -> list[Element]:
  """What `--continue` changed in the middle of a run."""
  lines = []
  for run in runs:
    for entry in run.continued:
      changed = entry.get("changed")
      for key, pair in changed.items() if isinstance(changed, dict) else ():
        lines.append(element("li", f"{run.name}, at step {shown(entry.get('step'))}: config.{key} {shown(pair)}"))
  return [element("h3", "Changed in the middle of a run"), element("ul", *lines)] if lines else []


def machine(runs: Sequence[Run]) -> Element:
  values = [_facts(run) for run in runs]
  keys = list(dict.fromkeys(key for of_run in values for key in of_run))
  rows = [
    table_row(key, [_text(of, key) for of in values], len({*(_text(of, key) for of in values)}) > 1) for key in keys
  ]
  head = ["", *(_chip(i, run) for i, run in enumerate(runs))]
  return element("section", element("h2", "Run, hardware and versions"), table(head, rows), id="machine")


def _facts(run: Run) -> dict[str, Any]:
  """What is known of a run and its machine; versions of an older summary.json stand on its cards."""
  summary = run.summary
  facts: dict[str, Any] = {"state": state(run), "lines of metrics": len(run.rows)}
  facts["checkpoints"] = ", ".join(map(str, run.checkpoints)) + (", best" if run.has_best else "") or "none"
  facts |= {key: value for key, value in [*summary.items()][:_MOST_FACTS] if not isinstance(value, dict | list)}
  facts |= {
    name: value
    for key in ("hardware", "versions")
    for name, value in [*_mapping(summary.get(key)).items()][:_MOST_FACTS]
  }
  for number in _mapping(summary.get("metrics")).values():
    card = _mapping(_mapping(number).get("card"))
    facts |= {name: card[name] for name in ("jax", "genjax") if name in card and name not in facts}
  clock = [_mapping(row.get("clock")) for row in run.rows]
  speeds = [row["steps_per_second"] for row in clock if isinstance(row.get("steps_per_second"), float)]
  if speeds:
    facts["steps a second (median)"] = float(statistics.median(speeds))
  compiled = next((row["compile_s"] for row in clock if "compile_s" in row), None)
  return facts if compiled is None else {**facts, "seconds of the first compilation": compiled}


def state(run: Run) -> str:
  """How far a run is, in words."""
  wanted = _mapping(run.config.get("train")).get("steps")
  steps = max((row["step"] for row in run.rows), default=0)
  reached = f"step {steps:,}" + (f" of {wanted:,}" if type(wanted) is int else "")
  if run.live:
    return f"{reached}; running now"
  return f"{reached}; {'ended' if run.summary and run.summary.get('steps') == steps else 'no summary yet'}"


def trace(runs: Sequence[Run], made: str) -> Element:
  """The section that says which command gives what."""
  parts: list[Element] = []
  for i, run in enumerate(runs):
    parts += [
      element("h3", _chip(i, run)),
      element("p", "Curves, samples, numbers and figure are written by:", class_="note"),
      command(commands.train(run)),
      element("p", "The same training from its beginning, in another folder:", class_="note"),
      command(commands.again(run)),
    ]
    if run.continued:
      parts.append(
        element("p", "Its config changed on the way (see Config), so that this is another run.", class_="warning")
      )
    if run.checkpoints:
      newest = run.checkpoints[-1]
      parts += [
        element("p", "From the newest checkpoint, writing nothing into the workdir:", class_="note"),
        command(commands.evaluate(run, newest)),
        command(commands.sample(run, newest)),
      ]
  page = [element("p", "This page:", class_="note"), command(made)]
  return element("section", element("h2", "Commands"), *parts, *page, id="commands")


def _chip(i: int, run: Run) -> Element:
  return element("span", run.name, class_=f"chip run-{i % 8}")


def _text(values: Mapping[str, Any], key: str) -> str:
  return shown(values[key]) if key in values else MISSING


def _mapping(value: Any) -> dict[str, Any]:
  return value if isinstance(value, dict) else {}
