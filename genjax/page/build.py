"""The whole page of one or several runs.

Checked  tests/page/test_page.py, tests/page/test_browser.py
"""

import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from genjax.page import commands, numbers, samples, tables
from genjax.page.html import command, data, document, element
from genjax.page.pictures import share_of
from genjax.page.read import Run
from genjax.page.series import series

ROWS = 8  # of a picture of interpolations
_PARTS = {
  "numbers": "Numbers",
  "samples": "Samples",
  "nearest": "Nearest images",
  "interpolations": "Interpolations",
  "curves": "Curves",
  "config": "Config",
  "machine": "Hardware",
  "commands": "Commands",
}


def page(
  runs: Sequence[Run], *, options: Mapping[str, Any] | None = None, drawn: Mapping[str, np.ndarray | str] | None = None
) -> bytes:
  """The page as UTF-8.

  Args:
    runs: from `read`, at least one.
    options: of the command, for the line that says how the page was made.
    drawn: folder -> interpolations [H, W, 1 or 3] uint8, or why there are none.
  """
  options, share = dict(options or {}), share_of(runs)
  body = [
    _header(runs),
    element(
      "main",
      numbers.section(runs),
      samples.over_time(runs, share),
      samples.figures(runs, share),
      samples.interpolations(runs, share, drawn or {}, options.get("interpolate", 10), ROWS),
      *_curves(runs),
      tables.config(runs),
      tables.machine(runs),
      tables.trace(runs, commands.report(list(runs), options)),
    ),
    element("footer", _made()),
  ]
  style, script = (Path(__file__).with_name(f"page.{ending}").read_text("utf-8") for ending in ("css", "js"))
  return document(", ".join(run.name for run in runs), body, style, script)


def _header(runs: Sequence[Run]) -> Element:
  lines = [
    element(
      "li",
      element("span", run.name, class_=f"chip run-{i % 8}"),
      element("span", tables.state(run)),
      element("code", run.folder),
      *(element("span", note, class_="warning") for note in run.notes),
    )
    for i, run in enumerate(runs)
  ]
  links = [element("a", words, href=f"#{name}") for name, words in _PARTS.items()]
  return element(
    "header",
    element("h1", runs[0].name if len(runs) == 1 else f"{len(runs)} runs"),
    element("ul", *lines, class_="runs"),
    element("nav", *links, aria_label="Parts of this page"),
  )


def _curves(runs: Sequence[Run]) -> list[Element]:
  drawn, left_out = series([run.rows for run in runs])
  heading = element("h2", "Curves")
  if not drawn:
    nothing = element("p", "No numbers in metrics.jsonl yet.", class_="note")
    return [element("section", heading, nothing, id="curves")]
  more = [element("p", f"{left_out:,} more names are not drawn.", class_="note")] if left_out else []
  axes = [
    element(
      "fieldset",
      element("legend", f"{axis} axis"),
      *(
        element(
          "label",
          element("input", type="radio", name=axis, value=scale, checked=True if scale == "linear" else None),
          f" {scale}",
        )
        for scale in ("linear", "log")
      ),
    )
    for axis in ("y", "x")
  ]
  legend = [
    element(
      "label",
      element("input", type="checkbox", name="run", value=i, checked=True),
      element("span", run.name, class_=f"chip run-{i % 8}"),
    )
    for i, run in enumerate(runs)
  ]
  shown = element("fieldset", element("legend", "runs"), *legend, hidden=None if len(runs) > 1 else True)
  controls = element("form", *axes, shown, class_="controls", id="axes")
  written = [command(commands.train(run)) for run in runs]
  return [
    element(
      "section",
      heading,
      element("p", "Point at a curve, or move along it with the arrow keys, to read its values.", class_="note"),
      controls,
      element("noscript", element("p", "The curves are drawn by this page's script, which is switched off.")),
      element("div", class_="plots", id="plots"),
      *more,
      element("p", "Each point is a line of metrics.jsonl, written by:", class_="note"),
      *written,
      id="curves",
    ),
    data("curves-data", {"runs": [run.name for run in runs], "series": drawn}),
  ]


def _made() -> str:
  try:
    version = metadata.version("genjax-vision")
  except metadata.PackageNotFoundError:
    version = "not installed"
  return f"Made {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC by genjax {version}. This page loads nothing."
