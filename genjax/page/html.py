"""Elements of a page. Text that goes into one is escaped when the page is written, whatever it holds.

Checked  tests/page/test_page.py: names, values and samples that are HTML themselves stay text.
"""

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

MISSING = "\N{EN DASH}"  # what a run has not
Child = Element | str | None  # None: nothing


def element(tag: str, *children: Child, **attributes: Any) -> Element:
  """An element with text and elements in it. `class_` is the attribute class, data_steps is data-steps; True is ""."""
  given = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
  made = Element(tag, {name: "" if value is True else str(value) for name, value in given.items() if value is not None})
  last = None
  for child in children:
    if isinstance(child, Element):
      made.append(child)
      last = child
    elif child is not None and last is not None:
      last.tail = (last.tail or "") + child
    elif child is not None:
      made.text = (made.text or "") + child
  return made


def table(head: list[Child], rows: list[Element], *, class_: str | None = None) -> Element:
  """A table in a frame of its own, which scrolls where the page is too narrow."""
  cells = element("tr", *(element("th", cell, scope="col") for cell in head))
  body = element("table", element("thead", cells), element("tbody", *rows), class_=class_)
  return element("div", body, class_="scroll", tabindex="0", role="region", aria_label="table")


def table_row(name: str, cells: Sequence[str], differs: bool) -> Element:
  """A row of a table, marked where its cells differ; a long name breaks behind its dots."""
  mark = element("abbr", "\N{NOT EQUAL TO}", title="differs between the runs") if differs else None
  first, *others = shown(name, 200).split(".")
  parts = [element("span", f".{word}", class_="part") for word in others]
  head = element("th", first, *parts, " " if differs else None, mark, scope="row")
  return element("tr", head, *(element("td", cell) for cell in cells), class_="differs" if differs else None)


def details(summary: Child, *children: Child, opened: bool = False) -> Element:
  return element("details", element("summary", summary), *children, open=opened or None)


def command(text: str) -> Element:
  return element("code", text, class_="command")


def data(name: str, value: Any) -> Element:
  """JSON for the page's script; no text in it ends the element. NaN and infinities must have become None."""
  text = json.dumps(value, allow_nan=False, separators=(",", ":"))
  for letter in "<>&":
    text = text.replace(letter, f"\\u{ord(letter):04x}")
  return element("script", text, type="application/json", id=name)


def document(title: str, body: list[Child], style: str, script: str) -> bytes:
  """The whole page. Its own policy lets a browser load nothing, and run this script alone."""
  allowed = f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
  head = element(
    "head",
    element("meta", charset="utf-8"),
    element("meta", http_equiv="Content-Security-Policy", content=f"{allowed}; base-uri 'none'; form-action 'none'"),
    element("meta", name="viewport", content="width=device-width, initial-scale=1"),
    element("meta", name="color-scheme", content="light dark"),
    element("title", title),
    element("link", rel="icon", href="data:,"),
    element("style", style),
  )
  page = element("html", head, element("body", *body, element("script", script)), lang="en")
  text = ElementTree.tostring(page, encoding="unicode", method="html")
  return ("<!DOCTYPE html>\n" + text + "\n").encode("utf-8", "replace")


def _digest(text: str) -> str:
  return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def shown(value: Any, most: int = 400) -> str:
  """A value of a JSON file as a person reads it, cut where it is long."""
  if isinstance(value, float):
    text = f"{value:.6g}" if math.isfinite(value) else str(value)
  elif isinstance(value, str):
    text = value
  else:
    text = json.dumps(value, ensure_ascii=False)
  return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def flat(value: Any, at: str = "") -> dict[str, Any]:
  """{"net": {"width": 8}} as {"net.width": 8}."""
  if not isinstance(value, Mapping) or (at and not value):
    return {at: value}
  return {
    name: leaf for key, inner in value.items() for name, leaf in flat(inner, f"{at}.{key}" if at else key).items()
  }
