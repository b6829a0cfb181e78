"""Who may import whom: every file of genjax is read, nothing of it is imported, and the broken rule is named.

The table is that of the design, section 2. Imports inside functions and under TYPE_CHECKING count like the others.
The checkers are functions of source text, and are themselves tried on sources that break each rule.
"""

import ast
import functools
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
LONGEST_CHAIN = 6  # imports, one after the other, below the studies, which stand on the command as a user does
MOST_LINES = 450
VAGUE = ("utils", "util", "common", "helpers", "misc")


class Layer(NamedTuple):
  may: tuple[str, ...]  # besides itself
  why: str


EVERYTHING = ("core", "ops", "nets", "objectives", "systems", "data", "metrics", "train")
LAYERS = {
  "core": Layer((), "the vocabulary stands on nothing"),
  "ops": Layer(("core",), "pure maths on arrays"),
  "nets": Layer(("core", "ops"), "images in, numbers out"),
  "objectives": Layer(("core", "ops"), "a loss receives its critic, so any net plays any loss"),
  "systems": Layer(("core", "ops", "nets", "objectives"), "an algorithm knows nothing of data, metrics and the loop"),
  "data": Layer(("core",), "images come from a name, whoever asks"),
  "metrics": Layer(("core", "ops", "nets"), "a metric sees samples, not how they were made"),
  "train": Layer(("core",), "plumbing knows nothing of generative models"),
  "main": Layer((*EVERYTHING, "studies"), "the one place where everything meets"),
  "studies": Layer((*EVERYTHING, "main"), "a study stands on the command"),
}
TOP = {
  "__init__.py": "main",
  "main.py": "main",
  "command.py": "main",
  "convert.py": "main",
  "build.py": "main",
  "build_episodes.py": "main",
  "parts.py": "main",
  "core.py": "core",
}
HOMES = {  # library to the folders or files where it is at home
  "tensorflow_datasets": ("data",),
  "grain": ("data",),
  "array_record": ("data",),
  "sklearn": ("data",),
  "skimage": ("data",),
  "orbax": ("train/checkpoint.py",),
  "ml_collections": ("main.py", "build.py", "build_episodes.py", "parts.py", "command.py", "studies"),
  "absl": ("main.py", "build.py", "build_episodes.py", "parts.py", "command.py", "studies"),
  "flax": ("nets", "systems", "metrics"),
  "optax": ("systems", "metrics"),
  "tensorflow": (),
  "torch": (),
}


# The checkers ---------------------------------------------------------------------------------------------------------


def imports_of(path: str, source: str) -> list[str]:
  """Dotted names that a file imports, everywhere in it; `from a import b` gives a.b, for b may be a module."""
  package = path.removesuffix(".py").split("/")[:-1]  # of genjax/train/loop.py as of genjax/train/__init__.py
  names = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      names += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      parents = package[: len(package) - node.level + 1] if node.level else []
      base = ".".join([*parents, *([node.module] if node.module else [])])
      names += [f"{base}.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
      called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
      if called in ("import_module", "__import__"):
        names.append(str(node.args[0].value))
  return names


def layer_of(path: str) -> str | None:
  """Of genjax/train/loop.py: train. None for what has no place in the table."""
  _, first, *rest = path.split("/")
  return (first if first in LAYERS and first not in ("core", "main") else None) if rest else TOP.get(first)


def own_layer_of(name: str) -> str:
  """Layer of a dotted name that begins with genjax: what stands in the root's own files belongs to main."""
  _, *rest = name.split(".")
  return rest[0] if rest and rest[0] in LAYERS else "main"


def broken_layers(path: str, source: str) -> list[str]:
  """One line for each import from genjax that the table forbids."""
  layer = layer_of(path)
  if layer is None:
    return [f"{path} is in no folder of the table: {', '.join(LAYERS)} (design, section 2)"]
  lines = []
  for name in imports_of(path, source):
    if name.split(".")[0] != "genjax" or own_layer_of(name) in (layer, *LAYERS[layer].may):
      continue
    target = ".".join(name.split(".")[:2])
    allowed = " and ".join(filter(None, [", ".join(LAYERS[layer].may[:-1]), *LAYERS[layer].may[-1:]])) or "nothing"
    lines.append(f"{path} imports {target}: {layer} may import {allowed} only (design: {LAYERS[layer].why})")
  return lines


def broken_homes(path: str, source: str) -> list[str]:
  """One line for each import of a library outside its home."""
  inside = path.removeprefix("genjax/")
  lines = []
  for library in {name.split(".")[0] for name in imports_of(path, source)} & set(HOMES):
    if not {inside, inside.split("/")[0]} & set(HOMES[library]):
      home = " and ".join(HOMES[library])
      rule = f"its home is genjax/{home} only" if home else "genjax runs without it"
      lines.append(f"{path} imports {library}: {rule} (design, section 2)")
  return sorted(lines)


def graph_of(sources: Mapping[str, str]) -> dict[str, set[str]]:
  """File to the files that it imports; the packages that Python opens on the way there are not counted."""
  files = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in sources}
  graph = {}
  for path, source in sources.items():
    found = set()
    for name in imports_of(path, source):
      parent = name.rpartition(".")[0]
      found |= {
        files[module] for module in (name, parent) if module in files and not (module == parent and name in files)
      }
    graph[path] = found - {path}
  return graph


