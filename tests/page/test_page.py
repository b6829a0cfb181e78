"""The page of hand-written workdirs: what it shows, that nothing of theirs becomes HTML, and that it is always made."""

import copy
import json
import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from workdirs import CARD, CONFIG, ROWS, SUMMARY, write

from genjax import cli
from genjax.cli import main
from genjax.metrics import card as cards
from genjax.page.build import page
from genjax.page.numbers import WHAT, unlike
from genjax.page.read import names, read

VOID = {"meta", "link", "img", "input", "br"}
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'`&amp;\u2028\ud800\0"


class Parsed(HTMLParser):
  """Elements in order as (tag, attributes), the text in them, and that every one is closed."""

  def __init__(self, content):
    super().__init__()
    self.elements, self.texts, self.open = [], [], []
    self.feed(content.decode())
    assert not self.open

  def handle_starttag(self, tag, attributes):
    self.elements.append((tag, dict(attributes)))
    if tag not in VOID:
      self.open.append((tag, len(self.elements) - 1))
    self.texts.append("")

  def handle_endtag(self, tag):
    assert self.open.pop()[0] == tag

  def handle_data(self, data):
    for _, place in self.open:
      self.texts[place] += data

  def of(self, tag, **wanted):
    """Attributes and text of the elements of a tag with these attributes (class_ for class)."""
    wanted = {name.rstrip("_"): value for name, value in wanted.items()}
    return [
      (attributes, text)
      for (found, attributes), text in zip(self.elements, self.texts, strict=True)
      if found == tag and wanted.items() <= attributes.items()
    ]


