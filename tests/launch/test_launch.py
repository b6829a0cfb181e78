"""The launch scripts say exactly what they do, do it with arguments unharmed, and refuse in one line what cannot work.

A `gcloud` on the PATH writes down its arguments and, for `ssh`, runs the command in a home folder of its own: so the
scripts sent to the hosts are run too.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCAL, TPU_VM = ROOT / "launch" / "local.sh", ROOT / "launch" / "tpu_vm.sh"
SLICE = ["--name", "digits", "--zone", "europe-west4-a"]

GCLOUD = """#!{python}
import json, os, subprocess, sys
here = os.environ["GCLOUD_DIR"]
with open(here + "/calls.jsonl", "a") as file:
  file.write(json.dumps(sys.argv[1:]) + "\\n")
if "ssh" in sys.argv:
  command = sys.argv[sys.argv.index("--command") + 1]
  sys.exit(subprocess.run(["bash", "-c", command], env={{**os.environ, "HOME": here + "/home"}}).returncode)
if "describe" in sys.argv:
  states = open(here + "/states").read().split()
  print(states[0])
  open(here + "/states", "w").write(" ".join(states[1:] or states))
"""


@pytest.fixture
def cloud(tmp_path):
  """An environment with that gcloud, and a genjax in the host's home that writes down its own arguments."""
  for folder in ("bin", "home/genjax", "home/genjax-run", "home/genjax-venv/bin"):
    (tmp_path / folder).mkdir(parents=True)
  _program(tmp_path / "bin" / "gcloud", GCLOUD.format(python=sys.executable))
  genjax = 'import json, sys; open("../seen.json", "w").write(json.dumps(sys.argv[1:]))'
  _program(tmp_path / "home/genjax-venv/bin/genjax", f"#!{sys.executable}\n{genjax}\n")
  (tmp_path / "states").write_text("READY")
  env = {key: value for key, value in os.environ.items() if not key.startswith("TPU_")}
  path = f"{tmp_path / 'bin'}:{env['PATH']}"
  return tmp_path, {**env, "PATH": path, "GCLOUD_DIR": str(tmp_path), "TPU_POLL_SECONDS": "0.2"}


def _program(path, text):
  path.write_text(text)
  path.chmod(0o755)


def _run(script, *args, env=None):
  return subprocess.run([script, *args], capture_output=True, text=True, env=env, timeout=60, cwd="/")


def _calls(folder):
  file = folder / "calls.jsonl"
  return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _wait_for(path):
  for _ in range(200):
    if path.exists() and path.read_text():
      return path.read_text()
    time.sleep(0.05)
  raise AssertionError(f"{path} was not written")


@pytest.mark.parametrize("script", [LOCAL, TPU_VM])
def test_a_launch_script_is_sound_bash_and_explains_itself(script):
  assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
  shown = _run(script, "--help")
  assert shown.returncode == 0
  assert f"launch/{script.name}" in shown.stdout
  assert "set -euo" not in shown.stdout


def test_a_dry_run_prints_every_command_of_all_and_runs_none(cloud):
  folder, env = cloud
  args = ["--config", "winn_digits", "--workdir", "gs://bucket/digits"]
  shown = _run(TPU_VM, *SLICE, "--project", "mine", "--type", "v4-32", "--spot", "--dry-run", "all", *args, env=env)
  assert shown.returncode == 0, shown.stderr
  assert _calls(folder) == []
  where = ["--zone", "europe-west4-a", "--project", "mine"]
  lines = [shlex.split(line) for line in shown.stdout.splitlines() if line.startswith("gcloud") and "$'" not in line]
  vm = ["gcloud", "compute", "tpus", "tpu-vm"]
  accelerator = ["--accelerator-type", "v4-32", "--version", "tpu-ubuntu2204-base", "--spot"]
  assert lines[0] == [*vm, "create", "digits", *accelerator, *where]
  assert lines[1][:5] == [*vm, "scp"]
  assert lines[1][6:] == ["digits:genjax.tar.gz", "--worker=all", *where]
  assert lines[-2] == ["gcloud", "storage", "rsync", "--recursive", "gs://bucket/digits", "runs/digits", *where[2:]]
  assert lines[-1] == [*vm, "delete", "digits", "--quiet", *where]


def test_a_printed_command_does_what_the_real_one_does(cloud):
  folder, env = cloud
  args = ["run", "--config", "winn_digits", "--workdir", "a dir", '--config.note=it\'s $HOME; "two" words']
  printed = _run(TPU_VM, *SLICE, "--dry-run", *args, env=env)
  assert _run(TPU_VM, *SLICE, *args, env=env).returncode == 0
  _wait_for(folder / "home/genjax-run/exit")
  subprocess.run(["bash", "-c", printed.stdout], env=env, check=True, timeout=60)
  real, repeated = _calls(folder)
  assert real == repeated


