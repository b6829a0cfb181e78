"""A config of each kind, with its own nets or narrower ones, is trained for two steps by the command, then used."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from genjax.cli import main
from genjax.config import LAYOUT, load_config
from genjax.interpolation import interpolation
from genjax.workdir import as_json

OFTEN = {"train.steps": 2, "train.steps_per_call": 1, "train.log_every": 1, "train.checkpoint_every": 2}
SELDOM = {"train.sample_every": 0, "train.evaluate_every": 0, "train.samples": 8}
NO_PICTURES = {f"metrics.{name}": "none" for name in ("frechet", "copies", "anchors")}
STAGES = {"system.cascades": 2, **OFTEN}
EPISODES = {f"metrics.{name}.{key}": 8 for name in ("test", "validation") for key in ("batch", "episodes")}
RUNS = {  # config -> keys that make it small
  "winn_cifar10:cascades,tiny": {
    **{"data.name": "mock", "net.name": "convnet", "net.blocks": ((8,), (8,)), "noise.width": 8},
    **{"system.cascade_steps": 1, "system.ascent_steps": 2, **STAGES},
  },
  "gan_ring:wgan_gp": {"data.batch": 40, "metrics.modes.samples": 100, **OFTEN, **SELDOM},
  "metaoptnet_miniimagenet:conv4,tiny": {"data.name": "mock_episodes", "data.batch": 2, "net.width": 8, **EPISODES},
  "vitgan_digits:tiny,nobcr": {},
  "vae_digits": {"data.batch": 16, "encoder.widths": (8,), "decoder.widths": (8,), **NO_PICTURES, **OFTEN, **SELDOM},
  "ddpm_digits": {
    **{"data.batch": 8, "net.widths": (8, 8), "net.groups": 4, "system.steps": 5},
    **{**NO_PICTURES, **OFTEN, **SELDOM},
  },
  "glow_digits:variational": {"net.levels": 1, "net.depth": 2, "net.width": 4, **NO_PICTURES, **OFTEN, **SELDOM},
  "cyclegan_digits": {"generator.width": 4, "generator.blocks": 1, "critic.widths": (4,), **OFTEN},
  "pixelcnn_digits": {"net.width": 4, "net.layers": 2, "net.hidden": 4, **NO_PICTURES, **OFTEN, **SELDOM},
  "maskgit_digits": {"net.width": 8, "net.depth": 1, "net.heads": 2, **NO_PICTURES, **OFTEN, **SELDOM},
  "gpt_text": {"net.width": 8, "net.depth": 1, "net.heads": 2, "data.batch": 8, "data.length": 8, **OFTEN, **SELDOM},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """config -> the workdir of its run."""
  workdirs = {}

  def workdir_of(name):
    if name not in workdirs:
      path = tmp_path_factory.mktemp("run")
      words = [f"--config.{key}={value}" for key, value in RUNS[name].items()]
      assert main(["train", "--config", name, "--workdir", str(path), "--quiet", *words]) == 0
      workdirs[name] = path
    return workdirs[name]

  return workdir_of


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_config_is_trained_and_its_final_numbers_have_cards(name, trained):
  summary = json.loads((trained(name) / "summary.json").read_text())
  assert summary["steps"] in (1, 2)
  assert summary["last"]
  assert all(np.isfinite(value) for value in summary["last"].values())
  for number in summary.get("metrics", {}).values():
    assert np.isfinite(number["value"])
    assert number["card"]["split"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RUNS if not name.startswith("metaoptnet")])
def test_what_was_trained_is_sampled(name, trained, tmp_path):
  out = tmp_path / ("samples.txt" if name == "gpt_text" else "samples.png")
  assert main(["sample", "--workdir", str(trained(name)), "--n", "8", "--out", str(out)]) == 0
  assert out.stat().st_size > 40


@pytest.mark.slow
@pytest.mark.parametrize(
  ("words", "count"),
  [
    (["--n", "5", "--truncation", "0.5"], 5),
    (["--n", "2", "--interpolate", "4"], 8),
    (["--n", "2", "--interpolate", "3", "--truncation", "0.7"], 6),
    (["--n", "2", "--mix"], 9),
  ],
)
def test_vitgan_is_sampled_by_its_latents(words, count, trained, tmp_path):
  out = str(tmp_path / "images.npz")
  assert main(["sample", "--workdir", str(trained("vitgan_digits:tiny,nobcr")), *words, "--out", out]) == 0
  images = np.load(out)["images"]
  assert images.shape == (count, 8, 8, 1)
  assert images.std() > 0


@pytest.mark.slow
@pytest.mark.parametrize(
  ("words", "says"),
  [
    (["--interpolate", "1"], "--interpolate 2 or more"),
    (["--truncation", "-1"], "--truncation -1; use 0 or more"),
    (["--mix", "--interpolate", "4"], "--mix is another picture"),
  ],
)
def test_pictures_that_there_are_not_are_refused(words, says, trained, capsys):
  assert main(["sample", "--workdir", str(trained("vitgan_digits:tiny,nobcr")), *words]) == 2
  assert says in capsys.readouterr().err


@pytest.mark.slow
def test_a_report_draws_the_interpolations_that_sample_draws_and_says_why_there_are_none(trained, tmp_path):
  run, copied = str(trained("gan_ring:wgan_gp")), tmp_path / "copy"
  assert main(["report", run, "--interpolate", "3", "--out", str(tmp_path / "page.html")]) == 0
  words = ["sample", "--workdir", run, "--interpolate", "3", "--n", "8", "--out", str(tmp_path / "rows.png")]
  assert main(words) == 0
  assert base64.b64encode((tmp_path / "rows.png").read_bytes()).decode() in (tmp_path / "page.html").read_text()
  copied.mkdir()
  config = json.loads(Path(run, "config.json").read_text())
  for kept, said in (
    (config, f"no interpolations: no checkpoints in {copied}"),
    ({**config, "generator": {"name": "mine:Net"}}, "say --allow mine"),
    ({**as_json(load_config("ddpm_digits")), "layout": LAYOUT}, "no interpolations: the system ddpm has no latents"),
    ({}, "is no config of genjax"),
  ):
    (copied / "config.json").write_text(json.dumps(kept))
    assert said in interpolation(str(copied), 8, 3, frozenset())
