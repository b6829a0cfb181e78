"""The command line: right words reach the config, wrong ones are answered at once, on one line, with the nearest."""

import json
import subprocess
import sys

import pytest
from ml_collections import ConfigDict

from genjax import cli
from genjax.cli import main, parse
from genjax.config import LAYOUT, config_folder, override, shipped_configs
from genjax.help import HELP

DIGITS = ["train", "--config", "winn_digits"]


def config_of(*words):
  return parse([*DIGITS, *words]).config


@pytest.mark.parametrize(
  ("word", "key", "value"),
  [
    ("--config.data.batch=500", "data.batch", 500),
    ("--config.data.flip=true", "data.flip", True),
    ("--config.optimizer.learning_rate=1e-3", "optimizer.learning_rate", 1e-3),
    ("--config.optimizer.learning_rate=1", "optimizer.learning_rate", 1.0),
    ("--config.data.path=a b=c", "data.path", "a b=c"),
    ("--config.data.channels=none", "data.channels", None),
    ("--config.net.blocks=((8,),(16,))", "net.blocks", ((8,), (16,))),
    ("--config.objective.weight=0.1", "objective.weight", 0.1),
    ("--config.objective=wgan_gp", "objective.name", "wgan_gp"),
    ("--config.metrics.modes.samples=5", "metrics.modes.samples", 5),
    ("--config.metrics.copies=none", "metrics.copies", None),
  ],
)
def test_any_key_can_be_set_whether_or_not_the_config_mentions_it(word, key, value):
  config = config_of(word)
  for name in key.split("."):
    config = config[name]
  assert config == value
  assert type(config) is type(value)


def test_a_new_name_takes_its_own_defaults():
  config = config_of("--config.objective.name=inn")
  assert config.objective.to_dict() == {"name": "inn"}
  config = config_of("--config.sampler.epsilon=0.01", "--config.sampler.name=langevin", "--config.noise.name=gaussian")
  assert config.sampler.to_dict() == {"name": "langevin", "epsilon": 0.01}
  assert config.noise.to_dict() == {"name": "gaussian"}


def test_another_data_set_keeps_the_batch_and_not_the_size():
  config = ConfigDict({"data": {"name": "digits", "batch": 4, "size": 8, "split": "train"}})
  override(config, [("data.name", "folder"), ("data.path", "pictures")])
  assert config.data.to_dict() == {"name": "folder", "batch": 4, "split": "train", "path": "pictures"}


def test_a_value_may_stand_after_its_key():
  request = parse(["sample", "--config", "winn_digits", "--workdir", "w", "--n", "5", "--config.seed", "3"])
  assert (request.workdir, request.options, request.config.seed) == ("w", {"n": 5}, 3)


