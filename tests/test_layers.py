"""Who may import whom, and the form of files and functions: genjax is read, nothing of it is imported.

The table is that of the design, section 2. Imports inside functions and under TYPE_CHECKING count like the others; for
rings, so do names of modules in strings ("genjax.systems.vae:vae").
"""

import ast
import functools
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONGEST_CHAIN = 7  # imports, one after the other
MOST_LINES, MOST_LINES_OF_A_FUNCTION, MEDIAN_OF_FUNCTIONS = 350, 120, 6
VAGUE = {"utils", "util", "common", "helpers", "misc"}

LOWER = ("core", "ops", "nets", "objectives", "systems", "data", "metrics", "train")
MAY_IMPORT = {  # layer -> layers, besides itself
  "core": (),
  "ops": ("core",),
  "nets": ("core", "ops"),
  "objectives": ("core", "ops"),  # a loss receives its critic, so any net plays any loss
  "systems": ("core", "ops", "nets", "objectives"),
  "data": ("core", "ops"),
  "metrics": ("core", "ops", "nets"),
  "train": ("core",),  # plumbing knows nothing of models
  "make": ("core",),
  "cli": ("core", "make"),
  "page": ("make", "train"),  # reads what runs left
  "run": (*LOWER, "make"),
  "studies": (*LOWER, "make", "run"),
}
TOP = {  # file of genjax/ -> its layer
  "core": ("core", "torch_file"),  # of numpy alone: weights are read by whoever needs them
  "make": ("make", "ranges", "registry", "config", "help"),
  "cli": ("cli",),
  "run": ("run", "experiment", "evaluate", "samples", "workdir", "convert", "comparison", "reading", "__init__"),
}
WITHOUT_JAX = ("make", "ranges", "registry", "config", "help", "cli")
HOMES = {  # library -> the folders and files where it is at home
  "tensorflow_datasets": ("data",),
  "grain": ("data",),
  "array_record": ("data",),
  "sklearn": ("data",),
  "skimage": ("data",),
  "orbax": ("train/checkpoint.py",),
  "ml_collections": ("make.py", "config.py", "cli.py", "experiment.py", "run.py", "workdir.py", "studies"),
  "flax": ("nets", "systems", "metrics"),
  "optax": ("systems", "metrics"),
  "absl": (),
  "tensorflow": (),
  "torch": (),
}
NOT_OUR_WORDS = {  # section 3b of the design
  "rate": "learning_rate",
  "pull": "grads",
  "told": "metrics, logs or values",
  "found": "a noun",
  "turn": "step, update or round",
  "turns": "steps, updates or rounds",
  "judge": "critic, evaluate or measure",
  "judged": "measured",
  "lane": "slot",
  "lanes": "slots",
  "mend": "repair",
  "haste": "what is left out",
  "wide": "to_float32",
  "moving": "batch_stats or collections",
}
PULLING_AWAY = "pull_away"  # EBGAN's term of this name
NAMES = re.compile(r"genjax(\.\w+)+(:[\w*]+)?")


@functools.cache
def sources() -> Mapping[str, str]:
  """File -> its text; files as "genjax/train/loop.py"."""
  return {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted((ROOT / "genjax").rglob("*.py"))}


@functools.cache
def tree_of(path: str) -> ast.Module:
  return ast.parse(sources()[path])


def nodes() -> Iterator[tuple[str, ast.AST]]:
  """Every node of the syntax of every file."""
  return ((path, node) for path in sources() for node in ast.walk(tree_of(path)))


# Imports --------------------------------------------------------------------------------------------------------------


@functools.cache
def imports_of(path: str) -> tuple[str, ...]:
  """Dotted names that a file imports, everywhere in it; `from a import b` gives a.b, for b may be a module."""
  names = []
  for node in ast.walk(tree_of(path)):
    if isinstance(node, ast.Import):
      names += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, f"{path}:{node.lineno} imports by dots; say from genjax..."
      names += [f"{node.module}.{alias.name}" for alias in node.names]
  return tuple(names)


def strings_of(path: str) -> tuple[str, ...]:
  """Names of modules of genjax that stand in a file as text."""
  texts = [node.value for node in ast.walk(tree_of(path)) if isinstance(node, ast.Constant)]
  return tuple(text.partition(":")[0] for text in texts if isinstance(text, str) and NAMES.fullmatch(text))


def layer_of(name: str) -> str:
  """Of genjax.train.loop.train: train; of genjax.experiment: run."""
  first = [*name.split("."), "__init__"][1]
  layers = [layer for layer, files in TOP.items() if first in files]
  return layers[0] if layers else first if first in MAY_IMPORT else "run"


def module_of(path: str) -> str:
  return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def graph(*, strings: bool) -> dict[str, set[str]]:
  """File -> files that it imports; the packages that Python opens on the way there are not counted."""
  files = {module_of(path): path for path in sources()}
  edges = {}
  for path in sources():
    names = [*imports_of(path), *(strings_of(path) if strings else ())]
    modules = (name if name in files else name.rpartition(".")[0] for name in names)
    edges[path] = {files[module] for module in modules if module in files} - {path}
  return edges


