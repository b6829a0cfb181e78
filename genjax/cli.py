"""The `genjax` command: reads a command line into a Request, and runs it. Reading it imports no JAX.

Checked  tests/test_cli.py, tests/test_run.py, tests/test_run_mistakes.py
"""

import contextlib
import os
import re
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from ml_collections import ConfigDict

from genjax.config import kept_config, load_config, on_path, override, shipped_configs
from genjax.help import HELP, USAGE
from genjax.ranges import complaint
from genjax.registry import COMPARED, METRICS, UsageError, load, nearest


class Request(NamedTuple):
  """What a command line asks for."""

  command: str
  config: ConfigDict | None  # None: the command takes none, or has many
  workdir: str
  options: dict[str, Any]
  allow: frozenset[str] | None = None  # packages whose code the config's names may import; None: any, the user wrote it
  trust: frozenset[str] = frozenset()  # packages whose code the configs of other runs may import


def step_or_best(text: str) -> int | str:
  """What --step takes: a number, or "best"."""
  return text if text == "best" else int(text)


OPTIONS: dict[str, dict[str, Callable[[str], Any]]] = {  # what a command takes beside its config, with its type
  "train": {"quiet": bool, "continue": bool, "init-from": str},
  "sample": {
    "n": int,
    "seed": int,
    "out": str,
    "step": step_or_best,
    "truncation": float,
    "interpolate": int,
    "mix": bool,
    "to": str,
  },
  "evaluate": {"seed": int, "step": step_or_best, "metrics": str, "n": int, "weights": str},
  "compare": {"metrics": str, "extractor": str, "weights": str, "resize": str, "n": int, "seed": int, "json": bool},
  "encode": {"out": str, "split": str, "step": step_or_best},
  "bench": {"seconds": float, "json": bool, "metrics": bool, "n": int},
  "plan": {"topology": str, "dollars": float, "json": bool},
  "study": {"seeds": int, "quiet": bool},
  "objectives": {},
  "convert": {"from": str, "net": str, "out": str},
  "report": {"out": str, "interpolate": int, "allow": str},
}
RUN_BY = {  # the rest: run.COMMANDS
  "study": "genjax.studies.command:study",
  "compare": "genjax.comparison:command",
  "plan": "genjax.planning:command",
}
TAKES_CONFIG = ("train", "sample", "evaluate", "encode", "bench", "plan")


def main(argv: list[str] | None = None) -> int:
  """Runs one command; returns the exit code: 0, 1 failed, 2 wrong usage, 130 and 143 stopped by a signal."""
  argv = sys.argv[1:] if argv is None else argv
  try:
    if not argv or argv[0] in ("-h", "--help", "help"):
      show(USAGE + ", ".join(shipped_configs()))
      return 0 if argv else 2
    if argv[0] not in HELP:
      raise UsageError(f"no command {argv[0]!r}{nearest(argv[0], HELP)}; there are {', '.join(HELP)}")
    if {"-h", "--help"} & set(argv[1:]):
      show(help_of(argv[0]))
      return 0
    request = parse(argv)
    if request.command == "objectives":  # no JAX, but for one row
      show(_objectives(request.options.get("row")))
      return 0
    if request.command == "report":  # no JAX, but for interpolations
      draw = load("genjax.interpolation:interpolation") if "interpolate" in request.options else None
      show(load("genjax.page.command:report")(request, draw))
      return 0
    home = RUN_BY.get(request.command)
    function = load(home) if home else None
    return load("genjax.run:command")(request, function)
  except UsageError as error:
    return fail(error, 2)
  except OSError as error:
    if not hasattr(error, "exit_code"):  # one without is a bug, and no StorageError
      raise
    return fail(error, error.exit_code)
  except KeyboardInterrupt:
    return fail("stopped by Ctrl-C at once: what was not saved is lost, the newest checkpoint stays", 130)


def console() -> None:
  """The process of a command: after an error it ends at once, without waiting for what other threads still do."""
  code = main()
  for stream in (sys.stdout, sys.stderr):
    try:
      if stream is not None:
        stream.flush()
    except (OSError, ValueError):
      _mute(stream)
  others = [thread for thread in threading.enumerate() if thread is not threading.main_thread() and not thread.daemon]
  if code and others:
    os._exit(code)
  sys.exit(code)


def show(text: str) -> None:
  """Prints; a reader who has gone (`genjax --help | head`) is no error."""
  try:
    print(text, flush=True)
  except BrokenPipeError:
    _mute(sys.stdout)


def _mute(stream: TextIO) -> None:
  """Sends the rest of a stream nowhere. train/terminal.py has its own: a command line is read without rich."""
  os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def fail(error: Exception | str, code: int) -> int:
  """An error as one line on stderr, and its exit code."""
  with contextlib.suppress(OSError):
    print("genjax: " + " ".join(str(error).split()), file=sys.stderr, flush=True)
  return code