def cycle_in(graph: Mapping[str, set[str]]) -> list[str]:
  """Files that import each other in a ring, the first one again at the end; empty if there is none."""
  done: set[str] = set()

  def visit(path: str, trail: list[str]) -> list[str]:
    if path in trail:
      return [*trail[trail.index(path) :], path]
    if path in done:
      return []
    for target in sorted(graph[path]):
      if ring := visit(target, [*trail, path]):
        return ring
    done.add(path)
    return []

  return next((ring for path in sorted(graph) if (ring := visit(path, []))), [])


def longest_chain(graph: Mapping[str, set[str]]) -> list[str]:
  """Files of the longest way along the imports of a graph without rings."""

  @functools.cache
  def longest_from(path: str) -> tuple[str, ...]:
    return (path, *max((longest_from(target) for target in sorted(graph[path])), key=len, default=()))

  return list(max(map(longest_from, sorted(graph)), key=len))


def broken_form(path: str, source: str) -> list[str]:
  """One line for each thing that a file itself has wrong: a name that says nothing, no docstring, too many lines."""
  lines = [
    f"{path}: {part!r} says nothing; name it after what it knows (design, rule 4)"
    for part in path.removesuffix(".py").split("/")
    if part in VAGUE
  ]
  if not ast.get_docstring(ast.parse(source)):
    lines.append(f"{path} has no docstring; say what it is, as in section 5 of the design")
  count = len(source.splitlines())
  if count >= MOST_LINES:
    lines.append(f"{path} has {count} lines; keep it under {MOST_LINES}: one idea a file (design, section 4)")
  return lines


# genjax itself --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sources():
  files = sorted((ROOT / "genjax").rglob("*.py"))
  return {path.relative_to(ROOT).as_posix(): path.read_text() for path in files}


def told(lines):
  return "\n" + "\n".join(lines)


def test_all_of_genjax_is_read(sources):
  assert len(sources) > 30
  assert {"genjax/core.py", "genjax/main.py", "genjax/train/loop.py", "genjax/systems/winn.py"} <= set(sources)


def test_every_file_imports_only_from_the_layers_it_may(sources):
  broken = [line for path, source in sources.items() for line in broken_layers(path, source)]
  assert not broken, told(broken)


def test_every_library_stays_at_home(sources):
  broken = [line for path, source in sources.items() for line in broken_homes(path, source)]
  assert not broken, told(broken)


def test_no_files_import_each_other_in_a_ring(sources):
  ring = cycle_in(graph_of(sources))
  assert not ring, "these import each other in a ring: " + " -> ".join(ring)


def test_a_reader_never_follows_more_than_six_imports(sources):
  graph = graph_of({path: source for path, source in sources.items() if layer_of(path) != "studies"})
  if cycle_in(graph):
    pytest.fail("there is a ring, so no longest chain; see the test before")
  chain = longest_chain(graph)
  assert len(chain) - 1 <= LONGEST_CHAIN, f"{len(chain) - 1} imports in a row: " + " -> ".join(chain)


