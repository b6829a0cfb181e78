"""Style mixing, fresh noise and path length of a generator in two parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.mlp import MLPCritic, MLPGenerator
from genjax.nets.stylegan2 import StyleGAN2Critic, StyleGAN2Generator
from genjax.objectives.composed import style_gan
from genjax.ranges import complaint
from genjax.systems.gan import gan
from genjax.systems.styles import mixed

KEY = jax.random.key(0)
SHAPE = (8, 8, 1)
SMALL = {"base": 32, "most": 4}


def test_mixing_takes_the_coarse_styles_of_one_and_the_fine_ones_of_another_at_an_even_place():
  w, other = jnp.zeros((2, 3)), jnp.ones((2, 3))
  draw = jax.jit(jax.vmap(lambda key: mixed(key, w, other, 4, 0.9)))
  each = np.asarray(draw(jax.random.split(KEY, 4000)))
  assert (each == each[:, :1, :, :1]).all()  # one place a minibatch
  fine = each[:, 0, :, 0]
  assert (np.diff(fine, axis=1) >= 0).all()
  assert (fine[:, 0] == 0).all()
  shares = np.bincount(fine.sum(1).astype(int), minlength=4) / len(fine)
  np.testing.assert_allclose(shares, [0.1, 0.3, 0.3, 0.3], atol=0.03)


@pytest.fixture(scope="module")
def trained():
  """A system with mixing and path length, and its state after two steps whose layers add noise."""
  system = gan(
    StyleGAN2Generator(SHAPE, width=8, depth=1, **SMALL),
    StyleGAN2Critic(**SMALL),
    shape=SHAPE,
    objective=style_gan(r1_interval=1, path_interval=1),
    latent=8,
    critic_steps=1,
    style_mixing=0.9,
  )
  batch = {"image": jax.random.normal(KEY, (8, *SHAPE)).clip(-1, 1)}
  state = system.init(KEY, batch)
  louder = lambda path, leaf: leaf + 1.0 if path[-1].key == "strength" else leaf
  generator = jax.tree_util.tree_map_with_path(louder, state.params["generator"])
  state = state._replace(params={**state.params, "generator": generator})
  after, metrics = jax.jit(system.step)(KEY, state, batch)
  return system, state, after, metrics


def test_a_step_with_mixing_and_path_length_is_finite_and_moves_the_strength_of_the_noise(trained):
  _, before, after, metrics = trained
  assert all(np.isfinite(value) for value in metrics.values())
  strengths = lambda state: [
    leaf
    for path, leaf in jax.tree.leaves_with_path(state.params["generator"])
    if getattr(path[-1], "key", "") == "strength"
  ]
  assert all((a != b).all() for a, b in zip(strengths(before), strengths(after), strict=True))


def test_samples_have_noise_of_their_own_or_one_map_for_all(trained):
  system, state, _, _ = trained
  one = lambda system, key: jax.jit(system.views["sample"], static_argnums=2)(key, still, 16)
  still = state._replace(  # a generator that does not read its latents: what differs is noise
    params={
      **state.params,
      "generator": jax.tree_util.tree_map_with_path(
        lambda path, leaf: 0 * leaf if any(getattr(part, "key", "") == "to_w" for part in path) else leaf,
        state.params["generator"],
      ),
    }
  )
  fresh = one(system, KEY)
  assert float(jnp.abs(fresh[1:] - fresh[:1]).max()) > 1e-3
  fixed = gan(
    StyleGAN2Generator(SHAPE, width=8, depth=1, **SMALL),
    StyleGAN2Critic(**SMALL),
    shape=SHAPE,
    objective=style_gan(),
    latent=8,
    critic_steps=1,
    sample_noise="fixed",
  )
  same = one(fixed, KEY)
  np.testing.assert_allclose(same, jnp.broadcast_to(same[:1], same.shape), atol=1e-5)


def test_mixing_is_for_generators_of_several_styles_and_its_probability_may_be_1():
  assert not complaint("style_mixing", 1.0)
  assert complaint("style_mixing", 1.001) == "0 to 1"
  with pytest.raises(ValueError, match="sample_noise 'foo'; use 'fresh' or 'fixed'"):
    gan(MLPGenerator((1, 1, 2), (4,)), MLPCritic((4,)), shape=(1, 1, 2), objective=style_gan(), sample_noise="foo")
  with pytest.raises(ValueError, match="style_mixing is for generators of several styles"):
    gan(MLPGenerator((1, 1, 2), (4,)), MLPCritic((4,)), shape=(1, 1, 2), objective=style_gan(), style_mixing=0.5)
