"""The command line and the config it names, read without starting JAX: a wrong word is answered at once.

A config is a Python file with `get_config(arg="") -> ConfigDict`; configs/ has them, and the installed package carries
them too. Whatever is wrong raises UsageError, whose text is one line that says how to put it right.

Checked  tests/test_command.py
"""

import ast
import difflib
import inspect
import json
import re
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

USAGE = """genjax COMMAND --config NAME|FILE.py[:ARG] [--config.KEY=VALUE ...] [--workdir DIR] [...]

  train      trains, or goes on where the same command stopped before
  sample     images from the newest checkpoint of a workdir
  evaluate   measures the newest checkpoint of a workdir
  bench      speed, memory and operations of a config on this machine
  study      an experiment of several runs: a table and a picture
  objectives the adversarial objectives, with papers, equations and what each needs
  convert    weights of the authors' MetaOptNet as .npz

`genjax COMMAND --help` shows examples. Configs here: """

HELP = {
  "train": """genjax train: trains a config in a workdir; the same command again goes on where it stopped.

  genjax train --config winn_digits --workdir runs/digits
  genjax train --config winn_digits --workdir runs/seed1 --config.seed=1 --config.train.steps=400
  genjax train --config winn_digits --workdir runs/own --config.data.name=folder --config.data.path=pictures
  genjax train --config configs/winn_digits.py --workdir gs://bucket/run       # on every host of a TPU slice

  --config      name of a shipped config, or a path; :ARG after it goes to get_config
  --config.K=V  overrides one key, for example --config.data.batch=500
  --workdir     default runs/<config>; gets config.json, metrics.jsonl, samples/, checkpoints/, tensorboard/,
                figure.png, summary.json
  --quiet       nothing on the terminal
""",
  "sample": """genjax sample: draws images from the newest checkpoint of a workdir.

  genjax sample --workdir runs/digits
  genjax sample --workdir runs/digits --n 256 --seed 3 --out digits.png
  genjax sample --workdir runs/digits --n 10000 --out digits.npz     # uint8 [n, H, W, C]
  genjax sample --workdir runs/brick --config.sample.size=512        # winn_texture: a picture of any size
  genjax sample --workdir runs/vitgan_digits --truncation 0.7 --interpolate 10

  --config      default: the workdir's own config.json
  --n           how many (default 64; 1 where the config has a section `sample`)
  --seed        of the draw (default 0)
  --out         .png: one grid, or the one picture; .npz: array "images"; default <workdir>/samples.png
  --truncation  of a generator with latents: how far from the mean of w, 1 as trained; without w: factor of its latents
  --interpolate rows of so many images from one latent to another, --n rows (default 8): linear in w, else on an arc
  --mix         styles of the images at the left of the rows, and of those above the columns for the finer half
  --step        checkpoint to use (default: the newest); best: the one that config.train.best keeps
""",
  "evaluate": """genjax evaluate: measures the newest checkpoint of a workdir; prints JSON, every number with its card.

  genjax evaluate --workdir runs/digits
  genjax evaluate --workdir runs/digits --config.metrics.samples=1000 --step 400

  --config      default: the workdir's own config.json
  --seed        of the samples (default 0)
  --step        checkpoint to use (default: the newest); best: the one that config.train.best keeps
""",
  "bench": """genjax bench: compile time, speed, memory and model FLOPs of a config on this machine. Nothing is saved.

  genjax bench --config winn_digits
  genjax bench --config winn_digits --seconds 30 --json > bench.json

  --seconds     of measuring for each part (default 10)
  --json        JSON instead of a table
""",
  "study": """genjax study NAME: trains what an experiment needs, measures it, leaves a table and a picture.

  genjax study digits
  genjax study digits --seeds 1 --workdir runs/study_digits
  genjax study few_shot_heads --config metaoptnet_cifarfs --config.data.path=CIFAR-FS

  --workdir     default runs/study_<name>; the same command again does only what is missing
  --seeds       runs of each row, with seeds 0, 1, ...
  --quiet       only the table on the terminal
  --config      of few_shot_* and memory: the config that its runs share, and --config.KEY=VALUE to change it

""",
  "objectives": """genjax objectives: every row of the zoo, with its paper, its equation and the settings that it needs.

  genjax objectives
  genjax train --config gan_digits:hinge      # any row with a generator
""",
  "convert": """genjax convert: weights of the authors' MetaOptNet for genjax; PyTorch is not needed, no pickle is run.

  genjax convert --from best_model.pth --net resnet12
  genjax convert --from experiments/last_epoch.pth --net conv4 --out conv4.npz

  --from        best_model.pth, last_epoch.pth, epoch_10.pth ...
  --net         resnet12, conv4 or r2d2
  --out         default: the name of the checkpoint, with .npz, here; genjax.convert.load_variables reads it
""",
}


