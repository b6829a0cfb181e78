"""The config of WGAN-GP and SN-GAN on CIFAR-10: whole it traces; small, the command trains and times it."""

import jax
import jax.numpy as jnp
import pytest

from genjax.command import load_config
from genjax.main import main
from genjax.parts import SYSTEMS

SHAPE = (32, 32, 3)


@pytest.mark.parametrize("arg", ["", "wgan_gp", "sn_gan"])
def test_the_whole_config_traces_with_the_sizes_of_the_paper(arg):
  config = load_config(f"gan_cifar10:{arg}")
  system = SYSTEMS["gan"](config, SHAPE, 10).system
  batch = {"image": jax.ShapeDtypeStruct((config.data.batch, *SHAPE), jnp.float32)}
  state = jax.eval_shape(system.init, jax.random.key(0), batch)
  after, metrics = jax.eval_shape(system.step, jax.random.key(0), state, batch)
  assert jax.tree.structure(after) == jax.tree.structure(state)
  assert metrics["generator_loss"].shape == ()
  assert config.data.batch == 64 * 5
  assert config.system.decay_steps == config.train.steps == 100_000
  if arg != "sn_gan":  # by hand in tests/nets/test_wgan_gp.py
    assert sum(leaf.size for leaf in jax.tree.leaves(state.params.critic)) == 1_053_825


def test_other_words_and_both_at_once_are_refused():
  for arg in ("dcgan", "wgan_gp,sn_gan"):
    with pytest.raises(ValueError, match="wanted wgan_gp or sn_gan"):
      load_config(f"gan_cifar10:{arg}")


@pytest.mark.slow
@pytest.mark.parametrize("arg", ["tiny", "sn_gan,tiny"])
def test_the_small_one_trains_by_the_command_without_its_data(arg, tmp_path):
  words = [
    "--config",
    f"gan_cifar10:{arg}",
    "--config.data.name=mock",
    "--config.data.batch=40",
  ]  # tests have 8 devices
  assert main(["train", *words, "--workdir", str(tmp_path), "--quiet"]) == 0
  assert (tmp_path / "summary.json").exists()