def ring_in(edges: Mapping[str, set[str]]) -> list[str]:
  """Files that import each other in a ring, the first one again at the end; empty where there is none."""
  done: set[str] = set()

  def visit(path: str, trail: list[str]) -> list[str]:
    if path in trail:
      return [*trail[trail.index(path) :], path]
    rings = (visit(target, [*trail, path]) for target in sorted(edges[path]) if path not in done)
    ring = next(filter(None, rings), [])
    done.add(path)
    return ring

  return next(filter(None, (visit(path, []) for path in edges)), [])


def longest_chain(edges: Mapping[str, set[str]]) -> list[str]:
  """Files of the longest way along the imports of a graph without rings."""

  @functools.cache
  def longest_from(path: str) -> list[str]:
    return [path, *max(map(longest_from, sorted(edges[path])), key=len, default=[])]

  return max(map(longest_from, edges), key=len)


def test_every_file_imports_only_from_the_layers_it_may():
  wrong = [
    f"{path} imports {name}: {layer_of(module_of(path))} may import {', '.join(MAY_IMPORT[layer_of(module_of(path))])}"
    for path in sources()
    for name in imports_of(path)
    if name.startswith("genjax.")
    and layer_of(name) not in (layer_of(module_of(path)), *MAY_IMPORT[layer_of(module_of(path))])
  ]
  assert not wrong, "\n".join(wrong)


def test_every_library_stays_at_home():
  wrong = [
    f"{path} imports {name}: its home is {', '.join(HOMES[name.split('.')[0]]) or 'outside genjax'}"
    for path in sources()
    for name in imports_of(path)
    if not {path.removeprefix("genjax/"), path.split("/")[1]}
    & set(HOMES.get(name.split(".")[0], (path.split("/")[1],)))
  ]
  assert not wrong, "\n".join(wrong)


def test_no_files_import_each_other_in_a_ring_not_even_through_names_in_strings():
  assert not ring_in(graph(strings=False))
  assert not ring_in(graph(strings=True))


def test_a_reader_never_follows_more_than_seven_imports():
  chain = longest_chain(graph(strings=False))
  assert len(chain) - 1 <= LONGEST_CHAIN, f"{len(chain) - 1} imports in a row: " + " -> ".join(chain)


def test_a_command_line_is_read_without_jax():
  modules = ", ".join(f"genjax.{name}" for name in WITHOUT_JAX)
  code = f"import sys, {modules}; genjax.cli.parse(['train', '--config', 'gan_digits:hinge'])"
  heavy = "print(*{'jax', 'flax', 'optax', 'orbax', 'numpy', 'tensorflow_datasets'} & set(sys.modules))"
  done = subprocess.run([sys.executable, "-c", f"{code}; {heavy}"], capture_output=True, text=True, check=True)
  assert done.stdout == "\n"


# Form -----------------------------------------------------------------------------------------------------------------


def lines_of_functions() -> dict[str, int]:
  """Every function, inner ones too, with its lines from `def` to its last."""
  return {
    f"{path}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
    for path, node in nodes()
    if isinstance(node, ast.FunctionDef)
  }


def test_files_and_functions_are_short():
  files = {path: len(text.splitlines()) for path, text in sources().items()}
  functions = lines_of_functions()
  assert not {path: count for path, count in files.items() if count > MOST_LINES}
  assert not {name: count for name, count in functions.items() if count > MOST_LINES_OF_A_FUNCTION}
  assert statistics.median(functions.values()) <= MEDIAN_OF_FUNCTIONS


def test_configs_and_tests_are_short_files_too():
  paths = (path for folder in ("configs", "launch", "tests") for path in (ROOT / folder).rglob("*.py"))
  files = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in paths}
  assert files
  assert not {path: count for path, count in files.items() if count > MOST_LINES}


def test_names_of_files_of_tests_are_each_used_once():
  """Their folders are no packages, so a second file of one name would hide the first."""
  names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name not in ("conftest.py", "make.py")]
  assert not {name for name in names if names.count(name) > 1}


def test_every_file_has_a_docstring_and_is_named_for_what_it_knows():
  assert not [path for path in sources() if not ast.get_docstring(tree_of(path))]
  assert not [path for path in sources() if VAGUE & set(path.removesuffix(".py").split("/"))]


def words_of(node: ast.AST) -> set[str]:
  """Names that a node gives or uses, their parts, and text that is one word."""
  names = [getattr(node, field, None) for field in ("id", "arg", "attr", "name", "asname", "value")]
  names = [name.replace(PULLING_AWAY, "") for name in names if isinstance(name, str)]
  parts = [
    name.removesuffix("_rate").split("_") for name in names if name.isidentifier()
  ]  # a false_positive_rate is one
  return {*names, *(word for words in parts for word in words)}


def test_names_are_the_standard_words_of_the_field():
  wrong = {
    f"{path}:{node.lineno} {word}: say {NOT_OUR_WORDS[word]}"
    for path, node in nodes()
    for word in words_of(node) & set(NOT_OUR_WORDS)
  }
  assert not wrong, "\n".join(sorted(wrong))
