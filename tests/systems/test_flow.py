"""The flow: the bits of a distribution that is known, its exact inverse, a start that is one on any devices, digits."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from genjax.core import Dataset, Split
from genjax.metrics.likelihood import bits_per_dim, nats
from genjax.nets.dequantiser import Dequantiser
from genjax.nets.glow import Glow
from genjax.ops.augment import to_unit
from genjax.ops.levels import to_images
from genjax.ops.likelihood import log_mean_exp
from genjax.systems.flow import flow
from genjax.systems.optimizers import adam
from genjax.train.mesh import make_mesh, place
from tests.systems.learning import digits, learned

SHAPE, LEVELS = (2, 2, 1), 4
MEAN, DEVIATION = 0.4, 0.3


class Known(nn.Module):
  """Pixels in [0, 1] are normal with this mean and this deviation."""

  @nn.compact
  def __call__(self, x, reverse=False):
    self.param("unused", nn.initializers.zeros, ())
    log_det = jnp.full(len(x), -x[0].size * jnp.log(DEVIATION))
    if reverse:
      return MEAN + DEVIATION * x.reshape(-1, *SHAPE), -log_det
    return (x.reshape(len(x), -1) - MEAN) / DEVIATION, log_det


def wild_state(system, images):
  """Weights away from where they start."""
  rng, state = np.random.default_rng(0), jax.jit(system.init)(jax.random.key(0), {"image": images})
  wild = lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape).astype(np.float32)
  return state._replace(params=jax.tree.map(wild, state.params))


class Grey:
  """Seven images of four grey levels, and the exact probability of each pixel's level."""

  grey = np.random.default_rng(0).integers(0, LEVELS, (7, *SHAPE))
  stored = (grey * 85).astype(np.uint8)
  images = to_unit(jnp.asarray(stored))
  data = Dataset(
    lambda step: {},
    lambda key, raw: {"image": to_unit(raw["image"])},
    split=lambda name: Split(f"toy/{name}", "", {"image": Grey.stored}),
  )

  @classmethod
  def log_probs(cls):
    """[7] nats: the normal distribution's mass in the interval of each level."""
    edges = norm.cdf(np.arange(LEVELS + 1) / LEVELS, MEAN, DEVIATION)
    return np.log(np.diff(edges))[cls.grey].sum((1, 2, 3))

  @classmethod
  def bound(cls):
    """[7] nats: the mean of the log density over uniform noise, by Simpson's rule, times the interval's length."""
    u = np.linspace(0, 1, 101)
    weights = np.array([1, *[4, 2] * 49, 4, 1]) / 300
    of_level = [norm.logpdf((k + u) / LEVELS, MEAN, DEVIATION) @ weights - np.log(LEVELS) for k in range(LEVELS)]
    return np.array(of_level)[cls.grey].sum((1, 2, 3))


@pytest.mark.parametrize("dequantiser_net", [None, Dequantiser(depth=2, blocks=0, width=8)])
def test_the_mean_weight_of_many_draws_of_noise_is_the_probability_of_the_levels(dequantiser_net):
  """By any noise; a wrong log-determinant or density of it shows."""
  system = flow(Known(), shape=SHAPE, levels=LEVELS, dequantiser_net=dequantiser_net)
  state = wild_state(system, Grey.images)
  draw = lambda key: system.views["log_weight"](key, state, Grey.images)
  result = jax.jit(lambda key: log_mean_exp(key, draw, 4000))(jax.random.key(1))
  np.testing.assert_allclose(result, Grey.log_probs(), atol=0.1 if dequantiser_net else 0.04)


def test_bits_of_a_known_distribution_are_those_of_its_closed_form_and_cards_say_what_they_bound():
  system = flow(Known(), shape=SHAPE, levels=LEVELS)
  state = wild_state(system, Grey.images)
  measured = lambda metric: metric.measure(jax.random.key(0), system.views, state, Grey.data)
  exact = measured(bits_per_dim(batch=4, importance_samples=4000))["bits_per_dim"]
  np.testing.assert_allclose(exact.value, -Grey.log_probs().mean() / 4 / np.log(2), atol=0.01)
  loss = lambda key: system.step(key, state, {"image": Grey.images})[1]["loss"]
  losses = jax.jit(lambda keys: jax.lax.map(loss, keys))(jax.random.split(jax.random.key(2), 2000))
  bits = -Grey.bound().mean() / 4 / np.log(2)
  np.testing.assert_allclose(losses.mean(), bits, atol=4 * losses.std() / 2000**0.5)
  assert bits > exact.value + 0.02
  card = measured(nats(batch=4))["nats"].card
  assert (card.likelihood, card.dequantisation, card.importance_samples) == ("bound probability", "uniform", 1)
  assert exact.card.importance_samples == 4000


