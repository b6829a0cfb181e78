"""The commands on a small run: workdirs, refusals, sampling, measuring, one line for every mistake."""

import contextlib
import json

import jax
import numpy as np
import pytest
from PIL import Image

from genjax import workdir as workdirs
from genjax.cli import main
from genjax.config import load_config, override
from genjax.convert import save_variables
from genjax.experiment import experiment, opened
from genjax.make import make
from genjax.nets.conv4 import Conv4
from genjax.registry import UsageError
from genjax.run import train

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
  "metrics.frechet.samples": 80,
  "metrics.copies.samples": 80,
  "metrics.anchors.samples": 80,
}
CHOSEN = {  # a validation split chooses the state
  "data.split": "train[:80%]",
  "metrics.validation.name": "kid",
  "metrics.validation.split": "train[80%:]",
  "metrics.validation.samples": 80,
  "metrics.validation.subsets": 5,
  "train.best": "validation_kid",
}
WORDS = [f"--config.{key}={value}" for key, value in SMALL.items()]
CHOOSING = [f"--config.{key}={value}" for key, value in CHOSEN.items()]


def small_config(**more):
  config = load_config("winn_digits")
  override(config, [(key, str(value)) for key, value in {**SMALL, **more}.items()])
  return config


def small_vae(**more):
  """Of what any system's run does; it compiles in seconds."""
  shared = {key: value for key, value in SMALL.items() if key.startswith(("train", "metrics", "data"))}
  narrow = {"encoder.widths": (4,), "decoder.widths": (4,), "system.latent": 2}
  config = load_config("vae_digits")
  override(config, [(key, str(value)) for key, value in {**shared, **narrow, **more}.items()])
  return config


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


def test_another_sampler_makes_another_run_and_another_metric_does_not():
  kept = workdirs.as_json(small_config())
  keys = lambda key: [row[0] for row in workdirs.changes(kept, small_config(**{key: 7}))]
  assert keys("sampler.learning_rate") == ["sampler.learning_rate"]
  assert keys("metrics.copies.samples") == keys("sample.size") == keys("train.samples") == []


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


def test_a_run_goes_on_for_longer_with_other_intervals_and_metrics(tmp_path):
  train(small_vae(), tmp_path, quiet=True)
  longer = {"train.steps": 8, "train.checkpoint_every": 4, "metrics.copies": "none", "metrics.frechet.samples": 40}
  summary = train(small_vae(**longer), tmp_path, quiet=True)
  assert summary["steps"] == 8
  assert "copies" not in summary["metrics"]
  assert summary["metrics"]["frechet"]["card"]["generated"] == 40


def test_other_keys_go_on_behind_continue_and_are_recorded(tmp_path):
  train(small_vae(), tmp_path, quiet=True)
  other = small_vae(**{"optimizer.learning_rate": 1e-4, "train.steps": 6})
  summary = train(other, tmp_path, quiet=True, go_on=True)
  assert summary["steps"] == 6
  record = json.loads((tmp_path / "continued.json").read_text())
  assert record == [{"step": 4, "changed": {"optimizer.learning_rate": [2e-3, 1e-4]}}]
  assert workdirs.holds(other, tmp_path)


def test_a_run_starts_from_the_weights_of_another(workdir, tmp_path):
  config = small_config(**{"optimizer.learning_rate": 1e-12, "system.ema": 0.0})
  train(config, tmp_path / "a", quiet=True, init_from=str(workdir))
  theirs, ours = opened(str(workdir))[1], opened(str(tmp_path / "a"))[1]
  for a, b in zip(_leaves(theirs.params), _leaves(ours.params), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-6)
  words = ["--init-from", str(workdir), "--config.net.blocks=((8,),(8,))", "--workdir", str(tmp_path / "b")]
  assert main(["train", "--config", "winn_digits", *WORDS, *words]) == 2


def _leaves(tree):
  return jax.tree.leaves(jax.device_get(tree))