def test_run_starts_genjax_on_every_host_with_its_arguments_unharmed(cloud):
  folder, env = cloud
  args = ["--config", "winn_digits", "--workdir=gs://b/x", '--config.note=it\'s $HOME; "two"  words', "*", "", "a\nb"]
  started = _run(TPU_VM, *SLICE, "run", *args, env=env)
  assert started.returncode == 0, started.stderr
  assert _wait_for(folder / "home/genjax-run/exit").strip() == "0"
  assert json.loads((folder / "home/seen.json").read_text()) == ["train", *args]
  (call,) = _calls(folder)
  assert call[:6] == ["compute", "tpus", "tpu-vm", "ssh", "digits", "--worker=all"]


@pytest.mark.parametrize(("type", "several"), [("v3-8", None), ("v3-32", "1")])
def test_hosts_know_that_they_are_on_a_tpu_and_whether_there_are_several(cloud, type, several):
  """genjax joins hosts before the first array is made: without the word each would train alone."""
  folder, env = cloud
  env = {name: value for name, value in env.items() if name not in ("JAX_PLATFORMS", "GENJAX_SEVERAL_HOSTS")}
  writes = (
    "import json, os; print(json.dumps([os.environ.get('JAX_PLATFORMS'), os.environ.get('GENJAX_SEVERAL_HOSTS')]))"
  )
  _program(folder / "home/genjax-venv/bin/genjax", f"#!{sys.executable}\n{writes}\n")
  started = _run(TPU_VM, *SLICE, "--type", type, "run", "--workdir", "gs://b/x", env=env)
  assert started.returncode == 0, started.stderr
  _wait_for(folder / "home/genjax-run/exit")
  assert json.loads((folder / "home/genjax-run/train.log").read_text()) == ["tpu,cpu", several]


def test_a_second_run_on_the_same_slice_is_refused(cloud):
  folder, env = cloud
  sleeper = subprocess.Popen(["sleep", "60"])
  try:
    (folder / "home/genjax-run/pid").write_text(str(sleeper.pid))
    refused = _run(TPU_VM, *SLICE, "run", "--workdir", "x", env=env)
  finally:
    sleeper.kill()
    sleeper.wait()
  assert refused.returncode == 3
  assert "going on" in refused.stderr


@pytest.fixture
def checkout(cloud):
  """The script in a git checkout of its own, and hosts on which uv installs nothing; scp puts files in their home."""
  folder, _ = cloud
  _program(folder / "bin" / "uv", "#!/bin/sh\nexit 0\n")
  copy = 'import shutil\nif "scp" in sys.argv: shutil.copy(sys.argv[5], here + "/home/genjax.tar.gz")\n'
  _program(folder / "bin/gcloud", (folder / "bin/gcloud").read_text() + copy)
  script = folder / "checkout/launch/tpu_vm.sh"
  script.parent.mkdir(parents=True)
  _program(script, TPU_VM.read_text())
  (folder / "checkout/sent.txt").write_text("committed")
  git = ["git", "-C", folder / "checkout", "-c", "user.name=a", "-c", "user.email=a@b"]
  for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
    subprocess.run([*git, *command], check=True)
  return script


def test_setup_sends_the_last_commit_and_says_what_it_leaves_out(cloud, checkout):
  folder, env = cloud
  (folder / "checkout/sent.txt").write_text("changed since")
  done = _run(checkout, *SLICE, "setup", env=env)
  assert done.returncode == 0, done.stderr
  assert "genjax is installed on" in done.stdout
  assert "what is not committed is not sent" in done.stderr
  assert (folder / "home/genjax/sent.txt").read_text() == "committed"
  assert [call[3] for call in _calls(folder)] == ["scp", "ssh"]


def test_setup_outside_a_git_checkout_is_told_in_one_line(cloud, checkout):
  folder, env = cloud
  (folder / "checkout/.git").rename(folder / "git-no-more")
  refused = _run(checkout, *SLICE, "setup", env={**env, "GIT_CEILING_DIRECTORIES": str(folder)})
  assert refused.returncode == 2
  assert "is no git checkout" in refused.stderr
  assert len(refused.stderr.splitlines()) == 1


def test_watch_makes_a_preempted_slice_again_and_goes_on(cloud, checkout):
  folder, env = cloud
  (folder / "states").write_text("CREATING PREEMPTED READY")
  done = _run(checkout, *SLICE, "watch", "--config", "winn_digits", "--workdir", "gs://b/x", env=env)
  assert done.returncode == 0, done.stderr
  assert "was preempted (PREEMPTED)" in done.stderr
  verbs = [call[3] for call in _calls(folder)]
  assert verbs[:7] == ["describe", "describe", "delete", "create", "scp", "ssh", "ssh"]
  assert json.loads((folder / "home/seen.json").read_text())[-1] == "gs://b/x"


def test_watch_ends_with_the_exit_code_of_the_run(cloud):
  folder, env = cloud
  (folder / "home/genjax-run/exit").write_text("2\n")
  ended = _run(TPU_VM, *SLICE, "watch", "--workdir", "gs://b/x", env=env)
  assert ended.returncode == 2
  assert "exit code 2" in ended.stderr


