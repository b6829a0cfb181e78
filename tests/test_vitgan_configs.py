"""The configs of ViTGAN: every row of the thesis' tables builds, and traces with the sizes of the thesis."""

import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.command import load_config
from genjax.main import main
from genjax.parts import SYSTEMS

SIDES = {
  "vitgan_digits": (8, 8, 1),
  "vitgan_cifar10": (32, 32, 3),
  "vitgan_celeba64": (64, 64, 3),
  "vitgan_lsun64": (64, 64, 3),
  "vitgan_lsun128": (128, 128, 3),
}
CIFAR = runpy.run_path("configs/vitgan_cifar10.py")
WORDS = [*CIFAR["NETS"], "noaug", "nobcr", "lecam", "released"]


def _arguments(name):
  small = name == "vitgan_digits"
  words = [word for word in WORDS if not (small and word in ("biggan", "transgan"))]
  return [*words, *(["32,mixer", "32,released"] if name == "vitgan_lsun64" else [])]


NAMES = [f"{name}:{arg}" for name in SIDES for arg in _arguments(name)]


def _system(name):
  config = load_config(name)
  shape = (32, 32, 3) if "32" in name.partition(":")[2].split(",") else SIDES[name.partition(":")[0]]
  batch = {"image": jax.ShapeDtypeStruct((config.data.batch, *shape), jnp.float32)}
  return SYSTEMS["gan"](config, shape, 10).system, batch


def _step_traces(name):
  system, batch = _system(name)
  state = jax.eval_shape(system.init, jax.random.key(0), batch)
  after, metrics = jax.eval_shape(system.step, jax.random.key(0), state, batch)
  form = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
  assert form(after) == form(state)
  assert metrics["critic_gradient"].shape == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_argument_of_every_config_builds_and_starts(name):
  system, batch = _system(name)
  state = jax.eval_shape(system.init, jax.random.key(0), batch)
  assert state.step.shape == ()


@pytest.mark.parametrize(
  "arg", [arg if arg in ("nobcr", "vitgan-stylegan2") else pytest.param(arg, marks=pytest.mark.slow) for arg in WORDS]
)
def test_a_step_of_every_argument_traces_in_narrow_nets(arg):
  _step_traces(f"vitgan_cifar10:{arg},tiny")


@pytest.mark.slow
@pytest.mark.parametrize("name", SIDES)
def test_a_whole_step_traces_with_the_sizes_of_the_thesis(name):
  _step_traces(name)


def test_the_settings_are_those_of_the_thesis_or_of_the_released_code():
  paper, released = load_config("vitgan_cifar10"), load_config("vitgan_cifar10:released")
  assert (paper.data.batch, paper.system.rate, paper.system.b1, paper.system.b2) == (128, 0.002, 0.0, 0.99)
  assert (paper.objective.real, paper.objective.fake, paper.objective.gamma) == (10.0, 10.0, 0.0)
  assert (paper.system.augment, released.system.augment) == ("thesis", "released")
  assert (released.data.batch, released.system.rate, released.system.warmup_steps) == (64, 0.001, 3000)
  assert (released.objective.real, released.objective.gamma, released.objective.interval) == (1.0, 0.1, 1)
  assert released.train.steps * released.data.batch == 51_200_000
  assert 0.5 ** (released.data.batch / released.system.ema_half_life) == pytest.approx(0.99995564, abs=1e-8)
  assert released.net.name == "stylegan2"
  sizes = {name: load_config(name) for name in SIDES}
  depth = {name: (config.generator.depth, config.net.depth) for name, config in sizes.items()}
  assert depth["vitgan_cifar10"] == (4, 4)
  assert depth["vitgan_celeba64"] == depth["vitgan_lsun64"] == (6, 6)
  assert depth["vitgan_lsun128"] == (8, 4)
  for name, side in SIDES.items():
    tokens = [(side[0] // part.patch) ** 2 for part in (sizes[name].generator, sizes[name].net)]
    assert tokens == {"vitgan_digits": [16, 16], "vitgan_lsun128": [256, 64]}.get(name, [64, 64])


def test_every_row_of_the_tables_has_words_and_rows_differ():
  counts = {"3.1": 6, "3.2": 5, "3.3a": 6, "3.3b": 10, "3.4": 5, "3.5": 5}
  assert {table: len(rows) for table, rows in CIFAR["TABLES"].items()} == counts
  for rows in CIFAR["TABLES"].values():
    told = [load_config(f"vitgan_cifar10:{arg}").to_json() for arg in rows.values()]
    assert len(set(told)) == len(told)
  assert load_config("vitgan_cifar10:c-neurrep").to_json() == load_config("vitgan_cifar10:l2-isn-overlap").to_json()


def test_other_words_are_refused():
  for arg in ("vgg", "sn,isn", "noaug,nobcr"):
    with pytest.raises(ValueError, match="wanted one of stylegan2-stylegan2, "):
      load_config(f"vitgan_cifar10:{arg}")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """A workdir of one step."""
  workdir = str(tmp_path_factory.mktemp("run"))
  words = ["--config", "vitgan_digits:tiny,nobcr", "--workdir", workdir]
  assert main(["train", *words, "--quiet"]) == 0
  return workdir


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
def test_it_is_sampled_by_its_latents(words, count, trained, tmp_path):
  out = str(tmp_path / "images.npz")
  assert main(["sample", "--workdir", trained, *words, "--out", out]) == 0
  images = np.load(out)["images"]
  assert images.shape == (count, 8, 8, 1)
  assert images.std() > 0


@pytest.mark.slow
@pytest.mark.parametrize(
  ("words", "says"),
  [
    (["--interpolate", "1"], "--interpolate 2 or more"),
    (["--truncation", "-1"], "--truncation takes 0 or more"),
    (["--mix", "--interpolate", "4"], "--mix is another picture"),
  ],
)
def test_pictures_that_there_are_not_are_refused(words, says, trained, capsys):
  assert main(["sample", "--workdir", trained, *words]) == 2
  assert says in capsys.readouterr().err


def test_nets_take_types_and_remat_as_words():
  config = load_config("vitgan_cifar10:tiny")
  for net in (config.generator, config.net):
    net.dtype, net.remat = "bfloat16", True
  system = SYSTEMS["gan"](config, (32, 32, 3), 10).system
  batch = {"image": np.zeros((config.data.batch, 32, 32, 3), np.float32)}
  state = jax.eval_shape(system.init, jax.random.key(0), batch)
  _, metrics = jax.eval_shape(system.step, jax.random.key(0), state, batch)
  assert metrics["critic_loss"].dtype == jnp.float32