@pytest.mark.parametrize(
  ("command", "words", "part"),
  [
    ("sample", ["--out", "x.gif"], "x.gif"),
    ("sample", ["--n", "0"], "--n 0"),
    ("sample", ["--truncation", "0.5"], "is for generators with latents; system winn has none"),
    ("sample", ["--to", "target"], "system winn does not"),
    ("sample", ["--workdir", "/nowhere/at/all"], "no checkpoints"),
    ("encode", [], "has no view 'encode'"),
    ("train", ["--config.data.name=digts"], "did you mean digits"),
    ("train", ["--config.data.bacth=4"], "did you mean batch"),
    ("train", ["--config.dat.batch=4"], "no key config.dat"),
    ("train", ["--config.data.batch=x"], "config.data.batch='x' is no int"),
    ("train", ["--config.data.flip=maybe"], "config.data.flip='maybe' is no bool"),
    ("train", ["--config.net.blocks=3"], "config.net.blocks=3 is no tuple"),
    ("train", ["--config.seed=-1"], "config.seed=-1"),
    ("train", ["--config.data.name=folder"], "path"),
    ("train", ["--config.data.name=folder", "--config.data.path=/nowhere"], "/nowhere"),
    ("train", ["--config.system.name=wim"], "winn"),
    ("train", ["--config.net.name=covnet"], "convnet"),
    ("train", ["--config.noise.name=gauss"], "gaussian"),
    ("train", ["--config.objective.wieght=1"], "did you mean weight"),
    ("train", ["--config.optimizer.schedule=square"], "config.optimizer.schedule='square'"),
    ("train", ["--config.system.synthesis=9"], "use 8"),
    ("train", ["--config.system.rate=1"], "no key config.system.rate"),
    ("train", ["--config.data.batch=17"], "batch 17"),
    ("train", ["--config.train.steps=5"], "config.train.steps_per_call"),
    ("train", ["--config.train.stps=5"], "did you mean steps"),
    ("train", ["--config.system.stop=never"], "stop"),
    ("train", ["--config.system.policy=lifo"], "reservoir"),
    ("train", ["--config.metrics.fid.samples=5"], "frechet"),
    ("train", ["--config.metrics.frechet.split=tset"], "test"),
    ("train", ["--config.metrics.error.split=test"], "needs the view 'classify'"),
    ("train", ["--config.metrics=modes"], "config.metrics is a section"),
    ("train", ["--workdir", "/proc/nowhere"], "/proc/nowhere"),
  ],
)
def test_a_mistake_is_one_line_before_anything_is_compiled(command, words, part, tmp_path, capsys):
  where = [] if "--workdir" in words else ["--workdir", str(tmp_path / "w")]
  assert main([command, "--config", "winn_digits", *WORDS, *where, *words]) == 2
  line = capsys.readouterr().err
  assert line.count("\n") == 1, line
  assert part in line
  assert not (tmp_path / "w").exists()


def test_own_pictures_train_in_one_line_with_greyscale_odd_sizes_and_a_broken_file(tmp_path):
  rng = np.random.default_rng(0)
  for i in range(60):
    size = (9 + i % 5, 11 + i % 3)
    Image.fromarray(rng.integers(0, 255, size, np.uint8)).save(tmp_path / f"{i}.png")
  (tmp_path / "broken.png").write_bytes(b"not a picture")
  small = {f"metrics.{name}.samples": 6 for name in ("frechet", "copies", "anchors")}
  config = small_config(**{"data.name": "folder", "data.path": str(tmp_path), "data.size": 8, **small})
  summary = train(config, tmp_path / "run", quiet=True)
  card = summary["metrics"]["frechet"]["card"]
  assert card["split"] == "folder/train[90%:]"
  assert "random" in card["extractor"]


def test_langevin_gaussian_noise_and_the_released_codes_switches_are_reached_from_the_command_line(tmp_path):
  words = [word for word in WORDS if "noise" not in word]
  words += ["--config.sampler.name=langevin", "--config.sampler.epsilon=0.01", "--config.sampler.last=0.001"]
  words += ["--config.sampler.steps=3", "--config.noise.name=gaussian", "--config.objective.name=inn"]
  words += ["--config.system.stop=batch", "--config.system.pool_dtype=uint8", "--config.system.ema=0"]
  assert main(["train", "--config", "winn_digits", "--workdir", str(tmp_path / "w"), "--quiet", *words]) == 0


def test_how_pictures_are_drawn_from_a_run_does_not_make_it_another(tmp_path):
  config = load_config("winn_texture:brick,small")
  workdirs.claim(config, tmp_path, [])
  override(config, [("sample.size", "512")])
  assert workdirs.holds(config, tmp_path)
  override(config, [("optimizer.learning_rate", "0.5")])
  assert not workdirs.holds(config, tmp_path)


