"""From a config section to the object that it names: a section is the call of a function by its name.

    {"name": "gan", "critic_steps": 5, "critic": {"name": "convnet", "blocks": ...}, ...}

is gan(critic_steps=5, critic=ConvNet(blocks=...), ...). Nested sections are made first. Arguments that a section leaves
out are filled by `facts` of the same name, where the function takes them. A wrong key is answered by the signature.

Checked  tests/test_make.py
"""

import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, NamedTuple

from ml_collections import ConfigDict

from genjax import registry
from genjax.ranges import complaint
from genjax.registry import UsageError, nearest, origin

OF_THE_DATA = ("shape", "target_shape", "classes", "ways", "vocabulary", "length")  # a section cannot say otherwise
_OF_FLAX = ("parent", "name")  # fields of every flax module


class Maker(NamedTuple):
  """What `make` knows besides the section.

  facts: argument name -> value, for arguments that sections leave out.
  allow: top-level packages whose code a name may import; None: any.
  special: key of a section -> the function that makes a section with this key: (section, kind, at) -> object.
  """

  facts: Mapping[str, Any] = {}
  allow: Collection[str] | None = None
  special: Mapping[str, Callable[[Mapping[str, Any], str, str], Any]] = {}


_PLAIN = Maker()


def make(
  kind: str,
  section: Mapping[str, Any],
  maker: Maker = _PLAIN,
  *,
  at: str = "",
  beside: Mapping[str, Any] | None = None,
) -> Any:
  """The object that a section names.

  Args:
    kind: which table its name is looked up in, see registry.KINDS.
    section: "name" and keyword arguments. A value that is a section itself is made first; its kind is its key. Where a
      section is wanted, a word stands for the section of that name.
    maker: facts, allowed packages, special sections.
    at: where the section stands, for errors: "config.objective".
    beside: further arguments, from the top of the config: config.net stands beside config.system.

  Raises:
    UsageError: one line that names the key, and the nearest right one.
  """
  at = at or f"config.{kind}"
  for key, build in maker.special.items():
    if key in section and not _takes(key, kind, section, maker, at):
      return build(section, kind, at)
  function = function_of(kind, section, maker.allow, at=at)
  call = arguments(function, section, maker, at=at, beside=beside)
  try:
    return function(**call)
  except UsageError:
    raise
  except (ValueError, TypeError, OSError) as error:
    raise UsageError(f"{at}: {error}") from error
  except (Exception, SystemExit) as error:
    if is_ours(function):
      raise
    raise UsageError(f"{at}: {origin(error)}") from error


def _takes(key: str, kind: str, section: Mapping[str, Any], maker: Maker, at: str) -> bool:
  """Whether the function that a section names has an argument of this name, so that nothing else is meant."""
  return "name" in section and key in parameters(function_of(kind, section, maker.allow, at=at))


def function_of(kind: str, section: Mapping[str, Any], allow: Collection[str] | None = None, *, at: str) -> Callable:
  """The function that a section names. Raises UsageError."""
  name = section.get("name")
  if not isinstance(name, str):
    raise UsageError(f"{at}.name is missing; there are {', '.join(registry.table(kind))}, or module:function")
  try:
    return registry.resolve(kind, name, allow)
  except (registry.UnknownName, registry.ForbiddenName) as error:
    raise UsageError(f"{at}.name={error}" if isinstance(error, registry.UnknownName) else str(error)) from error


def parameters(function: Callable) -> dict[str, inspect.Parameter]:
  """The parameters that a function or class takes by keyword. Raises UsageError for what cannot be called."""
  try:
    known = inspect.signature(function).parameters
  except (TypeError, ValueError) as error:
    raise UsageError(f"{function!r} is nothing that a config can call") from error
  hidden = _OF_FLAX if hasattr(function, "apply") and hasattr(function, "init") else ()
  variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
  return {name: it for name, it in known.items() if it.kind not in variadic and name not in hidden}


def is_ours(function: Callable) -> bool:
  """Whether a function is of genjax: its arguments mean what ranges.py says of their names."""
  return str(getattr(function, "__module__", "")).partition(".")[0] == "genjax"


