"""Reads config files, and sets the keys that a command line changes. Imports no JAX.

A config is a Python file with `get_config(arg="") -> ConfigDict`. The shipped ones are in configs/ and in the
installed package. Whatever is wrong raises UsageError, whose text is one line that says how to put it right.

Checked  tests/test_cli.py
"""

import ast
import json
import re
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from genjax.registry import UsageError, nearest, origin

SECTIONS = ("seed", "data", "system", "train")  # that every config has
OTHERS = ("metrics", "sample", "mesh")  # that it may have
WORDS = ("dtype",)  # keys at the top that are no sections; everything else there is an argument of the system
NAMED = ("data", "system")  # sections that name a function; the others have one of their own
LAYOUT = 2  # of workdirs; those that an older genjax wrote have no number
KEPT = {"data": ("batch", "split")}  # keys of a section that stay when its name changes; a size would be another set's

_NAME = re.compile(r"(?!none$)[A-Za-z_][\w.]*(:\w+)?", re.IGNORECASE)


def config_folder() -> Path:
  """Where the shipped configs are."""
  inside = Path(__file__).parent / "configs"  # of an installed package
  return inside if inside.is_dir() else Path(__file__).parent.parent / "configs"


def shipped_configs() -> list[str]:
  """Names that --config takes without a path."""
  return sorted(path.stem for path in config_folder().glob("*.py"))


def load_config(name: str) -> ConfigDict:
  """The config of a shipped name or of a path.py, with `:arg` where it takes one.

  The file is run, so point only at configs you trust. The folder of a path.py goes on Python's path, so that its names
  may be "module:function" of files beside it.

  Raises:
    UsageError: no such config, an argument that it does not take, or a section that it leaves out.
  """
  where, _, arg = name.partition(":")
  path = Path(where)
  if where.endswith(".py"):
    on_path(path.parent)
  else:
    path = config_folder() / f"{where}.py"
  if not path.is_file():
    known = shipped_configs()
    raise UsageError(f"no config {where!r}{nearest(path.stem, known)}; shipped: {', '.join(known)}, or give a .py file")
  if b"\0" in (content := path.read_bytes()):
    raise UsageError(f"{path}, line {content[: content.index(0)].count(10) + 1}: a NUL byte; is this a Python file?")
  try:
    get_config = runpy.run_path(str(path)).get("get_config")
  except (Exception, SystemExit) as error:  # the file may raise anything; ending is for the command alone
    raise UsageError(_said_by(path, error)) from error
  if not callable(get_config):
    raise UsageError(f"{path} has no function get_config")
  try:
    config = get_config(arg) if arg else get_config()
  except (ValueError, KeyError, TypeError) as error:
    if not arg:
      raise error if isinstance(error, UsageError) else UsageError(_said_by(path, error)) from error
    raise UsageError(f"{path.name} does not take {arg!r}: {error}") from error
  except (Exception, SystemExit) as error:
    raise UsageError(_said_by(path, error)) from error
  line = f", line {code.co_firstlineno}" if (code := getattr(get_config, "__code__", None)) else ""
  return _complete(config, f"{path}{line}")


def _said_by(path: Path, error: BaseException) -> str:
  """What the code of a config's file raised, as one line that names a file and a line in it."""
  said = origin(error)
  return said if said.startswith(str(path)) else f"{path}: {said}"


def _complete(config: Any, at: str) -> ConfigDict:
  """What get_config at `at` gave, if every config's sections are there. Raises UsageError."""
  wanted = "configs/winn_digits.py has all that a config needs"
  if not isinstance(config, ConfigDict | dict):
    raise UsageError(f"{at}: get_config gives {type(config).__name__}; wanted a ConfigDict; {wanted}")
  missing = [name for name in SECTIONS if name not in config]
  if missing:
    raise UsageError(f"{at}: get_config leaves out config.{missing[0]}; {wanted}")
  for name in (*SECTIONS[1:], *OTHERS):
    section = config.get(name)
    if name in config and section is not None and not isinstance(section, ConfigDict | dict):
      raise UsageError(f"{at}: config.{name} is {section!r}; wanted a section such as {{'name': ...}}; {wanted}")
    if name in NAMED and isinstance(section, ConfigDict | dict) and "name" not in section:
      raise UsageError(f"{at}: config.{name} has no name; {wanted}")
  return ConfigDict(config).unlock()


