"""The metric cards of a page: each number of each run, how it was measured, and the command that gives it.

Checked  tests/page/test_page.py
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from genjax.page import commands
from genjax.page.html import MISSING, command, details, element, shown, table, table_row
from genjax.page.read import Run

WHAT = ("subject", "seed", "warning")  # fields of a card in which numbers that compare may differ: metrics/card.py

_MOST_CARDS = 200


class Measured(NamedTuple):
  """A number of a run."""

  value: Any
  card: dict[str, Any]  # empty where it comes from metrics.jsonl
  at: str  # of which state
  step: Any  # the --step of that state
  last: Any = None  # the value of the last step, where `value` is that of the best one


def measured(run: Run) -> dict[str, Measured]:
  """The numbers of summary.json by name; before there is one, the newest evaluation of metrics.jsonl."""
  summary = run.summary
  best, chosen_by, steps = (shown(summary.get(name)) for name in ("best_step", "chosen_by", "steps"))
  is_best = summary.get("best_step") is not None
  at, step = (
    (f"step {best}, where {chosen_by} was best", "best") if is_best else (f"step {steps}", summary.get("steps"))
  )
  last = _numbers(summary.get("metrics_of_last_step"))
  values = {
    name: Measured(number["value"], number["card"], at, step, last.get(name, {}).get("value"))
    for name, number in _numbers(summary.get("metrics")).items()
  }
  return values or _newest(run)


def _numbers(values: Any) -> dict[str, dict[str, Any]]:
  """Those of summary.json that have a value and a card."""
  entries = values.items() if isinstance(values, dict) else ()
  return {
    name: number
    for name, number in entries
    if isinstance(number, dict) and "value" in number and isinstance(number.get("card"), dict)
  }


def _newest(run: Run) -> dict[str, Measured]:
  values = {}
  for row in run.rows:
    for name, value in row.items():
      if name.startswith("eval/"):
        at = f"step {row['step']}, as logged; its card comes with summary.json"
        values[name.removeprefix("eval/")] = Measured(value, {}, at, row["step"])
  return values


def unlike(cards: Sequence[dict[str, Any]]) -> list[str]:
  """Fields of cards in which numbers were not measured alike; one that a card has not does not apply to it."""
  fields = sorted({name for card in cards for name in card if name not in WHAT})
  values = {name: [card[name] for card in cards if card.get(name) is not None] for name in fields}
  return [name for name, given in values.items() if any(value != given[0] for value in given)]


def section(runs: Sequence[Run]) -> Element:
  numbers = [measured(run) for run in runs]
  logged = {name.removeprefix("eval/") for run in runs for row in run.rows for name in row if name.startswith("eval/")}
  every = list(dict.fromkeys(name for of_run in numbers for name in of_run))
  ordered = sorted(every, key=lambda name: name not in logged)[:_MOST_CARDS]
  cards = [_card(name, [(i, runs[i], of[name]) for i, of in enumerate(numbers) if name in of]) for name in ordered]
  empty = None if cards else element("p", "No number was measured yet, or the config asks for none.", class_="note")
  return element(
    "section",
    element("h2", "Numbers"),
    empty,
    element("div", *cards, class_="cards several" if len(runs) > 1 else "cards"),
    id="numbers",
  )


def _card(name: str, of: list[tuple[int, Run, Measured]]) -> Element:
  differ = unlike([number.card for _, _, number in of])
  warnings = {f"{run.name}: {text}" for _, run, one in of if (text := one.card.get("warning"))}
  notes = [element("p", f"! {text}", class_="warning") for text in sorted(warnings)]
  if differ:
    notes.append(element("p", f"! not measured alike: {', '.join(differ)}", class_="warning"))
  return element(
    "article",
    element("h3", shown(name)),
    *(_value(i, run, number) for i, run, number in of),
    *notes,
    details("Card and command", *_traces(of)),
    class_="card",
  )


def _value(i: int, run: Run, number: Measured) -> Element:
  last = None if number.last is None else element("span", f"last step: {shown(number.last)}", class_="note")
  return element(
    "div",
    element("span", run.name, class_=f"chip run-{i % 8}"),
    element("strong", _short(number.value), title=str(number.value)),
    element("span", number.at, class_="note"),
    last,
    class_="value",
  )


def _given(value: Any) -> str:
  return MISSING if value is None else shown(value)


def _short(value: Any) -> str:
  return f"{value:.4g}" if isinstance(value, float) else shown(value, 30)


def _traces(of: list[tuple[int, Run, Measured]]) -> list[Element]:
  """The fields of the cards, a column a run, and the commands below."""
  fields = list(dict.fromkeys(field for _, _, number in of for field in number.card))
  values = [repr(number.value) if isinstance(number.value, float) else shown(number.value) for *_, number in of]
  differ = unlike([number.card for *_, number in of])
  lines = [table_row(name, [_given(number.card.get(name)) for *_, number in of], name in differ) for name in fields]
  parts = [table(["", *(run.name for _, run, _ in of)], [table_row("value", values, False), *lines])]
  for _, run, number in of:
    source = "summary.json" if number.card else "metrics.jsonl"
    parts += [
      element("p", f"{run.name}: written to {source} by (a run that has ended is only measured anew)", class_="note"),
      command(commands.train(run)),
    ]
    if number.step in (*run.checkpoints, "best"):
      parts += [
        element("p", "the same measurement of new draws, which writes nothing:", class_="note"),
        command(commands.evaluate(run, number.step)),
      ]
  return parts
