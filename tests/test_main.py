"""The commands on a small run: workdirs, refusals, sampling, measuring, one line for every mistake."""

import json

import numpy as np
import pytest
from PIL import Image

from genjax import main as main_module
from genjax.command import load_config, override
from genjax.main import main, train

SMALL = {
  "train.steps": 4,
  "train.steps_per_call": 2,
  "train.log_every": 2,
  "train.checkpoint_every": 2,
  "train.sample_every": 4,
  "train.evaluate_every": 2,
  "train.samples": 8,
  "data.batch": 16,
  "net.blocks": ((4,), (8,)),
  "noise.width": 8,
  "system.minibatch": 8,
  "system.synthesis": 8,
  "system.synthesis_batch": 8,
  "system.initial": 16,
  "system.capacity": 32,
  "system.ascent_steps": 3,
  "metrics.samples": 80,
}
WORDS = [f"--config.{key}={value}" for key, value in SMALL.items()]


def small_config(**more):
  config = load_config("winn_digits")
  for key, value in {**SMALL, **more}.items():
    override(config, key, str(value))
  return config


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  path = tmp_path_factory.mktemp("run")
  assert main(["train", "--config", "winn_digits", "--workdir", str(path), "--quiet", *WORDS]) == 0
  return path


def test_a_run_leaves_all_that_the_readme_names(workdir):
  for name in ("config.json", "metrics.jsonl", "summary.json", "figure.png", "curves.png"):
    assert (workdir / name).stat().st_size > 0, name
  assert sorted(path.name for path in (workdir / "samples").iterdir()) == ["step_00000000.png", "step_00000004.png"]
  assert list((workdir / "tensorboard").iterdir())
  assert {path.name for path in (workdir / "checkpoints").iterdir()} >= {"2", "4"}


def test_every_final_number_has_its_card(workdir):
  summary = json.loads((workdir / "summary.json").read_text())
  assert summary["steps"] == 4
  for number in [*summary["metrics"].values(), *summary["anchors"].values()]:
    assert np.isfinite(number["value"])
    assert number["card"]["generated"] == 80
    assert number["card"]["split"].endswith("digits/test")
  rows = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
  values = [row["eval/frechet"] for row in rows if "eval/frechet" in row]
  assert summary["median_of_last_three_frechet"] == pytest.approx(np.median(values))


def test_a_finished_run_starts_again_without_training(workdir, capsys):
  before = (workdir / "metrics.jsonl").read_text()
  assert main(["train", "--config", "winn_digits", "--workdir", str(workdir), *WORDS]) == 0
  assert "nothing is left to train" in capsys.readouterr().out
  assert (workdir / "metrics.jsonl").read_text() == before


def test_another_config_is_refused_with_the_difference(workdir, capsys):
  before = (workdir / "config.json").read_text()
  words = [*WORDS, "--config.system.rate=0.5", "--config.seed=9"]
  assert main(["train", "--config", "winn_digits", "--workdir", str(workdir), *words]) == 2
  line = capsys.readouterr().err
  assert "config.system.rate is 0.0003 there and 0.5 here" in line
  assert "config.seed is 0 there and 9 here" in line
  assert (workdir / "config.json").read_text() == before


def test_sample_writes_a_grid_and_an_archive(workdir, tmp_path):
  grid, archive = str(tmp_path / "grid.png"), str(tmp_path / "images.npz")
  assert main(["sample", "--workdir", str(workdir), "--n", "9", "--out", grid]) == 0
  assert main(["sample", "--workdir", str(workdir), "--n", "9", "--out", archive, "--seed", "1"]) == 0
  with Image.open(grid) as picture:
    assert picture.size[0] > 3 * 8
  with np.load(archive, allow_pickle=False) as loaded:
    images = loaded["images"]
  assert (images.shape, images.dtype) == ((9, 8, 8, 1), np.uint8)


def test_sample_takes_an_older_step_and_refuses_one_that_is_not_there(workdir, capsys):
  assert main(["sample", "--workdir", str(workdir), "--n", "1", "--step", "2"]) == 0
  assert "step 2" in capsys.readouterr().out
  assert main(["sample", "--workdir", str(workdir), "--n", "1", "--step", "3"]) != 0
  assert "no checkpoint of step 3" in capsys.readouterr().err


