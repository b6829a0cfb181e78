"""What the pages say works: every command is understood, and README's library block runs as a script."""

import ast
import math
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import stand_in

from genjax import cli
from genjax.config import config_folder
from genjax.experiment import experiment, metrics_of
from genjax.help import HELP

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
THEORY = "genjax/objectives/README.md"
PAGES = {
  **{path: (ROOT / path).read_text() for path in ("README.md", "notebooks/README.md", "configs/README.md", THEORY)},
  **{f"genjax {name} --help": page.partition("\n")[2] for name, page in HELP.items()},
  **{path.stem: ast.get_docstring(ast.parse(path.read_text())) for path in sorted(config_folder().glob("*.py"))},
}
COMMAND = re.compile(rf"(?:^|  |bin/)(genjax (?:{'|'.join(HELP)})\b.*?)(?:$|   | >)", re.MULTILINE)
INLINE = re.compile(r"`(genjax (?:\w+)\b[^`]*)`")
PLACEHOLDERS = {"CONFIG": "winn_digits", "NAME[:WORDS]": "winn_digits", "ROW": "hinge"}
CONFIG_OF = {"digits": "winn_digits", "gravel_0": "winn_texture:gravel,small"}  # workdirs that no page's command makes


def commands_of(page):
  """Every command of a page, as words."""
  text = page.replace("\\\n", " ")
  commands = COMMAND.findall(text) + INLINE.findall(text)
  for name, value in PLACEHOLDERS.items():
    commands = [command.replace(name, value) for command in commands]
  return [shlex.split(command, comments=True)[1:] for command in commands]


def workdirs():
  """The config of every workdir that some page's command makes."""
  commands = [words for page in PAGES.values() for words in commands_of(page)]
  return CONFIG_OF | {
    words[words.index("--workdir") + 1].rpartition("/")[2]: words[words.index("--config") + 1]
    for words in commands
    if "--workdir" in words and "--config" in words
  }


def whole(words):
  """A command of a workdir alone, with the config that the workdir holds; others as they are."""
  if words[0] not in cli.TAKES_CONFIG or "--config" in words or "--workdir" not in words:
    return words
  return [*words, "--config", workdirs()[words[words.index("--workdir") + 1].rpartition("/")[2]]]


def of_elsewhere(config):
  """Whether a net of it is that of a file or of another run, which no reader of the page has yet."""
  return any({"weights", "run"} & set(section) for section in config.values() if hasattr(section, "keys"))


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if commands_of(text)])
def test_every_command_of_a_page_names_what_there_is(page, monkeypatch, tmp_path):
  stand_in.replace(monkeypatch)
  monkeypatch.chdir(ROOT)
  for words in commands_of(PAGES[page]):
    if "--help" in words:
      assert words[0] in HELP
      continue
    request = cli.parse(whole(words))
    if request.config is not None and not of_elsewhere(request.config):
      metrics_of(experiment(request.config))


def test_the_pages_are_read():
  assert len(commands_of(README)) >= 10
  assert all(commands_of(PAGES[name]) for name in ("winn_digits", "notebooks/README.md", "genjax train --help"))


def test_readme_is_short():
  assert len(README) <= 9000


def test_readmes_library_block_runs_and_prints_a_number(tmp_path):
  script = re.search(r"<!-- library -->\n```python\n(.*?)```", README, re.DOTALL)[1]
  for block, here in {
    " steps=20": " steps=2",
    "samples=500": "samples=64",
    "ascent_steps=30": "ascent_steps=5",
  }.items():
    assert script.count(block) == 1
    script = script.replace(block, here)
  done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  assert math.isfinite(float(done.stdout.splitlines()[-1]))