def help_of(command: str) -> str:
  """The page of a command."""
  if command != "study":
    return HELP[command]
  return HELP[command] + "\n".join(
    f"  {name:18}{study.shows}" for name, study in load("genjax.studies:STUDIES").items()
  )


def _objectives(row: str | None) -> str:
  rows = load("genjax.objectives.rows:ROWS")
  if row is None:
    return load("genjax.objectives.rows:table")()
  if row not in rows:
    raise UsageError(f"no objective {row!r}{nearest(row, rows)}; there are {', '.join(rows)}")
  return load("genjax.objectives.rows:describe")(row)


# Words ----------------------------------------------------------------------------------------------------------------


def parse(argv: list[str]) -> Request:
  """Reads a command line without starting anything. Raises UsageError."""
  command, *rest = argv
  if command == "study":
    return _study(rest)
  if command == "objectives":
    if len(rest) > 1 or (rest and rest[0].startswith("-")):
      raise UsageError(f"objectives takes the name of one row, or nothing, not {' '.join(rest)!r}")
    return Request(command, None, "", {"row": rest[0]} if rest else {})
  if command == "convert":
    return _convert(rest)
  if command == "compare":
    return _compare(rest)
  if command == "report":
    return _report(rest)
  known = {"config": str, "workdir": str, "allow": str, **OPTIONS[command]}
  given, overrides = _words(command, rest, known)
  if command == "bench" and typed("--metrics", bool, given.pop("metrics", "false")):
    return _bench_of_metrics(given, overrides)
  if command == "bench" and "n" in given:
    raise UsageError("bench takes --n beside --metrics; how many a config draws is config.train.samples")
  workdir = given.get("workdir") or _default_workdir(given.get("config"))
  config = load_config(given["config"]) if "config" in given else kept_config(workdir) if workdir else None
  if config is None:
    if "workdir" in given and "://" not in workdir and not os.path.isdir(workdir):
      raise UsageError(
        f"the workdir {workdir} does not exist; train first: genjax train --config ... --workdir {workdir}"
      )
    where = f"there is no config.json in {workdir}, so --config" if workdir else "--config"
    raise UsageError(f"{where} is missing; shipped configs: {', '.join(shipped_configs())}")
  override(config, overrides)
  trust = _allowed(given.get("allow"), overrides)
  on_path(os.getcwd())
  options = _options(command, given)
  if command == "evaluate" and "metrics" in options:
    options["metrics"] = _metrics(options["metrics"], METRICS)
  return Request(command, config, workdir, options, None if "config" in given else trust, trust)


def _options(command: str, given: Mapping[str, str]) -> dict[str, Any]:
  """The options of a command that were given, as their types. Raises UsageError."""
  return {name: typed(f"--{name}", kind, given[name]) for name, kind in OPTIONS[command].items() if name in given}


def _metrics(words: str, known: Collection[str]) -> tuple[str, ...]:
  """The names of --metrics. Raises UsageError for one that is none of the `known`."""
  names = tuple(dict.fromkeys(filter(None, words.replace(" ", "").split(","))))
  unknown = next((name for name in names if name not in known), None)
  if unknown is not None or not names:
    why = f"{unknown!r}{nearest(unknown, known)}" if unknown else "is empty"
    raise UsageError(f"--metrics {why}; there are {', '.join(known)}")
  return names


def _compare(rest: list[str]) -> Request:
  """`compare A B`, which needs no config."""
  places, words = _places("compare", rest)
  given, overrides = _words("compare", words, OPTIONS["compare"])
  if overrides:
    raise UsageError(f"compare takes no --config.{overrides[0][0]}: images on disk need no config")
  if len(places) != 2:
    raise UsageError(f"compare takes two places of images, A and the reference B, not {' '.join(places) or 'none'}")
  options = _options("compare", given)
  if "metrics" in options:
    options["metrics"] = _metrics(options["metrics"], COMPARED)
  on_path(os.getcwd())
  return Request("compare", None, "", {"a": places[0], "b": places[1], **options})


def _bench_of_metrics(given: dict[str, str], overrides: list[tuple[str, str]]) -> Request:
  """`bench --metrics`, which trains nothing."""
  other = [f"--{name}" for name in given if name != "n"] + [f"--config.{key}" for key, _ in overrides]
  if other:
    raise UsageError(f"bench --metrics takes no {other[0]}: it times comparisons of features, and takes --n")
  n = typed("--n", int, given.get("n", "10000"))
  if n < 2:
    raise UsageError(f"--n {n}; use 2 or more")
  return Request("bench", None, "", {"metrics": True, "n": n})