def step_or_best(text: str) -> int | str:
  """What --step takes: a number, or "best"."""
  return text if text == "best" else int(text)


OPTIONS = {  # what a command takes beside --config and --workdir, with the type of each
  "train": {"quiet": bool},
  "sample": {
    "n": int,
    "seed": int,
    "out": str,
    "step": step_or_best,
    "truncation": float,
    "interpolate": int,
    "mix": bool,
  },
  "evaluate": {"seed": int, "step": step_or_best},
  "bench": {"seconds": float, "json": bool},
  "study": {"seeds": int, "quiet": bool, "config": str},
  "objectives": {},
  "convert": {"from": str, "net": str, "out": str},
}


def help_of(command: str) -> str:
  """The page of a command."""
  if command != "study":
    return HELP[command]
  from genjax.studies import STUDIES

  return HELP[command] + "\n".join(f"  {name:18}{shows}" for name, (_, _, shows) in STUDIES.items())


class UsageError(ValueError):
  """The command line or the config is wrong; the text is one line that says how to put it right."""


class Request(NamedTuple):
  command: str
  config: ConfigDict | None  # None: a study has many
  workdir: str
  options: dict[str, Any]


def parse(argv: list[str]) -> Request:
  """Reads a command line without starting anything. Raises UsageError."""
  command, *rest = argv
  if command == "study":
    return _study(rest)
  if command == "objectives":
    if rest:
      raise UsageError(f"objectives takes nothing more, not {rest[0]!r}")
    return Request(command, None, "", {})
  if command == "convert":
    return _convert(rest)
  known = {"config": str, "workdir": str, **OPTIONS[command]}
  given, overrides = _words(command, rest, known)
  config = _config_of(command, given.get("config"), given.get("workdir"))
  for key, text in overrides:
    override(config, key, text)
  options = {name: _typed(f"--{name}", known[name], given[name]) for name in OPTIONS[command] if name in given}
  return Request(command, config, given.get("workdir") or _default_workdir(given["config"]), options)


def _study(rest: list[str]) -> Request:
  from genjax.studies import STUDIES

  if not rest or rest[0].startswith("--"):
    raise UsageError(f"which study? There are {', '.join(STUDIES)}")
  study = rest.pop(0)
  if study not in STUDIES:
    raise UsageError(f"no study {study!r}{nearest(study, STUDIES)}; there are {', '.join(STUDIES)}")
  known = {"workdir": str, **OPTIONS["study"]}
  given, overrides = _words("study", rest, known)
  options = {name: _typed(f"--{name}", known[name], given[name]) for name in OPTIONS["study"] if name in given}
  if overrides:
    options["overrides"] = dict(overrides)
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


def _words(command: str, rest: list[str], known: Mapping[str, type]) -> tuple[dict[str, str], list[tuple[str, str]]]:
  """The options that were given, and the overrides of config keys, both as text."""
  given: dict[str, str | None] = {}
  overrides: list[tuple[str, str]] = []
  while rest:
    word = rest.pop(0)
    name, is_pair, value = word.removeprefix("--").partition("=")
    if not word.startswith("--"):
      raise UsageError(f"{word!r} is not an option; options start with --")
    if not name.startswith("config.") and name not in known:
      raise UsageError(
        f"no option --{name}{nearest(name, known)}; {command} takes --config.KEY=VALUE, --" + ", --".join(known)
      )
    if not is_pair and known.get(name) is not bool:
      if not rest:
        raise UsageError(f"--{name} needs a value")
      value = rest.pop(0)
    if name.startswith("config."):
      overrides.append((name.removeprefix("config."), value))
    else:
      given[name] = value if is_pair or known[name] is not bool else "true"
  return given, overrides


def _config_of(command: str, name: str | None, workdir: str | None) -> ConfigDict:
  if name is not None:
    return load_config(name)
  kept = Path(workdir or "") / "config.json"
  if command in ("sample", "evaluate") and workdir and kept.is_file():
    return ConfigDict(json.loads(kept.read_text())).lock()
  raise UsageError(f"--config is missing; shipped configs: {', '.join(shipped_configs())}")


