"""Autoregressive images: all probabilities sum to 1, samples have them, cached or not, and digits are learned."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.pixelcnn import GatedPixelCNN
from genjax.ops.levels import binarised, to_images
from genjax.systems.optimizers import adam
from genjax.systems.pixelcnn import pixelcnn
from tests.systems.learning import digits, learned

SQUARE = (2, 2, 1)
SMALL = {"width": 4, "layers": 2, "first_kernel": 3, "hidden": 8}


def all_images(shape, levels):
  """Every image of so many levels."""
  each = itertools.product(range(levels), repeat=int(np.prod(shape)))
  return to_images(jnp.asarray(list(each)).reshape(-1, *shape), levels)


def system(shape=SQUARE, **settings):
  return pixelcnn(GatedPixelCNN(shape, **SMALL), shape=shape, **({"likelihood": "bernoulli"} | settings))


def wild_state(made, shape=SQUARE):
  """Weights so large that every pixel depends on all before it."""
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(made.init, jax.random.key(0), {"image": jnp.zeros((2, *shape))})
  return jax.tree.map(lambda leaf: np.asarray(0.6 * rng.normal(size=leaf.shape), leaf.dtype), shapes)


@pytest.mark.parametrize(
  ("shape", "levels", "likelihood"),
  [(SQUARE, 2, "bernoulli"), ((1, 2, 2), 3, "categorical"), ((1, 2, 2), 4, "logistic_mixture")],
)
def test_the_probabilities_of_all_images_sum_to_one(shape, levels, likelihood):
  """They do not if a pixel, or a channel of it, sees itself or what comes later."""
  made = system(shape, likelihood=likelihood, levels=levels, components=2)
  log_prob = jax.jit(made.views["log_prob"])(wild_state(made, shape), all_images(shape, levels))
  np.testing.assert_allclose(np.exp(np.float64(log_prob)).sum(), 1, rtol=1e-5)
  assert log_prob.max() - log_prob.min() > 1


def test_samples_have_their_probabilities_and_are_the_same_with_a_cache_and_without():
  """Chi squared over the 16 images; its 1 - 1e-4 quantile by 15 degrees of freedom is 45."""
  n, made = 2000, system(sample_batch=2000)
  state, images = wild_state(made), all_images(SQUARE, 2)
  draw = lambda made: jax.jit(made.views["sample"], static_argnums=2)(jax.random.key(1), state, n)
  drawn = draw(made)
  np.testing.assert_array_equal(drawn, draw(system(sample_batch=2000, cache=False)))
  expected = n * np.exp(np.float64(jax.jit(made.views["log_prob"])(state, images)))
  counts = (np.asarray(drawn)[:, None] == np.asarray(images)[None]).all((2, 3, 4)).sum(0)
  assert counts.sum() == n
  assert ((counts - expected) ** 2 / expected)[expected > 1].sum() + counts[expected <= 1].sum() < 50


def test_more_samples_than_fit_together_are_drawn_in_parts():
  made = system(sample_batch=4)
  drawn = jax.jit(made.views["sample"], static_argnums=2)(jax.random.key(0), wild_state(made), 10)
  assert drawn.shape == (10, *SQUARE)
  assert len({image.tobytes() for image in np.asarray(drawn)}) > 1


def test_grey_images_are_binarised_by_a_draw_of_the_step_or_by_their_own():
  images = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (8, *SQUARE)), jnp.float32)
  losses = {}
  for binarise in ("dynamic", "static"):
    made = system(binarise=binarise)
    state, step = wild_state(made), jax.jit(made.step)
    losses[binarise] = [step(jax.random.key(i), state, {"image": images})[1] for i in (0, 1)]
    nats = -jax.jit(made.views["log_prob"])(state, images).mean()
    np.testing.assert_allclose(nats, -jax.jit(made.views["log_prob"])(state, binarised(None, images)).mean())
    if binarise == "static":
      np.testing.assert_allclose(losses[binarise][0]["nats"], nats, rtol=1e-5)
      np.testing.assert_allclose(losses[binarise][0]["loss"], nats / 4, rtol=1e-5)
  assert losses["static"][0]["loss"] == losses["static"][1]["loss"]
  assert losses["dynamic"][0]["loss"] != losses["dynamic"][1]["loss"]


def test_held_out_digits_are_likelier_than_by_independent_pixels_and_by_their_left_neighbours():
  """Tables of counts: of every pixel, and of every pixel by the one before it."""
  train, test = (np.asarray(binarised(None, images)) for images in digits())
  net = GatedPixelCNN((8, 8, 1), width=16, layers=4, first_kernel=5, hidden=16)
  made = pixelcnn(net, shape=(8, 8, 1), likelihood="bernoulli", optimizer=adam(learning_rate=3e-3))
  state = learned(made, {"image": train}, batch=32, steps=250)
  nats = -jax.jit(made.views["log_prob"])(state, test).mean()
  white, held_out = (images.reshape(len(images), -1) == 1 for images in (train, test))
  left = lambda x: np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], 1)
  count = lambda x, where: ((x & where).sum(0) + 0.5) / (where.sum(0) + 1)
  by_left = np.where(left(held_out), count(white, left(white)), count(white, ~left(white)))
  alone = np.broadcast_to(count(white, np.ones_like(white)), held_out.shape)
  of_table = lambda p: -np.log(np.where(held_out, p, 1 - p)).sum(1).mean()
  assert nats < of_table(by_left) - 1
  assert of_table(by_left) < of_table(alone)


def test_settings_that_do_not_go_together_are_refused():
  with pytest.raises(ValueError, match="likelihood 'poisson'; use 'bernoulli', 'categorical' or 'logistic_mixture'"):
    system(likelihood="poisson")
  with pytest.raises(ValueError, match="levels 256 with likelihood 'bernoulli'"):
    system(levels=256)