def test_every_file_is_named_for_what_it_knows_has_a_docstring_and_is_short(sources):
  broken = [line for path, source in sources.items() for line in broken_form(path, source)]
  assert not broken, told(broken)


def test_importing_the_command_does_not_start_jax():
  script = """
import sys
import genjax.main
assert callable(genjax.main.main)
print(genjax.main.__file__)
print(*[name for name in ("jax", "jaxlib", "flax", "optax", "orbax", "tensorflow_datasets") if name in sys.modules])
genjax.System
print("jax" in sys.modules)
"""
  done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
  assert done.returncode == 0, done.stderr
  home, loaded, later = done.stdout.split("\n")[:3]
  assert Path(home) == ROOT / "genjax" / "main.py"
  assert loaded == "", f"import genjax.main also imports {loaded}: `genjax --help` must answer in a second"
  assert later == "True"  # so this test would have seen it


# The checkers themselves ----------------------------------------------------------------------------------------------


def test_the_message_names_the_file_the_import_and_the_rule():
  assert broken_layers("genjax/train/loop.py", "from genjax.systems.winn import winn") == [
    "genjax/train/loop.py imports genjax.systems: train may import core only "
    "(design: plumbing knows nothing of generative models)"
  ]
  assert broken_homes("genjax/nets/convnet.py", "import optax") == [
    "genjax/nets/convnet.py imports optax: its home is genjax/systems and metrics only (design, section 2)"
  ]


@pytest.mark.parametrize(
  ("path", "source"),
  [
    ("genjax/core.py", "import genjax.ops.pool"),
    ("genjax/ops/pool.py", "from genjax.nets import convnet"),
    ("genjax/ops/pool.py", "from ..nets import convnet"),
    ("genjax/ops/pool.py", "from .. import nets"),
    ("genjax/ops/deep/pool.py", "from ...nets.convnet import ConvNet"),
    ("genjax/nets/convnet.py", "from genjax.objectives.zoo import winn"),
    ("genjax/objectives/terms.py", "from genjax import nets"),
    ("genjax/systems/winn.py", "from genjax.train import loop"),
    ("genjax/systems/winn.py", "from genjax.metrics.card import Card"),
    ("genjax/data/images.py", "from genjax.ops.augment import to_unit"),
    ("genjax/metrics/frechet.py", "from genjax.data import load"),
    ("genjax/train/loop.py", "def f():\n  import genjax.nets.noise as noise\n  return noise"),
    ("genjax/train/loop.py", "if TYPE_CHECKING:\n  from genjax.metrics import card"),
    ("genjax/train/loop.py", "import importlib\nwinn = importlib.import_module('genjax.systems.winn')"),
    ("genjax/train/loop.py", "from genjax import winn"),
    ("genjax/train/loop.py", "import genjax"),
    ("genjax/train/loop.py", "import os, genjax.main"),
    ("genjax/train/__init__.py", "from ..data import load"),
  ],
)
def test_an_import_that_the_table_forbids_is_found(path, source):
  assert len(broken_layers(path, source)) == 1


@pytest.mark.parametrize(
  ("path", "source"),
  [
    ("genjax/core.py", "import jax"),
    (
      "genjax/ops/pool.py",
      "from genjax.core import Array\nfrom genjax.ops import conv\nfrom . import conv\nfrom .conv import x",
    ),
    ("genjax/ops/pool.py", "import genjaxlike.nets\ngenjax = 'from genjax.nets import x'"),
    ("genjax/systems/winn.py", "from genjax import core, nets, objectives, ops"),
    ("genjax/metrics/frechet.py", "from genjax.nets.convnet import ConvNet"),
    ("genjax/train/__init__.py", "from .loop import run\nfrom ..core import System"),
    (
      "genjax/main.py",
      "from genjax import core, data, metrics, nets, objectives, ops, systems, train\nimport genjax.command",
    ),
    ("genjax/__init__.py", "from genjax.train.loop import run"),
  ],
)
def test_an_import_that_the_table_allows_is_left_alone(path, source):
  assert broken_layers(path, source) == []