def parsed(*folders, **options):
  runs = [read(str(folder), name) for folder, name in zip(folders, names([str(f) for f in folders]), strict=True)]
  return Parsed(page(runs, **options))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  return write(tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture(scope="module")
def one(run):
  return parsed(run)


def test_a_page_has_cards_curves_samples_figure_config_and_machine(one, run):
  assert [text for _, text in one.of("h1")] == ["first"]
  assert [text for _, text in one.of("strong")] == ["4.125"]
  slider = one.of("input", id="slider")[0][0]
  assert (slider["min"], slider["max"], slider["value"], slider["data-steps"]) == ("0", "2", "2", "0 10 20")
  frames = [attributes for attributes, _ in one.of("figure", class_="frame")]
  assert [(frame["data-step"], "hidden" in frame) for frame in frames] == [("0", True), ("10", True), ("20", False)]
  assert all(image["alt"] and image["src"].startswith("data:image/png;base64,") for image, _ in one.of("img"))
  assert len(one.of("img")) == 4
  curves = json.loads(one.of("script", id="curves-data")[0][1])
  assert [series["name"] for series in curves["series"]] == [
    "eval/frechet",
    "loss",
    "clock/compile_s",
    "clock/steps_per_second",
  ]
  assert curves["series"][0]["curves"] == [{"run": 0, "x": [10, 20], "y": [9.0, 4.25], "points": 2, "gaps": 0}]
  text = one.texts[0]
  for words in ("optimizer.learning_rate", "0.002", "a chip, 2 cores", "2.3.1", "step 20 of 20; ended"):
    assert words in text
  assert "64 features" in one.of("article")[0][1]  # the card


def test_a_page_loads_nothing_and_may_run_its_own_script_alone(one):
  policy = one.of("meta", http_equiv=None) or [attributes for attributes, _ in one.of("meta")]
  policy = next(attributes["content"] for attributes in policy if "http-equiv" in attributes)
  assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
  for _, attributes in one.elements:
    for name in ("src", "href"):
      assert attributes.get(name, "#").startswith(("#", "data:"))
    assert not [name for name in attributes if name.startswith("on") or name == "style"]
  assert "http://" not in one.texts[0].replace("http://www.w3.org/2000/svg", "")


def test_every_number_stands_beside_the_commands_that_give_it(one, run):
  commands = [text for _, text in one.of("code", class_="command")]
  card = one.of("article")[0][1]
  for words in (f"genjax train --workdir {run}", f"genjax evaluate --workdir {run} --step 20"):
    assert words in card
    assert words in commands
  assert any(text.startswith("mkdir -p runs/first_again && cp -- ") for text in commands)


def test_the_command_line_understands_every_command_of_a_page(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  theirs = {**CONFIG, "system": {"name": "mine.nets:vae"}}
  shown = parsed(write(tmp_path / "a run's $HOME", config=theirs))
  commands = [text.split(" && ")[-1] for _, text in shown.of("code", class_="command")]
  assert len(commands) > 5
  for text in commands:
    words = shlex.split(text)[1:]
    if "again" in text:
      words[words.index("--workdir") + 1] = str(tmp_path / "a run's $HOME")
    request = cli.parse(words)
    assert request.command == "report" or request.allow == {"mine"}


def test_what_a_workdir_holds_never_becomes_html(run, one, tmp_path):
  config = {**CONFIG, "data": {"name": HOSTILE, "batch": 64}}
  summary = copy.deepcopy(SUMMARY)
  summary["metrics"]["frechet"]["card"]["extractor"] = HOSTILE
  rows = [{**row, "note": HOSTILE} for row in ROWS]
  name = HOSTILE.replace("/", "").replace("\0", "").replace("\ud800", "")
  hostile = parsed(write(tmp_path / name, config=config, summary=summary, rows=rows))
  assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in one.elements]
  assert [sorted(attributes) for _, attributes in hostile.elements] == [sorted(each) for _, each in one.elements]
  assert "alert(1)" in hostile.of("article")[0][1]
  said = {**ROWS[0], HOSTILE: 1.0}
  with_series = parsed(write(tmp_path / "other", rows=[said], text=HOSTILE.replace("\ud800", "")))
  assert with_series.of("pre")[0][1].startswith("</script><script>")
  names_of = [series["name"] for series in json.loads(with_series.of("script", id="curves-data")[0][1])["series"]]
  assert HOSTILE in names_of
  assert len(with_series.of("script")) == 2


def test_values_that_are_no_numbers_are_gaps_or_left_out(tmp_path):
  lines = ['{"step": 1, "a": NaN, "b": "text", "c": true}', '{"step": 2, "a": Infinity}', '{"step": 3, "a": 5}']
  lines += ["no json", '{"step": "4"}', '{"step": -1, "a": 1}', "[" * 5000, '{"step": 5, "a": 1e999}', '{"a"']
  run = write(tmp_path / "run", summary={**SUMMARY, "metrics": {"x": {"value": float("nan"), "card": {}}}})
  (run / "metrics.jsonl").write_text("\n".join(lines))
  shown = parsed(run)
  (series,) = json.loads(shown.of("script", id="curves-data")[0][1])["series"]
  assert series["curves"] == [{"run": 0, "x": [1, 2, 3, 5], "y": [None, None, 5.0, None], "points": 4, "gaps": 3}]
  assert "5 of 9 lines of metrics.jsonl are damaged" in shown.texts[0]
  assert [text for _, text in shown.of("strong")] == ["nan"]


@pytest.mark.parametrize("kept", ["config.json", "metrics.jsonl", "summary.json", "checkpoints", "empty", "damaged"])
def test_a_page_is_made_of_whatever_is_there(kept, tmp_path):
  run = write(tmp_path / "run", samples=())
  for path in run.iterdir():
    if kept in ("empty", "damaged") and path.is_file():
      path.write_bytes({"empty": b"", "damaged": b"\xff[[{"}[kept])
    elif kept not in ("empty", "damaged") and path.name != kept:
      path.rename(tmp_path / path.name)
  shown = parsed(run, options={"interpolate": 4}, drawn={str(run): "no interpolations: no sound checkpoint"})
  assert len(shown.of("section")) == 8
  assert "no sound checkpoint" in shown.texts[0]
  if kept == "damaged":
    assert {"config.json is damaged and left out", "summary.json is damaged and left out"} <= {
      text for _, text in shown.of("span", class_="warning")
    }


def test_files_of_the_wrong_kind_are_left_out(tmp_path):
  deep = json.loads('{"a":' * 200 + "1" + "}" * 200)
  run = write(tmp_path / "run", config=deep, summary={"metrics": {"x": 3, "y": {"value": 1}}, "steps": "<b>"})
  (run / "samples" / "step_00000010.png").write_bytes(b"no picture")
  (run / "samples" / "step_00000020.png").unlink()
  (run / "samples" / "step_00000020.png").mkdir()
  (run / "continued.json").write_text('[3, {"step": 5, "changed": {"seed": [0, 1]}}]')
  shown = parsed(run)
  assert "1 of 3 pictures shown; 2 cannot be read." in [text for _, text in shown.of("p", class_="note")]
  assert "config.json is damaged and left out" in shown.texts[0]
  assert "first, at step 5: config.seed [0, 1]".removeprefix("first") in shown.texts[0]


def test_runs_stand_side_by_side_and_the_differences_of_their_configs_are_marked(run, tmp_path):
  config = {**CONFIG, "optimizer": {"learning_rate": 1e-3}, "net": {"width": 8}}
  summary = copy.deepcopy(SUMMARY)
  summary["metrics"]["frechet"]["card"] |= {"generated": 50, "seed": 3}
  other = write(tmp_path / "second", config=config, summary=summary, samples=(5, 20))
  shown = parsed(run, other)
  assert [text for _, text in shown.of("h1")] == ["2 runs"]
  marked = {text for _, text in shown.of("tr", class_="differs") if text.startswith(("optimizer", "net", "generated"))}
  assert marked == {"optimizer.learning_rate ≠0.0020.001", "net.width ≠–8", "generated ≠50050"}
  assert "2 of 10 keys differ" in shown.texts[0]
  assert "! not measured alike: generated" in [text for _, text in shown.of("p", class_="warning")]
  assert shown.of("input", id="slider")[0][0]["data-steps"] == "0 5 10 20"
  curves = json.loads(shown.of("script", id="curves-data")[0][1])
  assert curves["runs"] == ["first", "second"]
  assert [curve["run"] for curve in curves["series"][0]["curves"]] == [0, 1]


def test_cards_differ_where_the_cards_of_metrics_do():
  first = cards.Card(**{**CARD, "warning": "few"})
  others = [{"seed": 4}, {"subject": "noise"}, {"generated": 1}, {"extractor": None}, {"ema": None, "split": "b"}]
  assert set(WHAT) == set(cards._WHAT)
  for fields in others:
    second = cards.Card(**{**CARD, **fields})
    assert set(unlike([first.to_dict(), second.to_dict()])) == set(cards.differences(first, second))


def test_before_its_end_a_run_shows_its_newest_evaluation(tmp_path):
  run = write(tmp_path / "run", rows=ROWS[:2])
  (run / "summary.json").unlink()
  (run / "run.lock").write_text("{}")
  shown = parsed(run)
  assert "step 10 of 20; running now" in shown.texts[0]
  assert [text for _, text in shown.of("strong")] == ["9"]
  assert "as logged; its card comes with summary.json" in shown.of("article")[0][1]


def test_names_are_the_shortest_that_differ():
  assert names(["runs/a", "runs/b"]) == ["a", "b"]
  assert names(["x/a", "y/a/", "y/b"]) == ["x/a", "y/a", "y/b"]
  assert names(["/"]) == ["/"]


# The command ----------------------------------------------------------------------------------------------------------


def test_the_command_writes_the_page_alone_and_imports_no_jax(run, tmp_path):
  before = {path: path.stat().st_mtime_ns for path in [run, *run.rglob("*")]}
  code = (
    "import sys; from genjax.cli import main; code = main(sys.argv[1:]); sys.exit(code or 9 * ('jax' in sys.modules))"
  )
  done = subprocess.run(
    [sys.executable, "-c", code, "report", str(run)], cwd=tmp_path, capture_output=True, text=True, check=False
  )
  assert (done.returncode, done.stderr) == (0, "")
  assert re.fullmatch(r"1 run in report.html, 0\.\d MB\n", done.stdout)
  assert os.listdir(tmp_path) == ["report.html"]
  assert {path: path.stat().st_mtime_ns for path in [run, *run.rglob("*")]} == before
  Parsed((tmp_path / "report.html").read_bytes())


@pytest.mark.parametrize(
  ("words", "code", "said"),
  [
    ([], 2, "which workdirs?"),
    (["nowhere"], 2, "nowhere is not there"),
    (["file"], 2, "file is a file"),
    (
      ["."],
      2,
      ". is no workdir: it has none of config.json, metrics.jsonl, summary.json, checkpoints; runs in it: ./run",
    ),
    (["run", "nowhere"], 2, "nowhere is not there"),
    (["run", "--out", "page.pdf"], 2, "use a name that ends in .html"),
    (["run", "--workdir", "run"], 2, "report takes no --workdir"),
    (["run", "--config.seed=1"], 2, "report takes no --config.seed"),
    (["run", "--outt", "x"], 2, "did you mean out"),
    (["run", "--interpolate", "1"], 2, "--interpolate takes 2 or more"),
    (["run", "--out", "file/page.html"], 1, "cannot write file/page.html: "),
  ],
)
def test_a_mistake_is_one_line(words, code, said, tmp_path, monkeypatch, capsys):
  write(tmp_path / "run", samples=())
  (tmp_path / "file").write_text("")
  monkeypatch.chdir(tmp_path)
  assert main(["report", *words]) == code
  error = capsys.readouterr().err
  assert said in error
  assert error.count("\n") == 1
  assert not list(tmp_path.glob("*.html"))


def test_a_workdir_gets_a_page_only_on_the_users_word(tmp_path, monkeypatch, capsys):
  run = write(tmp_path / "run", samples=())
  monkeypatch.chdir(run)
  assert main(["report", "."]) == 2
  assert "say --out" in capsys.readouterr().err
  assert main(["report", ".", "--out", "page.html"]) == 0
  assert (run / "page.html").is_file()
