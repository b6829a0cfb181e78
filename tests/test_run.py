"""The commands on a small run: what it leaves, refusals, sampling, measuring."""

import json

import jax
import numpy as np
import pytest
from PIL import Image
from small_config import WORDS, leaves, small_config

from genjax.cli import main
from genjax.experiment import experiment, opened
from genjax.make import make
from genjax.registry import UsageError
from genjax.run import train

CHOSEN = {  # a validation split chooses the state
  "data.split": "train[:80%]",
  "metrics.validation.name": "kid",
  "metrics.validation.split": "train[80%:]",
  "metrics.validation.samples": 80,
  "metrics.validation.extractor": "random",
  "metrics.validation.subsets": 5,
  "train.best": "validation_kid",
}
CHOOSING = [f"--config.{key}={value}" for key, value in CHOSEN.items()]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  path = tmp_path_factory.mktemp("run")
  assert main(["train", "--config", "winn_digits", "--workdir", str(path), "--quiet", *WORDS, *CHOOSING]) == 0
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
  assert "cores" in summary["hardware"]["cpu"]
  assert summary["versions"]["jax"] == jax.__version__
  assert {"frechet", "copies", "diversity", "anchors_real", "anchors_noise"} <= set(summary["metrics"])
  for name, number in summary["metrics"].items():
    assert np.isfinite(number["value"])
    assert number["card"]["generated"] == 80
    assert number["card"]["split"].endswith("digits/train[80%:]" if "validation" in name else "digits/test")
  rows = list(map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines()))
  values = [row["eval/frechet"] for row in rows if "eval/frechet" in row]
  assert len(values) == 2
  assert not any("eval/anchors_real" in row for row in rows)  # final: measured at the end only
  assert summary["median_of_last_three_frechet"] == pytest.approx(np.median(values))


def test_the_state_that_a_kernel_distance_to_a_validation_split_chose_is_kept(workdir, capsys):
  rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
  kid = {row["step"]: row["eval/validation_kid"] for row in rows if "eval/validation_kid" in row}
  summary = json.loads((workdir / "summary.json").read_text())
  assert (summary["chosen_by"], summary["best_step"]) == ("validation_kid", min(kid, key=kid.get))
  assert len(kid) == 2
  words = ["--config.train.best=frechet", "--workdir", str(workdir / "other"), "--config", "winn_digits"]
  assert main(["train", *words]) == 2
  assert "config.train.best='frechet' is measured on split=test" in capsys.readouterr().err
  assert not (workdir / "other").exists()


def test_a_finished_run_starts_again_without_training_and_without_its_config(workdir, capsys):
  before = (workdir / "metrics.jsonl").read_text()
  assert main(["train", "--workdir", str(workdir)]) == 0
  assert "nothing is left to train" in capsys.readouterr().out
  assert (workdir / "metrics.jsonl").read_text() == before


def test_another_config_is_refused_with_the_difference(workdir, capsys):
  before = (workdir / "config.json").read_text()
  words = [*WORDS, *CHOOSING, "--config.optimizer.learning_rate=0.5", "--config.seed=9"]
  assert main(["train", "--config", "winn_digits", "--workdir", str(workdir), *words]) == 2
  line = capsys.readouterr().err
  assert "config.optimizer.learning_rate is 0.0003 there and 0.5 here" in line
  assert "config.seed is 0 there and 9 here" in line
  assert "--continue" in line
  assert (workdir / "config.json").read_text() == before


def test_sample_writes_a_grid_an_archive_and_a_folder(workdir, tmp_path):
  grid, archive, folder = str(tmp_path / "grid.png"), str(tmp_path / "images.npz"), f"{tmp_path / 'single'}/"
  assert main(["sample", "--workdir", str(workdir), "--n", "9", "--out", grid]) == 0
  assert main(["sample", "--workdir", str(workdir), "--n", "9", "--out", archive, "--seed", "1"]) == 0
  assert main(["sample", "--workdir", str(workdir), "--n", "9", "--out", folder, "--seed", "1"]) == 0
  with Image.open(grid) as picture:
    assert picture.size[0] > 3 * 8
  with np.load(archive, allow_pickle=False) as loaded:
    images = loaded["images"]
  assert (images.shape, images.dtype) == ((9, 8, 8, 1), np.uint8)
  files = sorted((tmp_path / "single").iterdir())
  assert len(files) == 9
  with Image.open(files[4]) as picture:
    np.testing.assert_array_equal(np.asarray(picture), images[4, ..., 0])


def test_sample_takes_an_older_step_and_refuses_one_that_is_not_there(workdir, capsys, caplog):
  assert main(["sample", "--workdir", str(workdir), "--n", "1", "--step", "2"]) == 0
  assert not [line.getMessage() for line in caplog.records if "orbax" in line.pathname and line.levelname != "INFO"]
  assert "step 2" in capsys.readouterr().out
  assert main(["sample", "--workdir", str(workdir), "--n", "1", "--step", "3"]) == 2
  assert "no checkpoint of step 3" in capsys.readouterr().err


def test_evaluate_prints_numbers_with_cards(workdir, capsys):
  assert main(["evaluate", "--workdir", str(workdir), "--config.metrics.frechet.samples=40"]) == 0
  report = json.loads(capsys.readouterr().out)
  assert report["step"] == 4
  assert report["metrics"]["frechet"]["card"]["generated"] == 40


def test_evaluate_takes_metrics_and_samples_of_the_command(workdir, capsys):
  words = ["evaluate", "--workdir", str(workdir), "--metrics", "sliced_wasserstein,copies", "--n", "20"]
  assert main([*words, "--config.metrics.sliced_wasserstein.patches=4"]) == 0
  measured = json.loads(capsys.readouterr().out)["metrics"]
  assert {"copies", "sliced_wasserstein"} < set(measured)
  assert "frechet" not in measured
  assert {number["card"]["generated"] for number in measured.values()} == {20}
  assert "4 patches" in measured["sliced_wasserstein"]["card"]["metric"]
  for words, line in {
    ("--metrics", "frechett"): "--metrics 'frechett'; did you mean frechet?; there are frechet, ",
    ("--metrics", "fid"): "fid is measured in Inception's features: say weights=PATH",
    ("--metrics", "kid", "--weights", "nowhere.pth"): 'weights "nowhere.pth" is no file',
    ("--metrics", "few_shot"): "config.metrics.few_shot",
  }.items():
    assert main(["evaluate", "--workdir", str(workdir), *words]) == 2
    assert line in capsys.readouterr().err


def test_a_run_starts_from_the_weights_of_another(workdir, tmp_path):
  config = small_config(**{"optimizer.learning_rate": 1e-12, "system.ema": 0.0})
  train(config, tmp_path / "a", quiet=True, init_from=str(workdir))
  theirs, ours = opened(str(workdir))[1], opened(str(tmp_path / "a"))[1]
  for a, b in zip(leaves(theirs.params), leaves(ours.params), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-6)
  words = ["--init-from", str(workdir), "--config.net.blocks=((8,),(8,))", "--workdir", str(tmp_path / "b")]
  assert main(["train", "--config", "winn_digits", *WORDS, *words]) == 2


def test_a_view_of_another_run_is_a_section(workdir):
  it = experiment(small_config())
  score = make("extractor", {"run": str(workdir), "view": "score"}, it.maker)
  assert score(np.zeros((3, 8, 8, 1), np.float32)).shape == (3,)
  with pytest.raises(UsageError, match="view='classify'; the run's system has sample, score"):
    make("extractor", {"run": str(workdir), "view": "classify"}, it.maker)