def test_a_file_outside_the_table_is_asked_where_it_belongs():
  assert "genjax/extra.py is in no folder" in broken_layers("genjax/extra.py", "")[0]
  assert "genjax/extra/file.py is in no folder" in broken_layers("genjax/extra/file.py", "")[0]


@pytest.mark.parametrize(
  ("path", "source", "library"),
  [
    ("genjax/train/loop.py", "import orbax.checkpoint as ocp", "orbax"),
    ("genjax/metrics/card.py", "from grain import python", "grain"),
    ("genjax/train/log.py", "def f():\n  import tensorflow as tf", "tensorflow"),
    ("genjax/data/images.py", "from torch.utils import data", "torch"),
    ("genjax/systems/winn.py", "from ml_collections import ConfigDict", "ml_collections"),
    ("genjax/train/loop.py", "from absl import flags", "absl"),
    ("genjax/objectives/terms.py", "import flax.linen as nn", "flax"),
    ("genjax/train/loop.py", "from optax import adam", "optax"),
    ("genjax/metrics/classifier.py", "from sklearn.datasets import load_digits", "sklearn"),
    ("genjax/ops/augment.py", "import skimage", "skimage"),
    ("genjax/main.py", "import tensorflow_datasets as tfds", "tensorflow_datasets"),
  ],
)
def test_a_library_away_from_home_is_found(path, source, library):
  assert [f"{path} imports {library}: " in line for line in broken_homes(path, source)] == [True]


@pytest.mark.parametrize(
  ("path", "source"),
  [
    ("genjax/train/checkpoint.py", "import orbax.checkpoint as ocp"),
    ("genjax/data/prepared.py", "import tensorflow_datasets, grain, sklearn, skimage"),
    ("genjax/main.py", "import absl, ml_collections, jax"),
    ("genjax/metrics/classifier.py", "import flax, optax, numpy, scipy"),
    ("genjax/systems/winn.py", "import flax, optax"),
    ("genjax/train/log.py", "import tensorboardX"),
  ],
)
def test_a_library_at_home_is_left_alone(path, source):
  assert broken_homes(path, source) == []


def test_a_ring_is_found_and_told_in_order():
  sources = {
    "genjax/ops/a.py": "from genjax.ops import b",
    "genjax/ops/b.py": "def f():\n  from genjax.ops.c import g",
    "genjax/ops/c.py": "from . import a",
    "genjax/ops/d.py": "import genjax.ops.a",
  }
  ring = cycle_in(graph_of(sources))
  assert ring[0] == ring[-1]
  assert ring[:-1] == ["genjax/ops/a.py", "genjax/ops/b.py", "genjax/ops/c.py"]
  assert cycle_in(graph_of(sources | {"genjax/ops/c.py": "import jax"})) == []


def test_the_longest_chain_is_found_and_a_package_on_the_way_is_not_counted():
  sources = {
    "genjax/data/__init__.py": "from genjax.data.b import load",
    "genjax/data/a.py": "import jax",
    "genjax/data/b.py": "from genjax.data import a\nfrom genjax.data.a import x",
    "genjax/main.py": "from genjax.data import load\nfrom genjax.data import a",
  }
  assert cycle_in(graph_of(sources)) == []
  chain = ["genjax/main.py", "genjax/data/__init__.py", "genjax/data/b.py", "genjax/data/a.py"]
  assert longest_chain(graph_of(sources)) == chain


@pytest.mark.parametrize(
  ("path", "source", "said"),
  [
    ("genjax/train/utils.py", '"""Text."""', "'utils' says nothing"),
    ("genjax/common/loop.py", '"""Text."""', "'common' says nothing"),
    ("genjax/ops/helpers.py", '"""Text."""', "'helpers' says nothing"),
    ("genjax/ops/pool.py", "import jax", "has no docstring"),
    ("genjax/ops/pool.py", "", "has no docstring"),
    ("genjax/ops/pool.py", '"""Text."""' + "\n" * 450, "has 450 lines"),
  ],
)
def test_a_file_in_bad_form_is_found(path, source, said):
  (line,) = broken_form(path, source)
  assert path in line
  assert said in line


def test_a_file_in_good_form_is_left_alone():
  assert broken_form("genjax/ops/pool.py", '"""Text."""' + "\n" * 449) == []