def test_without_levels_the_density_is_exact():
  system = flow(Known(), shape=SHAPE, levels=None)
  x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (3, *SHAPE)), jnp.float32)
  state = wild_state(system, x)
  wanted = norm.logpdf((np.float64(x) + 1) / 2, MEAN, DEVIATION).sum((1, 2, 3)) - 4 * np.log(2)
  np.testing.assert_allclose(system.views["log_prob"](state, x), wanted, rtol=1e-5)
  assert system.views["likelihood"](state) == ("exact", "density", None, 1)


@pytest.fixture(scope="module")
def small():
  """A system, images of its grey levels, and its fresh state on one device and on eight."""
  system = flow(Glow((4, 4, 1), levels=1, depth=2, width=2), shape=(4, 4, 1), levels=LEVELS, temperature=0.7)
  images = to_images(np.random.default_rng(0).integers(0, LEVELS, (64, 4, 4, 1)).astype(np.float32), LEVELS)
  init, mesh = jax.jit(system.init), make_mesh(jax.devices()[:8])
  return system, images, *(init(jax.random.key(0), of({"image": images})) for of in (dict, partial(place, mesh)))


def test_the_first_batch_makes_the_same_start_on_eight_devices(small):
  _, _, one, eight = small
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(eight), strict=True):
    np.testing.assert_allclose(a, b, atol=2e-5)


def test_a_latent_decodes_to_the_image_that_it_encodes_and_samples_are_grey_levels(small):
  system, images, state, _ = small
  views = system.views

  @jax.jit
  def all_of(state):
    latents = views["encode"](state, images)
    drawn = views["latents"](state).draw(jax.random.key(0), 20)
    return latents, views["decode"](state, latents), views["sample"](jax.random.key(0), state, 20), drawn

  latents, again, samples, drawn = all_of(state)
  np.testing.assert_allclose(again, images, atol=1e-5)
  np.testing.assert_allclose([latents.mean(), latents.std()], [0, 1], atol=0.2)  # the noise on levels is missing
  assert set(np.unique(np.round((samples + 1) * 1.5, 5))) <= {0, 1, 2, 3}
  np.testing.assert_allclose(drawn, 0.7 * jax.random.normal(jax.random.key(0), (20, 16)), rtol=1e-6)


def test_held_out_digits_take_fewer_bits_than_by_the_best_linear_flow():
  """A normal distribution of all pixels, with the mean and the covariance of digits with uniform noise, from numpy."""
  net, optimizer = Glow((8, 8, 1), levels=2, depth=4, width=32), adam(learning_rate=3e-3, warmup_steps=50)
  system = flow(net, shape=(8, 8, 1), levels=17, optimizer=optimizer)
  train, test = digits()
  state = learned(system, {"image": train}, batch=64, steps=300)
  bits = -jax.jit(system.views["log_prob"])(state, test).mean() / 64 / np.log(2)
  rng, noisy = np.random.default_rng(0), [(8 * np.float64(images) + 8).reshape(-1, 64) for images in digits()]
  train, test = (levels + rng.uniform(size=levels.shape) for levels in noisy)
  by_normal = multivariate_normal(train.mean(0), np.cov(train.T)).logpdf(test).mean() / 64 / np.log(2)
  assert bits < -by_normal - 0.2  # 2.61 and 2.97


@pytest.mark.parametrize(
  ("settings", "said"),
  [
    ({"levels": 1}, "levels 1; use 2 to 256"),
    ({"levels": None, "dequantiser_net": Dequantiser()}, "leave the dequantiser_net out"),
    ({"temperature": -1.0}, "temperature -1.0; use 0 or more"),
  ],
)
def test_settings_out_of_range_are_refused(settings, said):
  with pytest.raises(ValueError, match=said):
    flow(Known(), shape=SHAPE, **settings)