def arguments(
  function: Callable,
  section: Mapping[str, Any],
  maker: Maker = _PLAIN,
  *,
  at: str,
  beside: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
  """A section, what stands beside it, and the facts as keyword arguments of a function. Raises UsageError."""
  known, hints = parameters(function), _hints(function)
  name, given = section.get("name", at), {}
  places = [(key, value, f"{at}.{key}") for key, value in section.items() if key != "name"]
  places += [(key, value, f"config.{key}") for key, value in (beside or {}).items()]
  for key, value, place in places:
    if key not in known:
      raise UsageError(f"no key {place}{nearest(key, known)}; {name} takes {', '.join(known) or 'nothing'}")
    if key in given:
      raise UsageError(f"{place} is given twice, also as config.{key}; keep one of them")
    if registry.kind_of(key) and isinstance(value, str):
      value = {"name": value}
    if registry.kind_of(key) and value is None and not _admits_none(known[key], hints.get(key)):
      raise UsageError(f"{place} is missing; {name} needs one of {', '.join(registry.table(key))}, or module:function")
    if isinstance(value, ConfigDict | dict):
      given[key] = make(key, value, maker, at=place)
    else:
      given[key] = checked(value, hints.get(key, Any), at=place)
      if is_ours(function):
        check_range(key, given[key], at=place)
  return given | _filled(known, given, maker.facts, name, at)


def _filled(known: Mapping[str, Any], given: Mapping, facts: Mapping, name: str, at: str) -> dict[str, Any]:
  """The arguments that the facts fill. Raises UsageError for one that is required and that nothing gives."""
  filled: dict[str, Any] = {}
  for key, it in known.items():
    required = it.default is inspect.Parameter.empty
    if key in given:
      if key in OF_THE_DATA and facts.get(key, given[key]) not in (given[key], None):
        raise UsageError(f"{at}.{key}={given[key]}, but the data have {facts[key]}; leave it out")
    elif key in facts and not (required and facts[key] is None):
      filled[key] = facts[key]
    elif required:
      why = "and the data have none" if key in OF_THE_DATA else f"which is not set; set {at}.{key}"
      raise UsageError(f"{at}: {name} needs {key}, {why}")
  return filled


# Types ----------------------------------------------------------------------------------------------------------------


def _hints(function: Callable) -> dict[str, Any]:
  try:
    return typing.get_type_hints(function if isinstance(function, type) else inspect.unwrap(function))
  except (NameError, TypeError, AttributeError):  # annotations that only a type checker can read
    return {}


def _admits_none(parameter: inspect.Parameter, hint: Any) -> bool:
  return parameter.default is None or type(None) in typing.get_args(hint) or hint in (None, Any, type(None))


def checked(value: Any, hint: Any, *, at: str) -> Any:
  """The value, if its annotation admits it; a whole number passes as a float.

  Only annotations of numbers, words, tuples and None are checked; all others admit everything.

  Raises:
    UsageError: the value is of another type.
  """
  fits, result = _fit(plain(value), hint)
  if not fits:
    raise UsageError(f"{at}={plain(value)!r} is no {spelled(hint)}")
  return result


def check_range(name: str, value: Any, *, at: str) -> None:
  """Raises UsageError for a number that no argument of this name may be given."""
  if wanted := complaint(name, value):
    raise UsageError(f"{at}={plain(value)!r}; use {wanted}")


def check_plain(function: Callable, section: Mapping[str, Any], *, at: str) -> None:
  """Raises UsageError for a key of a section that its function does not take, or a value of a wrong type or range."""
  known, hints = parameters(function), _hints(function)
  for key, value in section.items():
    if key not in known:
      raise UsageError(f"no key {at}.{key}{nearest(key, known)}")
    check_range(key, checked(value, hints.get(key, Any), at=f"{at}.{key}"), at=f"{at}.{key}")


def _fit(value: Any, hint: Any) -> tuple[bool, Any]:
  origin, inner = typing.get_origin(hint), typing.get_args(hint)
  if origin in (typing.Union, types.UnionType):
    for one in sorted(inner, key=lambda one: one is float):  # 1 stays 1 where int | float is wanted
      fits, result = _fit(value, one)
      if fits:
        return True, result
    return False, value
  if origin is Literal:
    return any(value == word and type(value) is type(word) for word in inner), value
  if hint is None or hint is type(None):
    return value is None, value
  if hint is float:
    return isinstance(value, int | float) and not isinstance(value, bool), value
  if hint is str and type(value) is int:  # the command line reads 2024 as a number
    return True, str(value)
  if hint in (int, bool, str):
    return type(value) is hint, value
  if origin in (tuple, list) or hint in (tuple, list):
    return _fit_all(value, inner)
  return True, value


def _fit_all(value: Any, inner: tuple) -> tuple[bool, Any]:
  if not isinstance(value, tuple | list):
    return False, value
  if not inner:
    return True, tuple(value)
  hints = [inner[0]] * len(value) if len(inner) == 1 or inner[-1] is Ellipsis else list(inner)
  if len(hints) != len(value):
    return False, value
  parts = [_fit(one, hint) for one, hint in zip(value, hints, strict=True)]
  return all(fits for fits, _ in parts), tuple(result for _, result in parts)


def spelled(hint: Any) -> str:
  """An annotation as a reader would say it."""
  origin, inner = typing.get_origin(hint), typing.get_args(hint)
  if origin is Literal:
    return f"one of {', '.join(map(repr, inner))}"
  if origin in (typing.Union, types.UnionType):
    return " or ".join(spelled(one) for one in inner)
  if origin is tuple and inner[-1:] == (Ellipsis,):
    return f"tuple of {spelled(inner[0])}"
  if hint is type(None):
    return "None"
  return hint.__name__ if isinstance(hint, type) and not inner else str(hint).replace("typing.", "")


def plain(value: Any) -> Any:
  """A config's value without ConfigDict: sections as dicts with sorted keys, lists as tuples."""
  if isinstance(value, ConfigDict | dict):
    return {key: plain(value[key]) for key in sorted(value.keys())}
  return tuple(plain(item) for item in value) if isinstance(value, list | tuple) else value
