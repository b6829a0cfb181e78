"""Every short name stands for something that can be called, and no two kinds disagree on what a name is."""

import inspect

import pytest

from genjax import registry
from genjax.make import parameters

ROWS = sorted({(kind, name) for kind in registry.KINDS for name in registry.table(kind)})


def test_every_name_resolves_to_something_that_takes_keywords():
  for kind, name in ROWS:
    function = registry.resolve(kind, name)
    known = parameters(function)
    assert callable(function), (kind, name)
    takes_all = [it for it in inspect.signature(function).parameters.values() if it.kind is it.VAR_KEYWORD]
    assert not takes_all, (kind, name)
    unannotated = [key for key, it in known.items() if it.annotation is it.empty]
    assert not unannotated, (kind, name, unannotated)


def test_every_name_has_a_docstring():
  bare = [(kind, name) for kind, name in ROWS if not (inspect.getdoc(registry.resolve(kind, name)) or "").strip()]
  assert not bare


def test_a_wrong_name_is_answered_with_the_nearest():
  with pytest.raises(registry.UnknownName, match="did you mean convnet"):
    registry.resolve("net", "covnet")
  with pytest.raises(registry.UnknownName, match="did you mean wgan_gp"):
    registry.resolve("objective", "wgan_gpp")


@pytest.mark.parametrize(
  ("content", "said"),
  [
    ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
    ("x = 1\nx.y\n", "AttributeError: "),
    ("\ndef (\n", "SyntaxError: "),
  ],
)
def test_a_module_that_cannot_be_imported_is_answered_with_its_file_and_line(tmp_path, monkeypatch, content, said):
  name = f"broken_{said[:4].lower()}"
  (tmp_path / f"{name}.py").write_text(content)
  monkeypatch.syspath_prepend(tmp_path)
  with pytest.raises(registry.UnknownName, match=rf"cannot be imported: .*{name}\.py, line 2: {said}"):
    registry.resolve("net", f"{name}:Net")
