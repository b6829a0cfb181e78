"""Own pictures, nets and weights through the command, and every sampler."""

import contextlib
import json

import jax
import numpy as np
import pytest
from PIL import Image
from small_config import WORDS, leaves, small_config

from genjax.cli import main
from genjax.convert import save_variables
from genjax.experiment import experiment, opened
from genjax.make import make
from genjax.nets.conv4 import Conv4
from genjax.registry import UsageError
from genjax.run import train


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


def test_converted_weights_are_evaluated_exported_and_fine_tuned_by_one_command_each(tmp_path, capsys):
  variables = Conv4(8).init(jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32), train=False)
  save_variables(tmp_path / "conv4.npz", variables, 7.0)
  words = [
    "--config",
    "metaoptnet_miniimagenet:conv4,tiny",
    "--config.data.name=mock_episodes",
    "--config.net.width=8",
    "--config.data.batch=2",
  ]
  words += [f"--config.{key}.batch=8" for key in ("metrics.test", "metrics.validation")]
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
  for ours, theirs in zip(leaves(tuned), leaves(variables["params"]), strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
  broken = [word.replace("conv4.npz", "none.npz") for word in words]
  assert main(["evaluate", *broken, "--step", "0"]) == 2