def on_path(folder: Path | str) -> None:
  """Appends a folder to Python's path: its modules can be imported, and hide none that are installed."""
  text = str(Path(folder).resolve())
  if text not in sys.path:
    sys.path.append(text)


def kept_config(workdir: str) -> ConfigDict | None:
  """The config of a workdir's config.json; None where there is none.

  Raises:
    UsageError: the file cannot be read, or it is of an older genjax.
  """
  path = Path(workdir) / "config.json"
  if not path.is_file():
    return None
  try:
    content = path.read_bytes()
  except OSError as error:
    raise UsageError(f"{path} cannot be read ({error.strerror or error})") from error
  return ConfigDict(parsed_config(content, str(path))).unlock()


def parsed_config(content: bytes, path: str) -> dict[str, Any]:
  """The config in a config.json.

  Raises:
    UsageError: the file is damaged, of another program, or of an older genjax.
  """
  try:
    kept = json.loads(content)
  except ValueError:
    kept = None
  if not isinstance(kept, dict):
    what = "is empty" if not content.strip() else f"holds no config: {content[:30].decode(errors='replace')!r}"
    raise UsageError(
      f"{path} {what}; the checkpoints beside it do not depend on it: delete it, and say --config and the "
      "--config.KEY=VALUE of that run"
    )
  missing = [name for name in SECTIONS if name not in kept]
  if missing:
    raise UsageError(f"{path} is no config of genjax: it has no {', '.join(missing)}; choose another --workdir")
  if kept.pop("layout", 1) != LAYOUT:
    raise UsageError(f"{path} was written by an older genjax, which this one cannot read; choose another --workdir")
  return kept


def override(config: ConfigDict, overrides: Sequence[tuple[str, str]]) -> None:
  """Sets keys ("objective.weight", "0.1") of a config, those that its file does not mention too.

  A section whose name changes loses the keys that its file gave it, for they belonged to the former name; it keeps
  those of KEPT, and those that the same command line sets. Whether a function takes a key is checked later, by make.py.

  Raises:
    UsageError: a key of a value that is no section, or a section that would become a value.
  """
  for key, text in sorted(overrides, key=lambda one: "." in one[0] and not one[0].endswith(".name")):
    *folders, last = key.split(".")
    section = config
    for depth, folder in enumerate(folders):
      section = _inner(section, folder, ".".join(folders[: depth + 1]), last)
    if isinstance(section.get(last), ConfigDict) and "name" in section[last] and _NAME.fullmatch(text):
      section, last = section[last], "name"  # --config.objective=hinge
      folders = key.split(".")
    former = section.get(last)
    value = read(text, former, f"config.{key}")
    if last == "name" and former not in (None, value):
      for other in [other for other in section if other not in KEPT.get(".".join(folders), ())]:
        del section[other]
    _set(section, last, value)


def _inner(section: ConfigDict, name: str, at: str, key: str) -> ConfigDict:
  """The section of a name, made where there is none; a word becomes the section of that name."""
  inside = section.get(name)
  if inside is None or isinstance(inside, str):
    _set(section, name, ConfigDict({"name": inside} if inside else {}))
  elif not isinstance(inside, ConfigDict):
    raise UsageError(f"config.{at} is no section, so it has no key {key}")
  return section[name]


def _set(section: ConfigDict, key: str, value: Any) -> None:
  with section.unlocked(), section.ignore_type():
    section[key] = value


def read(text: str, former: Any, at: str) -> Any:
  """A value from the command line, beside the value that the key had: text stays text, the rest is read as Python.

  Raises:
    UsageError: a section would become something else than None.
  """
  if isinstance(former, ConfigDict):
    if text.lower() == "none":
      return None
    raise UsageError(f"{at} is a section; set one of its keys: {', '.join(former.keys())}, or none")
  if isinstance(former, str):
    return text
  words = {"none": None, "true": True, "false": False}
  if text.lower() in words:
    return words[text.lower()]
  try:
    value = ast.literal_eval(text)
  except (ValueError, SyntaxError):
    value = text
  if isinstance(former, bool) and value in (0, 1):
    return bool(value)
  return float(value) if isinstance(former, float) and type(value) is int else value
