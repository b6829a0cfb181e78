"""What `import genjax` offers, to Python and to an editor."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import genjax


@pytest.mark.parametrize("name", genjax.__all__)
def test_every_public_name_loads(name):
  assert getattr(genjax, name) is not None


def test_an_unknown_name_is_an_attribute_error_that_lists_the_others():
  with pytest.raises(AttributeError, match=r"no 'wim'.*winn"):
    genjax.wim  # noqa: B018


def test_the_command_is_a_function_of_config_and_workdir():
  assert callable(importlib.import_module("genjax").run.train)


def test_importing_genjax_imports_no_jax_and_prints_nothing():
  code = "import genjax, sys; assert 'jax' not in sys.modules; genjax.winn; assert 'jax' in sys.modules"
  done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
  assert done.stdout + done.stderr == ""


def test_an_editor_sees_the_names_that_python_loads():
  file = Path(genjax.__file__)
  block = next(node for node in ast.parse(file.read_text()).body if isinstance(node, ast.If))
  seen = {alias.asname or alias.name: f"{line.module}:{alias.name}" for line in block.body for alias in line.names}
  loaded = {}
  for name, home in genjax.HOMES.items():
    module, _, there = home.partition(":")
    loaded[name] = ":".join(module.rsplit(".", 1)) if there == "*" else f"{module}:{there or name}"
  assert seen == loaded
  assert (file.parent / "py.typed").is_file()


@pytest.mark.parametrize("name", ["gan", "folder", "batches", "compare", "load"])
def test_help_gives_shapes(name):
  assert "Shapes" in inspect.getdoc(getattr(genjax, name))