@pytest.mark.parametrize(
  ("workdir", "source"),
  [("gs://b/x/", None), ("runs/x", "digits:genjax/runs/x/*"), ("/data/x", "digits:/data/x/*")],
)
def test_fetch_copies_the_workdir(cloud, tmp_path, workdir, source):
  folder, env = cloud
  target = str(tmp_path / "to here")
  done = _run(TPU_VM, *SLICE, "--to", target, "fetch", "--workdir", workdir, env=env)
  assert done.returncode == 0, done.stderr
  (call,) = _calls(folder)
  if source is None:
    assert call == ["storage", "rsync", "--recursive", "gs://b/x", target]
  else:
    assert call[3:8] == ["scp", "--recurse", "--worker=0", source, target]


@pytest.mark.parametrize(
  ("args", "message"),
  [
    (["--zone", "z", "create"], "no name; pass --name NAME or set TPU_NAME"),
    (["--name", "n", "create"], "no zone; pass --zone ZONE or set TPU_ZONE"),
    ([*SLICE], "no command; use create, setup, run, log, watch, fetch, delete or all (see --help)"),
    ([*SLICE, "start"], "there is no command 'start'; use create, setup, run, log, watch, fetch, delete or all"),
    ([*SLICE, "--nmae", "n", "create"], "there is no option '--nmae'; genjax's own arguments come after the command"),
    (["--name"], "--name needs a value"),
    ([*SLICE, "--type", "v9-8", "create"], "no runtime is known for the type 'v9-8'; pass --runtime VERSION"),
    ([*SLICE, "run", "--config", "winn_digits"], "no workdir; pass --workdir gs://BUCKET/DIR after the command"),
    ([*SLICE, "--type", "v3-32", "all", "--workdir", "x"], "a v3-32 has several hosts and they do not share x"),
  ],
)
def test_what_cannot_work_is_told_in_one_line_with_exit_code_2(cloud, args, message):
  folder, env = cloud
  refused = _run(TPU_VM, *args, env=env)
  assert refused.returncode == 2
  assert refused.stderr.startswith(f"launch/tpu_vm.sh: {message}")
  assert len(refused.stderr.splitlines()) == 1
  assert _calls(folder) == []


def test_a_failed_create_ends_all(cloud):
  folder, env = cloud
  _program(folder / "bin/gcloud", "#!/bin/sh\necho no capacity >&2\nexit 7\n")
  failed = _run(TPU_VM, *SLICE, "all", "--workdir", "gs://b/x", env=env)
  assert failed.returncode == 7
  assert "no capacity" in failed.stderr


@pytest.fixture
def venv(tmp_path):
  """A virtual environment whose genjax writes down its arguments, and its environment variables for local.sh."""
  (tmp_path / "venv/bin").mkdir(parents=True)
  program = "import json, sys; print(json.dumps(sys.argv[1:]))"
  _program(tmp_path / "venv/bin/genjax", f"#!{sys.executable}\n{program}\n")
  return tmp_path, {**os.environ, "GENJAX_VENV": str(tmp_path / "venv"), "GENJAX_ACCELERATOR": "cpu"}


@pytest.mark.parametrize(
  ("given", "wanted"),
  [
    (["--config", "a b", "--workdir", "x"], ["train", "--config", "a b", "--workdir", "x"]),
    (["sample", "--workdir", "$HOME"], ["sample", "--workdir", "$HOME"]),
  ],
)
def test_local_passes_its_arguments_unharmed(venv, given, wanted):
  done = _run(LOCAL, *given, env=venv[1])
  assert done.returncode == 0, done.stderr
  assert json.loads(done.stdout) == wanted


@pytest.mark.parametrize(("accelerator", "extra"), [("cpu", ""), ("cuda", "[cuda]"), ("tpu", "[tpu]")])
def test_local_installs_what_the_accelerator_needs_the_first_time(tmp_path, accelerator, extra):
  place = tmp_path / "new"
  env = {**os.environ, "GENJAX_VENV": str(place), "GENJAX_ACCELERATOR": accelerator, "GENJAX_PYTHON": sys.executable}
  done = _run(LOCAL, "--dry-run", "--config", "c", env=env)
  assert [shlex.split(line) for line in done.stdout.splitlines()] == [
    [sys.executable, "-m", "venv", str(place)],
    [f"{place}/bin/python", "-m", "pip", "install", "--quiet", "--editable", f"{ROOT}{extra}"],
    ["exec", f"{place}/bin/genjax", "train", "--config", "c"],
  ]
  assert not place.exists()


def test_local_refuses_in_one_line(venv):
  for args, env, message in [
    ([], venv[1], "nothing to do; try:"),
    (["--config", "c"], {**venv[1], "GENJAX_ACCELERATOR": "npu"}, "GENJAX_ACCELERATOR is 'npu'"),
  ]:
    refused = _run(LOCAL, *args, env=env)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"launch/local.sh: {message}")
    assert len(refused.stderr.splitlines()) == 1


def test_local_starts_the_real_command():
  env = {**os.environ, "GENJAX_VENV": sys.prefix, "GENJAX_ACCELERATOR": "cpu"}
  shown = _run(LOCAL, "train", "--help", env=env)
  assert shown.returncode == 0, shown.stderr
  assert "--workdir" in shown.stdout
