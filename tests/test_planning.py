"""`genjax plan`: which programs of a config are compiled, what the command prints, and what it refuses."""

import json
import platform

import jax
import pytest
import stand_in

from genjax import planning
from genjax.cli import main, parse
from genjax.core import prepared
from genjax.experiment import experiment
from genjax.train import plan, slices
from genjax.train.mesh import make_mesh

LINUX = pytest.mark.skipif(
  (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="libtpu is made for Linux on x86-64 only"
)
SMALL = ["--config", "gan_ring:hinge", "--topology", "v5e-1,v5e-4", "--config.data.batch=250"]
SMALL += ["--config.metrics.modes=none", "--config.train.sample_every=0"]


def names_of(config, monkeypatch):
  stand_in.replace(monkeypatch)
  it = experiment(parse(["plan", "--config", config]).config)
  raw = it.data.batch(0)
  return list(planning.programs(it, prepared(it.system, it.data.prepare), raw, make_mesh(), None))


@pytest.mark.parametrize(
  ("config", "names"),
  [
    ("winn_digits", ["step", "sample 64", "sample 500"]),
    ("vitgan_cifar10", ["step", "sample 64", "sample 5000"]),
    ("gan_ring:hinge", ["step", "sample 2500"]),
    ("metaoptnet_miniimagenet", ["step", "1 shot", "5 shot"]),
    ("gpt_text", ["step", "sample 8", "log_prob"]),
  ],
)
def test_the_programs_are_the_step_what_samples_and_what_the_metrics_call(config, names, monkeypatch):
  assert names_of(config, monkeypatch) == names


def test_the_system_is_made_for_the_devices_of_the_slice_and_not_for_those_that_are_here(monkeypatch):
  stand_in.replace(monkeypatch)
  config = parse(["plan", "--config", "winn_digits"]).config
  assert (experiment(config, devices=32).facts["queues"], experiment(config).facts["queues"]) == (
    32,
    jax.device_count(),
  )


@pytest.mark.parametrize(
  ("words", "said"),
  [
    (["--config", "winn_digits"], "--topology is missing; it takes slices such as v4-32"),
    (["--config", "winn_digits", "--topology", "v9-8"], "there is no TPU 'v9'"),
    (["--config", "winn_digits", "--topology", "v3-8", "--dollars", "0"], "--dollars 0; use a number above 0"),
    (["--config", "winn_digits", "--topology", ","], "--topology is empty"),
  ],
)
def test_what_cannot_be_planned_is_one_line_before_anything_is_compiled(words, said, capsys):
  assert main(["plan", *words]) == 2
  error = capsys.readouterr().err
  assert said in error
  assert error.count("\n") == 1


def test_without_libtpu_the_line_says_what_brings_it(monkeypatch, capsys):
  monkeypatch.delenv("TPU_LIBRARY_PATH", raising=False)
  monkeypatch.setattr(slices.importlib.util, "find_spec", lambda name: None)
  assert main(["plan", "--config", "winn_digits", "--topology", "v4-32"]) == 2
  assert "needs libtpu, which is not installed; pip install '.[tpu]'" in capsys.readouterr().err


@LINUX
@pytest.mark.slow
def test_a_plan_of_several_slices_is_a_table_or_json_and_is_compiled_once(cache_of_its_own, monkeypatch, capsys):
  assert main(["plan", *SMALL, "--json", "--dollars", "1.2"]) == 0
  report = json.loads(capsys.readouterr().out)
  assert (report["config"]["system"], report["config"]["batch"]) == ("gan", 250)
  one = report["topologies"]["v5e-1"]
  assert (one["chip"], one["chips"], one["grid"], list(one["programs"])) == ("v5e", 1, [1, 1], ["step"])
  step = one["programs"]["step"]
  assert step["fits"]
  assert step["memory"]["parameters"] == 4 * report["config"]["parameters"]
  assert step["collectives"] == {}  # there is one chip
  assert one["dollars"] == pytest.approx(1.2 * one["hours"])
  (other,) = [one for name, one in report["topologies"].items() if name != "v5e-1"]
  assert other["error"] == "batch 250 does not divide over 4 devices; use a multiple of 4"
  # All products that the program is written with, but for gradients by images, which the critic's update does not read.
  assert 0.85 * step["model_flops"] < step["flops"] <= step["model_flops"]

  monkeypatch.setattr(plan, "_compiled", lambda *_: pytest.fail("it was compiled before"))
  assert main(["plan", *SMALL]) == 0
  assert "v5e-1: 1 chips of v5e" in capsys.readouterr().out
  (kept,) = (cache_of_its_own / "plans").iterdir()
  kept.write_bytes(b"damaged")
  with pytest.raises(pytest.fail.Exception, match="compiled before"):
    main(["plan", *SMALL])