def _allowed(words: str | None, overrides: list[tuple[str, str]]) -> frozenset[str]:
  """Packages that --allow names, and those of names that this command line itself gives."""
  typed_here = {text.partition(":")[0].partition(".")[0] for key, text in overrides if ":" in text and "name" in key}
  return frozenset(filter(None, (words or "").split(","))) | typed_here


def _study(rest: list[str]) -> Request:
  studies = load("genjax.studies:STUDIES")
  if not rest or rest[0].startswith("--"):
    raise UsageError(f"which study? There are {', '.join(studies)}")
  study = rest.pop(0)
  if study not in studies:
    raise UsageError(f"no study {study!r}{nearest(study, studies)}; there are {', '.join(studies)}")
  given, overrides = _words("study", rest, {"workdir": str, "config": str, **OPTIONS["study"]})
  options = _options("study", given)
  more = {"config": given.get("config"), "overrides": overrides or None}
  options |= {name: value for name, value in more.items() if value is not None}
  return Request("study", None, given.get("workdir") or f"runs/study_{study}", {"name": study, **options})


def _convert(rest: list[str]) -> Request:
  given, overrides = _words("convert", rest, OPTIONS["convert"])
  if overrides:
    raise UsageError(f"convert takes no --config.{overrides[0][0]}: a checkpoint needs no config")
  if "from" not in given:
    raise UsageError("--from is missing; it takes a checkpoint such as best_model.pth")
  if "net" not in given:
    raise UsageError("--net is missing; it takes resnet12, conv4 or r2d2")
  out = given.get("out", f"{Path(given['from']).stem}.npz")
  if not out.endswith(".npz"):
    raise UsageError(f"--out {out!r}; use a name that ends in .npz")
  return Request("convert", None, "", {**given, "out": out})


def _report(rest: list[str]) -> Request:
  """Folders and options in any order."""
  folders, words = _places("report", rest)
  for name in (word.removeprefix("--").partition("=")[0] for word in words if word.startswith("--")):
    if name == "workdir" or name.startswith("config."):
      raise UsageError(f"report takes no --{name}, only folders: genjax report runs/a runs/b")
  if not folders:
    raise UsageError("which workdirs? genjax report runs/a runs/b")
  given, _ = _words("report", words, OPTIONS["report"])
  options = _options("report", given)
  if options.get("interpolate", 2) < 2:
    raise UsageError("--interpolate takes 2 or more")
  return Request("report", None, "", {"workdirs": folders, **options}, _allowed(given.get("allow"), []))


def _places(command: str, rest: list[str]) -> tuple[list[str], list[str]]:
  """Paths, and options with their values, which a command takes in any order."""
  places, words, known = [], [], OPTIONS[command]
  while rest:
    word = rest.pop(0)
    if not word.startswith("--"):
      places.append(word)
      continue
    words.append(word)
    if "=" not in word and known.get(word.removeprefix("--"), bool) is not bool and rest:
      words.append(rest.pop(0))
  return places, words


def _words(command: str, rest: list[str], known: Mapping[str, Any]) -> tuple[dict[str, str], list[tuple[str, str]]]:
  """The options that were given, and the overrides of config keys, both as text."""
  given: dict[str, str] = {}
  overrides: list[tuple[str, str]] = []
  while rest:
    word = rest.pop(0)
    name, is_pair, value = word.removeprefix("--").partition("=")
    if not word.startswith("--"):
      raise UsageError(f"{word!r} is not an option; options start with --")
    if not name.startswith("config.") and name not in known:
      keys = "" if command in ("compare", "convert") else "--config.KEY=VALUE, "
      raise UsageError(f"no option --{name}{nearest(name, known)}; {command} takes {keys}--" + ", --".join(known))
    if not is_pair and known.get(name) is not bool:
      if not rest:
        raise UsageError(f"--{name} needs a value")
      value = rest.pop(0)
    if name.startswith("config."):
      overrides.append((name.removeprefix("config."), value))
    else:
      given[name] = value if is_pair or known[name] is not bool else "true"
  return given, overrides


def typed(name: str, kind: Callable[[str], Any], text: str) -> Any:
  """The text of an option as its type, within the range of its name. Raises UsageError."""
  if kind is str:
    return text
  try:
    value = {"true": True, "1": True, "false": False, "0": False}[text.lower()] if kind is bool else kind(text)
  except (ValueError, KeyError) as error:
    raise UsageError(f"{name}={text!r} is no {kind.__name__.replace('_', ' ')}") from error
  if wanted := complaint(name, value):
    raise UsageError(f"{name} {text}; use {wanted}")
  return value


def _default_workdir(config: str | None) -> str:
  if config is None:
    return ""
  name, _, arg = config.partition(":")
  return f"runs/{Path(name).stem}" + (f"_{re.sub('[^A-Za-z0-9.-]+', '_', arg)}" if arg else "")


if __name__ == "__main__":
  console()