def _default_workdir(config: str) -> str:
  name, _, arg = config.partition(":")
  return f"runs/{Path(name).stem}" + (f"_{re.sub('[^A-Za-z0-9.-]+', '_', arg)}" if arg else "")


def nearest(word: str, known: Any) -> str:
  near = difflib.get_close_matches(word, list(known), 1, 0.5)
  return f"; did you mean {near[0]}?" if near else ""


def _config_folder() -> Path:
  inside = Path(__file__).parent / "configs"  # of an installed package
  return inside if inside.is_dir() else Path(__file__).parent.parent / "configs"


def shipped_configs() -> list[str]:
  """Names that --config takes without a path."""
  return sorted(path.stem for path in _config_folder().glob("*.py"))


def load_config(name: str) -> ConfigDict:
  """`name` or `path.py`, with `:arg` where the config takes one. The file is run: point only at configs you trust."""
  where, _, arg = name.partition(":")
  path = Path(where)
  if not where.endswith(".py"):
    path = _config_folder() / f"{where}.py"
  if not path.is_file():
    known = shipped_configs()
    raise UsageError(f"no config {where!r}{nearest(path.stem, known)}; shipped: {', '.join(known)}, or give a .py file")
  get_config = runpy.run_path(str(path)).get("get_config")
  if get_config is None:
    raise UsageError(f"{path} has no function get_config")
  try:
    config = get_config(arg) if arg else get_config()
  except (ValueError, KeyError, TypeError) as error:
    raise UsageError(f"{path.name} does not take {arg!r}: {error}") from error
  missing = [name for name in ("seed", "data", "system", "train", "metrics") if name not in config]
  if missing:
    raise UsageError(f"{path.name} leaves out config.{missing[0]}; configs/winn_digits.py has all that a config needs")
  return config.lock()


def override(config: ConfigDict, key: str, text: str) -> None:
  """Sets `a.b=text` in a config, keeping the type that the key has. Raises UsageError with the nearest key."""
  *folders, last = key.split(".")
  for depth, name in enumerate([*folders, last]):
    if not isinstance(config, ConfigDict) or name not in config:
      allowed = list(config.keys()) if isinstance(config, ConfigDict) else []
      within = ".".join(["config", *folders[:depth]])
      raise UsageError(f"no key config.{key}{nearest(name, allowed)}; {within} has {', '.join(allowed) or 'no keys'}")
    if depth < len(folders):
      config = config[name]
  if isinstance(config[last], ConfigDict):
    raise UsageError(f"config.{key} is a section; set one of its keys: {', '.join(config[last].keys())}")
  config[last] = _typed(f"config.{key}", config.get_type(last), text)


def _typed(name: str, kind: Callable[[str], Any], text: str) -> Any:
  if text.lower() == "none" and kind is not str:
    return None
  if kind is str:
    return text
  if kind is type(None):  # from config.json, which keeps no types
    return _literal(text)
  try:
    if kind is bool:
      return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
    if kind in (int, float, step_or_best):
      return kind(text)
    value = ast.literal_eval(text)
    return kind(value) if kind in (tuple, list) else value
  except (ValueError, KeyError, SyntaxError, TypeError) as error:
    raise UsageError(f"{name}={text!r} is no {kind.__name__.replace('_', ' ')}") from error


def _literal(text: str) -> Any:
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError):
    return text


def arguments(
  section: ConfigDict,
  function: Callable,
  name: str,
) -> dict[str, Any]:
  """A section as keyword arguments of `function`; a key that it does not take is named, with the nearest."""
  given = {key: value for key, value in plain(section).items() if key != "name"}
  allowed = [key for key, value in inspect.signature(function).parameters.items() if value.kind != value.VAR_POSITIONAL]
  for key in given:
    if key not in allowed:
      raise UsageError(
        f"no key config.{name}.{key}{nearest(key, allowed)}; {section.get('name', name)} takes {', '.join(allowed)}"
      )
  return given


def plain(value: Any) -> Any:
  if isinstance(value, ConfigDict):
    return {key: plain(value[key]) for key in sorted(value.keys())}
  return tuple(plain(item) for item in value) if isinstance(value, list | tuple) else value


def pick(table: Mapping[str, Any], section: ConfigDict, name: str) -> Any:
  if section.name not in table:
    raise UsageError(
      f"no config.{name}.name={section.name!r}{nearest(section.name, table)}; there are {', '.join(table)}"
    )
  return table[section.name]