@pytest.mark.parametrize(
  ("words", "parts"),
  [
    (["--config.data=4"], ["config.data is a section", "batch"]),
    (["--config.seed.deeper=4"], ["config.seed is no section"]),
    (["--wrkdir=x"], ["--wrkdir", "did you mean workdir"]),
    (["--workdir"], ["--workdir needs a value"]),
    (["stray"], ["'stray'", "--"]),
    (["--config=winn_digit"], ["winn_digit", "did you mean winn_digits"]),
    (["--config=nowhere/file.py"], ["nowhere/file.py", "winn_digits"]),
    (["--config=winn_digits:arg"], ["arg"]),
    (["--config=pyproject.toml.py"], ["pyproject.toml.py"]),
    (["--quiet=maybe"], ["--quiet", "'maybe'", "bool"]),
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


def test_a_config_is_needed_where_no_workdir_has_one(capsys, tmp_path):
  assert main(["train"]) == 2
  assert "winn_digits" in capsys.readouterr().err
  assert main(["train", "--workdir", str(tmp_path)]) == 2
  assert "no config.json" in capsys.readouterr().err


GIVES = "from ml_collections import ConfigDict\ndef get_config():\n  return "
FILES = {  # what a config's file holds -> where the line says the mistake is, and which
  b"x = 1\n": (None, "no function get_config"),
  b"get_config = 3\n": (None, "no function get_config"),
  b"x = 1\ndef get_config(:\n": (2, "SyntaxError: "),
  b"x = 1\nx = \0\n": (2, "a NUL byte"),
  b"x = 1\ny = '\xff'\n": (2, "SyntaxError: "),
  b"x = 1\nimport nowhere_at_all\n": (2, "ModuleNotFoundError: No module named 'nowhere_at_all'"),
  b"\n\nraise RuntimeError('not\\ntoday')\n": (3, "RuntimeError: not today"),
  b"import sys\nsys.exit(0)\n": (2, "SystemExit: 0"),
  b"import sys\ndef get_config():\n  sys.exit(0)\n": (3, "SystemExit: 0"),
  b"def get_config():\n  return 1 / 0\n": (2, "ZeroDivisionError: division by zero"),
  b"def get_config():\n  return {}['x']\n": (2, "KeyError: 'x'"),
  b"def get_config(arg):\n  return 1\n": (None, "TypeError: get_config() missing 1 required"),
  b"\ndef get_config():\n  pass\n": (2, "get_config gives NoneType; wanted a ConfigDict"),
  f"{GIVES}{{'seed': 0, 'data': {{'name': 'ring'}}}}\n".encode(): (2, "leaves out config.system"),
  f"{GIVES}{{'seed': 0, 'data': 5, 'system': {{'name': 'gan'}}, 'train': {{}}}}\n".encode(): (2, "config.data is 5"),
  f"{GIVES}{{'seed': 0, 'data': {{}}, 'system': {{'name': 'gan'}}, 'train': {{}}}}\n".encode(): (2, "data has no name"),
}


def test_a_mistake_in_a_configs_file_is_one_line_with_the_file_and_the_line(tmp_path, capsys):
  path = tmp_path / "mine.py"
  for content, (number, part) in FILES.items():
    path.write_bytes(content)
    assert main(["train", "--config", str(path), "--workdir", str(tmp_path / "w")]) == 2, content
    line = capsys.readouterr().err
    assert line.count("\n") == 1, line
    assert line.startswith(f"genjax: {path}" + (f", line {number}: " if number else "")), line
    assert part in line, line
  assert not (tmp_path / "w").exists()


def kept(tmp_path, **more):
  content = {"seed": 7, "data": {"name": "digits"}, "system": {"name": "winn"}, "train": {}, "layout": LAYOUT, **more}
  (tmp_path / "config.json").write_text(json.dumps(content))
  return str(tmp_path)


@pytest.mark.parametrize("command", ["train", "sample", "evaluate", "encode", "bench"])
def test_the_config_of_a_workdir_serves_every_command(command, tmp_path):
  request = parse([command, "--workdir", kept(tmp_path), "--config.data.channels=3"])
  assert request.config.seed == 7
  assert request.config.data.channels == 3
  assert "layout" not in request.config


def test_a_workdir_of_another_layout_is_refused_in_one_line(tmp_path, capsys):
  assert main(["train", "--workdir", kept(tmp_path, layout=1)]) == 2
  line = capsys.readouterr().err
  assert "older genjax" in line
  assert line.count("\n") == 1


@pytest.mark.parametrize(
  ("content", "part"),
  [
    (b"", "is empty; the checkpoints beside it do not depend on it: delete it, and say --config"),
    (b"[1]", "holds no config: '[1]'"),
    (b'{"seed": 1, \xff', "holds no config"),
    (b"{}", "is no config of genjax: it has no seed, data, system, train; choose another --workdir"),
    (b'{"name": "another program", "data": 1}', "it has no seed, system, train"),
  ],
)
def test_an_unusable_config_of_a_workdir_is_one_line(tmp_path, capsys, content, part):
  (tmp_path / "config.json").write_bytes(content)
  assert main(["sample", "--workdir", str(tmp_path)]) == 2
  line = capsys.readouterr().err
  assert part in line
  assert line.count("\n") == 1


def test_a_workdir_that_does_not_exist_is_said_to_be_missing(tmp_path, capsys):
  assert main(["sample", "--workdir", str(tmp_path / "missing")]) == 2
  assert "missing does not exist; train first" in capsys.readouterr().err


def test_ctrl_c_is_one_line_and_130(monkeypatch, capsys):
  def stopped(request, function):
    raise KeyboardInterrupt

  monkeypatch.setattr(cli, "load", lambda name: stopped)
  assert main(DIGITS) == 130
  assert capsys.readouterr().err == (
    "genjax: stopped by Ctrl-C at once: what was not saved is lost, the newest checkpoint stays\n"
  )


def test_after_an_error_the_process_ends_though_a_thread_still_waits():
  code = "import threading, time; from genjax import cli; cli.main = lambda: 7"
  code += "; threading.Thread(target=time.sleep, args=(1000,)).start(); cli.console()"
  assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 7


def test_code_of_a_workdirs_config_needs_leave_and_code_of_the_command_does_not(tmp_path):
  workdir = kept(tmp_path)
  assert parse(["train", "--workdir", workdir]).allow == frozenset()
  assert parse(["train", "--workdir", workdir, "--allow", "mine,yours"]).allow == {"mine", "yours"}
  assert parse(["train", "--workdir", workdir, "--config.net.name=mine.nets:Net"]).allow == {"mine"}
  assert parse(DIGITS).allow is None
  assert parse([*DIGITS, "--allow", "mine"]).trust == {"mine"}  # for the runs that it starts from


@pytest.mark.parametrize("command", HELP)
def test_help_shows_examples_and_exits_0(command, capsys):
  assert main([command, "--help"]) == 0
  assert f"  genjax {command}" in capsys.readouterr().out
  assert set(HELP) == set(cli.OPTIONS)


@pytest.mark.parametrize("words", [["--help"], ["train", "--config", "winn_digits", "--x"], ["objectives"]])
def test_help_usage_errors_and_the_list_of_objectives_do_not_import_jax(words):
  code = f"import sys; from genjax.cli import main; main({words!r}); assert 'jax' not in sys.modules, 'imports jax'"
  subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_each_argument_of_a_config_has_a_workdir_of_its_own():
  for name, workdir in (
    ("winn_digits", "runs/winn_digits"),
    ("winn_digits:cascade", "runs/winn_digits_cascade"),
    ("winn_texture:brick,small", "runs/winn_texture_brick_small"),
  ):
    assert parse(["train", "--config", name]).workdir == workdir


def test_every_shipped_config_names_its_command_and_has_a_line_in_the_list():
  listed = (config_folder() / "README.md").read_text()
  for name in shipped_configs():
    assert f"--config {name}" in (config_folder() / f"{name}.py").read_text(), name
    assert f"`{name}" in listed, name


def test_one_objective_tells_its_arguments_and_defaults(capsys):
  assert main(["objectives", "wgan_gp"]) == 0
  out = capsys.readouterr().out
  assert "weight" in out
  assert "10.0" in out
  assert main(["objectives", "wgan_gpp"]) == 2
  assert "did you mean wgan_gp" in capsys.readouterr().err
  assert main(["objectives", "wgan_gp", "more"]) == 2
