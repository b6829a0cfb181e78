"""The diffs of genjax/systems/README.md apply to this tree, and what each of them adds works."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "genjax" / "systems" / "README.md").read_text()
DIFFS = dict(zip(("row", "net", "metric", "system"), re.findall(r"```diff\n(.*?)```", PAGE, re.DOTALL), strict=True))
COMMANDS = [line for block in re.findall(r"```\n(genjax .*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
TINY = """--quiet --config.train.steps=2 --config.train.steps_per_call=1 --config.train.checkpoint_every=2
  --config.train.evaluate_every=2 --config.data.batch=8"""
SMALL_RING = """--config.train.sample_every=0 --config.generator.widths=(4,) --config.critic=maxout
  --config.critic.widths=(4,) --config.metrics.modes.samples=100"""
CHECKS = f"""
import json, sys
import jax
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_disable_most_optimizations", True)
from pathlib import Path
from genjax import cli, make
assert Path(cli.__file__).is_relative_to(Path.cwd()), cli.__file__

def run(line):
  assert cli.main(line.split()) == 0, line
  return json.loads(Path(line.split()[line.split().index("--workdir") + 1], "summary.json").read_text())["metrics"]

for words in {[shlex.split(line)[1:] for line in COMMANDS]!r}:  # the page's own commands; those of a workdir come below
  if "--config" in words or words[0] == "objectives":
    cli.parse(words)

net = make.make("critic", {{"name": "maxout", "pieces": 3}})
assert (type(net).__name__, net.pieces) == ("MaxoutCritic", 3)
assert "modes" in run({f"train --config gan_ring:hinge_r1 --workdir ring {TINY} {SMALL_RING}"!r})
assert run({f"train --config denoiser_digits --workdir denoiser {TINY}"!r})["reconstruction"]["value"] > 0
assert cli.main("encode --workdir denoiser --out codes.npz".split()) == 0

sys.path[:0] = [".", "tests/objectives"]
import test_zoo
test_zoo.test_the_losses_are_those_of_numpy("hinge_r1")
from tests.systems.contract import PROMISES, one_device_and_eight_agree
from tests.systems.rows import ROWS
trial = ROWS["denoiser"]()
for promise in (*PROMISES, one_device_and_eight_agree):
  promise(trial)

Path("my_nets.py").write_text(Path("genjax/nets/maxout.py").read_text())
own = "--config.critic.name=my_nets:MaxoutCritic"
request = cli.parse(["train", "--config", "gan_digits", own])
assert type(make.make("critic", request.config.critic)).__module__ == "my_nets"
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
  """The tree with all diffs applied, one after the other; it is no git repository."""
  path = tmp_path_factory.mktemp("how_to_add")
  for folder in ("genjax", "configs", "tests"):
    shutil.copytree(ROOT / folder, path / folder, ignore=shutil.ignore_patterns("__pycache__"))
  ceiling = {**os.environ, "GIT_CEILING_DIRECTORIES": str(path.parent)}
  for name, diff in DIFFS.items():
    done = subprocess.run(
      ["git", "apply", "--verbose", "-"], cwd=path, env=ceiling, input=diff, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"the diff of a {name}: {done.stderr}"
  return path


def test_every_diff_applies_and_its_new_files_have_the_format_of_the_others(copy):
  files = re.findall(r"^--- /dev/null\n\+\+\+ b/(.*\.py)$", PAGE, re.MULTILINE)
  assert len(files) == 4
  ruff = [sys.executable, "-m", "ruff"]
  settings = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
  for words in (["check"], ["format", "--check"]):
    done = subprocess.run([*ruff, *words, *settings, *files], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_what_the_diffs_add_works(copy):
  env = {**os.environ, "PYTHONPATH": str(copy)}
  done = subprocess.run([sys.executable, "-c", CHECKS], cwd=copy, env=env, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
