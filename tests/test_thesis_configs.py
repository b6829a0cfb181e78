"""The configs of the thesis' runs: whole, they trace; with fewer images, their own nets take a step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.command import load_config, override
from genjax.main import main
from genjax.parts import SYSTEMS

SHAPES = {
  "winn_cifar10": (32, 32, 3),
  "winn_svhn": (32, 32, 3),
  "winn_celeba": (64, 64, 3),
  "winn_texture": (64, 64, 1),
}
ARGS = {
  "winn_cifar10": ("", "cascades", "cascades,exact"),
  "winn_svhn": ("", "single"),
  "winn_celeba": ("", "wgan_gp", "resnet13", "densenet20", "cascades"),
  "winn_texture": ("brick", "gravel,small"),
}
NAMES = [f"{name}:{arg}" for name, args in ARGS.items() for arg in args]
FEW = {  # what `tiny` does for the others
  "system.minibatch": 2,
  "system.ascent_steps": 2,
  "system.synthesis": 2,
  "system.synthesis_batch": 2,
  "system.initial": 2,
  "system.capacity": 8,
}


def _system(name, overrides=None):
  config = load_config(name)
  for key, value in (overrides or {}).items():
    override(config, key, str(value))
  return config, SYSTEMS[config.system.name](config, SHAPES[name.partition(":")[0]], None).system


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_config_traces_with_the_sizes_of_the_thesis(name):
  config, system = _system(name)
  batch = {"image": jax.ShapeDtypeStruct((config.data.batch, *SHAPES[name.partition(":")[0]]), jnp.float32)}
  state = jax.eval_shape(system.init, jax.random.key(0), batch)
  after, metrics = jax.eval_shape(system.step, jax.random.key(0), state, batch)
  assert jax.tree.structure(after) == jax.tree.structure(state)
  assert metrics["loss"].shape == ()
  assert config.train.steps >= (config.system.get("cascades", 1) - 1) * (config.system.get("cascade_steps") or 0) + 1


def _one_step(name, overrides=None):
  config, system = _system(name, overrides)
  shape = SHAPES[name.partition(":")[0]]
  batch = {"image": np.random.default_rng(0).uniform(-1, 1, (config.data.batch, *shape)).astype(np.float32)}
  state = jax.jit(system.init)(jax.random.key(0), batch)
  state, metrics = jax.jit(system.step, donate_argnums=1)(jax.random.key(1), state, batch)
  assert int(state.step) == 1
  assert all(np.isfinite(value) for value in metrics.values())


@pytest.mark.slow
def test_the_nets_of_faces_and_textures_take_a_step():
  _one_step("winn_celeba:tiny")
  _one_step("winn_texture:brick", FEW | {"data.batch": 4})


@pytest.mark.slow
def test_cifar_goes_through_stages_by_the_command_without_its_data(tmp_path):
  words = ["--config", "winn_cifar10:cascades,tiny", "--config.data.name=mock", "--config.system.cascades=2"]
  words += ["--config.system.ascent_steps=2", "--config.system.cascade_steps=1", "--config.train.checkpoint_every=1"]
  assert main(["train", *words, "--config.train.steps=2", "--workdir", str(tmp_path), "--quiet"]) == 0
  assert main(["sample", "--workdir", str(tmp_path), "--n", "3"]) == 0
  assert (tmp_path / "samples.png").stat().st_size > 1000


def test_the_thesis_numbers_come_back_by_a_word():
  system = load_config("winn_cifar10:exact").system
  assert (system.minibatch, system.synthesis, system.synthesis_batch, system.initial) == (50, 1000, 100, 10_000)
  assert load_config("winn_cifar10:cascades").train.steps == 500