def test_evaluate_prints_numbers_with_cards(workdir, capsys):
  assert main(["evaluate", "--workdir", str(workdir), "--seed", "5"]) == 0
  report = json.loads(capsys.readouterr().out)
  assert report["step"] == 4
  assert report["metrics"]["frechet"]["card"]["seed"] == 5


@pytest.mark.parametrize(
  ("command", "words", "part"),
  [
    ("sample", ["--out", "x.gif"], "x.gif"),
    ("sample", ["--n", "0"], "--n 0"),
    ("sample", ["--truncation", "0.5"], "is for generators with latents; system winn has none"),
    ("sample", ["--workdir", "/nowhere/at/all"], "no checkpoints"),
    ("train", ["--config.data.name=mnits"], "mnist"),
    ("train", ["--config.data.name=folder"], "path"),
    ("train", ["--config.data.name=folder", "--config.data.path=/nowhere"], "/nowhere"),
    ("train", ["--config.system.name=wim"], "winn"),
    ("train", ["--config.net.name=covnet"], "convnet"),
    ("train", ["--config.noise.name=gauss"], "gaussian"),
    ("train", ["--config.system.synthesis=9"], "use 8"),
    ("train", ["--config.data.batch=17"], "config.data.batch"),
    ("train", ["--config.train.steps=5"], "config.train.steps_per_call"),
    ("train", ["--config.system.stop=never"], "stop"),
    ("train", ["--config.system.policy=lifo"], "reservoir"),
    ("train", ["--config.metrics.name=fid"], "frechet"),
    ("train", ["--config.metrics.split=tset"], "test"),
    ("train", ["--workdir", "/proc/nowhere"], "/proc/nowhere"),
  ],
)
def test_a_mistake_is_one_line_before_anything_is_compiled(command, words, part, tmp_path, capsys):
  where = [] if "--workdir" in words else ["--workdir", str(tmp_path / "w")]
  assert main([command, "--config", "winn_digits", *WORDS, *where, *words]) == 2
  line = capsys.readouterr().err
  assert line.count("\n") == 1
  assert part in line


def test_own_pictures_train_in_one_line_with_greyscale_odd_sizes_and_a_broken_file(tmp_path, capsys):
  rng = np.random.default_rng(0)
  for i in range(60):
    size = (9 + i % 5, 11 + i % 3)
    Image.fromarray(rng.integers(0, 255, size, np.uint8)).save(tmp_path / f"{i}.png")
  (tmp_path / "broken.png").write_bytes(b"not a picture")
  config = small_config(**{"data.name": "folder", "data.path": str(tmp_path), "metrics.samples": 6})
  summary = train(config, tmp_path / "run", quiet=True)
  card = summary["metrics"]["frechet"]["card"]
  assert card["split"] == "folder/train[90%:]"
  assert "random" in card["extractor"]


def test_langevin_and_the_released_codes_switches_train(tmp_path):
  path = tmp_path / "langevin.py"
  path.write_text(
    "import runpy, ml_collections\n"
    "def get_config():\n"
    "  from genjax.command import load_config\n"
    "  config = load_config('winn_digits').unlock()\n"
    "  config.sampler = ml_collections.ConfigDict(\n"
    "    {'name': 'langevin', 'epsilon': 0.01, 'last': 0.001, 'steps': 3})\n"
    "  config.noise = ml_collections.ConfigDict({'name': 'gaussian', 'std': 0.3})\n"
    "  return config\n"
  )
  words = [word for word in WORDS if "noise" not in word]
  switches = ["--config.system.stop=batch", "--config.system.pool_dtype=uint8", "--config.system.ema=0"]
  workdir = str(tmp_path / "w")
  assert main(["train", "--config", str(path), "--workdir", workdir, "--quiet", *words, *switches]) == 0


def test_how_pictures_are_drawn_from_a_run_does_not_make_it_another(tmp_path):
  config = load_config("winn_texture:brick,small")
  (tmp_path / "config.json").write_text(json.dumps(main_module._as_json(config)))
  override(config, "sample.size", "512")
  assert main_module.holds(config, tmp_path)
  override(config, "system.rate", "0.5")
  assert not main_module.holds(config, tmp_path)