def test_a_workdir_is_anothers_only_once_something_was_trained_in_it(tmp_path, caplog):
  workdirs.claim(small_config(), tmp_path, [])  # of a command that stopped before its first line
  other = small_config(**{"optimizer.learning_rate": 0.5})
  assert workdirs.refuse_another(other, tmp_path) == []
  (tmp_path / "metrics.jsonl").write_text('{"step": 2}\n')
  with pytest.raises(UsageError, match=r"holds another run: config.optimizer.learning_rate is 0.0003 there"):
    workdirs.refuse_another(other, tmp_path)
  assert not caplog.messages
  (tmp_path / "config.json").unlink()
  assert workdirs.refuse_another(other, tmp_path) == []
  assert "was trained before, but has no config.json" in caplog.text


OWN_NET = """
import flax.linen as nn

class Net(nn.Module):
  width: int = 4

  @nn.compact
  def __call__(self, images):
    x = nn.relu(nn.Conv(self.width, (3, 3))(images)).mean((1, 2))
    return nn.Dense(1)(x)[:, 0], {}
"""


def test_an_own_net_trains_by_module_and_function_and_its_workdir_runs_it_only_with_leave(tmp_path, capsys):
  (tmp_path / "my_own_nets.py").write_text(OWN_NET)
  (tmp_path / "mine.py").write_text(
    "from genjax.config import load_config\ndef get_config():\n  return load_config('winn_digits')\n"
  )
  words = [word for word in WORDS if "net.blocks" not in word and "metrics" not in word]
  words += ["--config.net.name=my_own_nets:Net", "--config.net.width=5", "--config.metrics=none"]
  workdir = str(tmp_path / "run")
  assert main(["train", "--config", str(tmp_path / "mine.py"), "--workdir", workdir, "--quiet", *words]) == 0
  assert json.loads((tmp_path / "run" / "config.json").read_text())["net"] == {"name": "my_own_nets:Net", "width": 5}
  capsys.readouterr()
  assert main(["sample", "--workdir", workdir, "--n", "4"]) == 2
  assert "--allow my_own_nets" in capsys.readouterr().err
  assert main(["sample", "--workdir", workdir, "--n", "4", "--allow", "my_own_nets"]) == 0
  ours = ("my_own_nets",)
  for words in ({}, {"trust": ours}, {"allow": ours}):  # another run that takes its net from here
    with contextlib.nullcontext() if words else pytest.raises(UsageError, match="--allow my_own_nets"):
      it = experiment(small_config(), **words)
      make("extractor", {"run": workdir, "view": "score"}, it.maker)


def test_a_view_of_another_run_is_a_section(workdir):
  it = experiment(small_config())
  score = make("extractor", {"run": str(workdir), "view": "score"}, it.maker)
  assert score(np.zeros((3, 8, 8, 1), np.float32)).shape == (3,)
  with pytest.raises(UsageError, match="view='classify'; the run's system has sample, score"):
    make("extractor", {"run": str(workdir), "view": "classify"}, it.maker)


def test_converted_weights_are_evaluated_exported_and_fine_tuned_by_one_command_each(tmp_path, capsys):
  variables = Conv4().init(jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32), train=False)
  save_variables(tmp_path / "conv4.npz", variables, 7.0)
  words = [
    "--config",
    "metaoptnet_miniimagenet:conv4,tiny",
    "--config.data.name=mock_episodes",
    "--config.data.batch=1",
  ]
  words += [f"--config.{key}.batch=8" for key in ("data", "metrics.test", "metrics.validation")]
  words += [f"--config.net.weights={tmp_path / 'conv4.npz'}", "--config.metrics.test.episodes=8"]
  words += ["--workdir", str(tmp_path / "run")]
  assert main(["evaluate", *words, "--step", "0"]) == 0
  assert "test_1shot_accuracy" in json.loads(capsys.readouterr().out)["metrics"]
  assert main(["encode", *words, "--step", "0", "--out", str(tmp_path / "features.npz")]) == 0
  with np.load(tmp_path / "features.npz", allow_pickle=False) as loaded:
    features, label = loaded["features"], loaded["label"]
  assert features.shape[0] == label.shape[0] == 800
  assert main(["train", *words, "--quiet", "--config.optimizer.learning_rate=1e-9"]) == 0
  tuned = opened(str(tmp_path / "run"))[1].params["net"]
  for ours, theirs in zip(_leaves(tuned), _leaves(variables["params"]), strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
  broken = [word.replace("conv4.npz", "none.npz") for word in words]
  assert main(["evaluate", *broken, "--step", "0"]) == 2
