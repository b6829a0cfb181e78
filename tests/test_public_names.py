"""What `import genjax` offers without the command line."""

import importlib
import subprocess
import sys

import pytest

import genjax


@pytest.mark.parametrize("name", genjax.__all__)
def test_every_public_name_loads(name):
  assert getattr(genjax, name) is not None


def test_an_unknown_name_is_an_attribute_error_that_lists_the_others():
  with pytest.raises(AttributeError, match=r"no 'wim'.*winn"):
    genjax.wim  # noqa: B018


def test_the_loop_is_a_function_of_config_and_workdir():
  assert callable(importlib.import_module("genjax.main").train)


def test_importing_genjax_imports_no_jax():
  code = "import genjax, sys; assert 'jax' not in sys.modules"
  subprocess.run([sys.executable, "-c", code], check=True)
