"""The command line: right words reach the config, wrong ones are answered at once, on one line, with the nearest."""

import json
import subprocess
import sys

import pytest
from ml_collections import ConfigDict

from genjax.command import HELP, UsageError, arguments, load_config, parse, shipped_configs
from genjax.main import main

DIGITS = ["train", "--config", "winn_digits"]


def config_of(*words):
  return parse([*DIGITS, *words]).config


@pytest.mark.parametrize(
  ("word", "key", "value"),
  [
    ("--config.data.batch=500", "data.batch", 500),
    ("--config.data.flip=true", "data.flip", True),
    ("--config.system.rate=1e-3", "system.rate", 1e-3),
    ("--config.system.rate=1", "system.rate", 1.0),
    ("--config.data.path=a b=c", "data.path", "a b=c"),
    ("--config.data.channels=3", "data.channels", 3),
    ("--config.data.channels=none", "data.channels", None),
    ("--config.system.decay_steps=none", "system.decay_steps", None),
    ("--config.net.blocks=((8,),(16,))", "net.blocks", ((8,), (16,))),
  ],
)
def test_an_override_keeps_the_type_of_its_key(word, key, value):
  config = config_of(word)
  for name in key.split("."):
    config = config[name]
  assert config == value
  assert type(config) is type(value)


def test_a_value_may_stand_after_its_key():
  request = parse(["sample", "--config", "winn_digits", "--workdir", "w", "--n", "5", "--config.seed", "3"])
  assert (request.workdir, request.options, request.config.seed) == ("w", {"n": 5}, 3)


def test_the_workdir_is_named_after_the_config_by_default():
  assert parse(DIGITS).workdir == "runs/winn_digits"


@pytest.mark.parametrize(
  ("words", "parts"),
  [
    (["--config.data.bacth=4"], ["config.data.bacth", "did you mean batch", "size"]),
    (["--config.dat.batch=4"], ["config.dat.batch", "did you mean data"]),
    (["--config.data.batch=x"], ["config.data.batch", "'x'", "int"]),
    (["--config.data.batch=1.5"], ["config.data.batch", "'1.5'", "int"]),
    (["--config.data.flip=maybe"], ["config.data.flip", "'maybe'", "bool"]),
    (["--config.net.blocks=3"], ["config.net.blocks", "tuple"]),
    (["--config.data=4"], ["config.data is a section", "batch"]),
    (["--config.seed.deeper=4"], ["config.seed.deeper"]),
    (["--wrkdir=x"], ["--wrkdir", "did you mean workdir"]),
    (["--workdir"], ["--workdir needs a value"]),
    (["stray"], ["'stray'", "--"]),
    (["--config=winn_digit"], ["winn_digit", "did you mean winn_digits"]),
    (["--config=nowhere/file.py"], ["nowhere/file.py", "winn_digits"]),
    (["--config=winn_digits:arg"], ["arg"]),
    (["--config=pyproject.toml.py"], ["pyproject.toml.py"]),
  ],
)
def test_a_wrong_word_is_one_line_that_names_it_and_the_nearest(words, parts, capsys):
  assert main([*DIGITS, *words]) == 2
  line = capsys.readouterr().err
  assert line.startswith("genjax: ")
  assert line.count("\n") == 1
  assert all(part in line for part in parts), line


def test_a_wrong_command_names_the_nearest(capsys):
  assert main(["trian"]) == 2
  assert "did you mean train" in capsys.readouterr().err


def test_a_config_is_needed(capsys):
  assert main(["train"]) == 2
  assert "winn_digits" in capsys.readouterr().err


def test_a_file_without_get_config_is_named(tmp_path):
  path = tmp_path / "empty.py"
  path.write_text("x = 1\n")
  with pytest.raises(UsageError, match="no function get_config"):
    load_config(str(path))


def test_a_config_without_a_section_is_told_which(tmp_path):
  path = tmp_path / "short.py"
  path.write_text(
    "from ml_collections import ConfigDict\ndef get_config():\n  return ConfigDict({'seed': 0, 'data': {}})\n"
  )
  with pytest.raises(UsageError, match=r"short\.py leaves out config\.system"):
    load_config(str(path))


def test_sample_and_evaluate_find_the_config_in_the_workdir(tmp_path):
  kept = {"seed": 7, "data": {"name": "digits", "channels": None}}
  (tmp_path / "config.json").write_text(json.dumps(kept))
  request = parse(["sample", "--workdir", str(tmp_path), "--config.data.channels=3"])
  assert request.config.seed == 7
  assert request.config.data.channels == 3


def test_a_section_with_a_key_that_the_function_does_not_take_is_named():
  def paint(colour, width=1):
    return colour, width

  with pytest.raises(UsageError, match=r"config\.net\.witdh; did you mean width"):
    arguments(ConfigDict({"name": "paint", "witdh": 3}), paint, "net")
  assert arguments(ConfigDict({"name": "paint", "width": 3}), paint, "net") == {"width": 3}


@pytest.mark.parametrize("command", HELP)
def test_help_shows_examples_and_exits_0(command, capsys):
  assert main([command, "--help"]) == 0
  out = capsys.readouterr().out
  without = ("sample", "evaluate", "study", "objectives", "convert")
  assert f"genjax {command} --config winn_digits" in out or command in without
  assert f"  genjax {command}" in out


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["train", "--config", "winn_digits", "--x"]])
def test_help_and_usage_errors_do_not_import_jax(words):
  code = f"import sys; from genjax.main import main; main({words!r}); assert 'jax' not in sys.modules, 'imports jax'"
  subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_each_argument_of_a_config_has_a_workdir_of_its_own():
  for name, workdir in (
    ("winn_digits", "runs/winn_digits"),
    ("winn_digits:cascade", "runs/winn_digits_cascade"),
    ("winn_texture:brick,small", "runs/winn_texture_brick_small"),
  ):
    assert parse(["train", "--config", name]).workdir == workdir


@pytest.mark.parametrize("name", shipped_configs())
def test_every_shipped_config_loads_and_tells_its_command(name):
  config = load_config(name)
  assert config.system.name
  from genjax.command import _config_folder

  assert f"--config {name}" in (_config_folder() / f"{name}.py").read_text()


def test_objectives_lists_every_row_without_jax(capsys):
  assert main(["objectives"]) == 0
  out = capsys.readouterr().out
  assert all(name in out for name in ("wgan_gp", "f_gan_kl", "hinge", "arXiv:1704.00028"))
  assert main(["objectives", "more"]) == 2
  code = (
    "import sys; from genjax.main import main; main(['objectives']); assert 'jax' not in sys.modules, 'imports jax'"
  )
  subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
