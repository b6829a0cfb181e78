from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from genjax.objectives.penalties import between, gradient_penalty, slopes, unit
from genjax.objectives.terms import play, stateless

KEY = jax.random.key(0)
SHAPE = (2, 3, 2)
WEIGHT = jax.random.normal(jax.random.key(1), SHAPE)
in_float64 = partial(jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64, True)


def _linear(images):
  return jnp.einsum("bhwc,hwc->b", images, WEIGHT), None


def _bowl(images):
  """f = |x|^2, so that its gradient at x is 2 x."""
  return (images**2).sum((1, 2, 3)), None


def _mlp(params):
  """Two layers with a bend: what a finite difference can be taken of."""

  def critic(images):
    hidden = jnp.tanh(images.reshape(images.shape[0], -1) @ params["in"])
    return jnp.einsum("bk,k->b", hidden, params["out"]), None

  return critic


def _images(seed, n, dtype=jnp.float32):
  return jax.random.uniform(jax.random.key(seed), (n, *SHAPE), dtype, -1, 1)


def _penalty(critic, real, fake, key=KEY, term=None):
  return (term or gradient_penalty()).apply(key, (), play(critic, real, fake))[0]


def test_a_linear_critic_has_slope_w_everywhere():
  norm = np.linalg.norm(np.ravel(WEIGHT))
  np.testing.assert_allclose(slopes(_linear, _images(2, 5)), [norm] * 5, rtol=1e-6)
  np.testing.assert_allclose(_penalty(_linear, _images(2, 5), _images(3, 5)), (norm - 1) ** 2, rtol=1e-5)


def test_the_slope_is_the_norm_of_each_images_own_gradient():
  images = _images(2, 5)
  np.testing.assert_allclose(slopes(_bowl, images), 2 * np.linalg.norm(np.reshape(images, (5, -1)), axis=1), rtol=1e-6)


def test_unit_wants_a_slope_of_one_from_both_sides():
  np.testing.assert_allclose(unit(jnp.array([0.0, 0.5, 1.0, 3.0])), [1, 0.25, 0, 4])
  np.testing.assert_allclose(jax.vmap(jax.grad(unit))(jnp.array([0.5, 1.0, 3.0])), [-1, 0, 4])


def test_the_penalty_is_zero_where_the_slope_is_one():
  norm = np.linalg.norm(np.ravel(WEIGHT))
  critic = lambda images: (_linear(images)[0] / norm, None)
  assert _penalty(critic, _images(2, 5), _images(3, 5)) < 1e-10


def test_points_lie_on_the_line_between_a_pair_one_weight_for_the_whole_image():
  real, fake = _images(2, 4000), _images(3, 4000)
  points = between(KEY, play(_linear, real, fake))
  weights = np.asarray((points - fake) / (real - fake))[np.abs(real - fake).min((1, 2, 3)) > 0.05].reshape(-1, 12)
  assert len(weights) > 1000
  assert np.ptp(weights, axis=1).max() < 1e-4
  alpha = np.sort(weights[:, 0])
  assert alpha[0] >= 0
  assert alpha[-1] <= 1
  # Kolmogorov and Smirnov's distance from the uniform law; 1.95 / sqrt(n) is passed once in a thousand
  assert np.abs(alpha - (np.arange(len(alpha)) + 0.5) / len(alpha)).max() < 1.95 / np.sqrt(len(alpha))


def test_the_mean_penalty_is_the_integral_over_the_line():
  real, fake = _images(2, 1), _images(3, 1)
  values = jax.jit(jax.vmap(lambda key: _penalty(_bowl, real, fake, key)))(jax.random.split(KEY, 20_000))
  x, y, a = np.ravel(real), np.ravel(fake), (np.arange(1000) + 0.5) / 1000
  exact = ((2 * np.linalg.norm(a[:, None] * x + (1 - a[:, None]) * y, axis=1) - 1) ** 2).mean()
  assert abs(values.mean() - exact) < 4 * values.std() / np.sqrt(20_000)


def test_the_penalty_of_a_batch_is_the_mean_of_its_images_penalties():
  real, fake = _images(2, 6), _images(3, 6)
  at_real = gradient_penalty(points=lambda key, round: round.real)
  alone = [_penalty(_bowl, real[i : i + 1], fake[i : i + 1], term=at_real) for i in range(6)]
  np.testing.assert_allclose(_penalty(_bowl, real, fake, term=at_real), np.mean(alone), rtol=1e-6)
  twice = _penalty(_bowl, jnp.tile(real, (2, 1, 1, 1)), jnp.tile(fake, (2, 1, 1, 1)), term=at_real)
  np.testing.assert_allclose(twice, np.mean(alone), rtol=1e-6)


def test_points_and_judge_are_free():
  term = gradient_penalty(points=lambda key, round: round.fake, judge=lambda slopes: slopes**2)
  fake = _images(3, 4)
  expected = (4 * np.sum(np.square(fake), (1, 2, 3))).mean()
  np.testing.assert_allclose(_penalty(_bowl, _images(2, 4), fake, term=term), expected, rtol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-20, 1e-12])
def test_value_and_gradient_are_finite_where_the_slope_vanishes(scale):
  def penalty(weight):
    critic = lambda images: (weight * images.sum((1, 2, 3)) + 3.0, None)
    return _penalty(critic, _images(2, 4), _images(3, 4))

  value, gradient = jax.value_and_grad(penalty)(jnp.float32(scale))
  np.testing.assert_allclose(value, 1.0, rtol=1e-6)
  assert np.isfinite(gradient)
  assert scale > 0 or gradient == 0


def test_one_flat_image_does_not_spoil_the_others():
  def penalty(weight):
    critic = lambda images: (weight * jax.nn.relu(images).sum((1, 2, 3)), None)
    images = jnp.stack([-jnp.ones(SHAPE), jnp.ones(SHAPE)])
    return _penalty(critic, images, images)

  value, gradient = jax.value_and_grad(penalty)(jnp.float32(0.5))
  norm = np.sqrt(12)
  np.testing.assert_allclose(value, (1 + (0.5 * norm - 1) ** 2) / 2, rtol=1e-6)
  np.testing.assert_allclose(gradient, (0.5 * norm - 1) * norm, rtol=1e-5)


def test_saturated_images_and_a_saturated_critic_stay_finite():
  real, fake = jnp.ones((3, *SHAPE)), -jnp.ones((3, *SHAPE))
  params = {"in": 1e4 * jax.random.normal(KEY, (12, 5)), "out": jnp.ones(5)}
  value, gradient = jax.value_and_grad(lambda params: _penalty(_mlp(params), real, fake))(params)
  assert np.isfinite(value)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_the_gradient_by_parameters_is_that_of_central_differences():
  with in_float64():
    keys = jax.random.split(jax.random.key(4))
    params = {
      "in": jax.random.normal(keys[0], (12, 5), jnp.float64),
      "out": jax.random.normal(keys[1], (5,), jnp.float64),
    }
    flat, build = ravel_pytree(params)
    real, fake = _images(2, 4, jnp.float64), _images(3, 4, jnp.float64)
    penalty = jax.jit(lambda flat: _penalty(_mlp(build(flat)), real, fake))
    assert penalty(flat).dtype == jnp.float64
    step = 1e-6
    numeric = [(penalty(flat.at[i].add(step)) - penalty(flat.at[i].add(-step))) / (2 * step) for i in range(flat.size)]
    np.testing.assert_allclose(jax.grad(penalty)(flat), numeric, rtol=1e-6, atol=1e-8)


def test_a_bfloat16_critic_is_judged_in_float32():
  half = lambda images: (_linear(images.astype(jnp.bfloat16))[0].astype(jnp.bfloat16), None)
  assert slopes(half, _images(2, 3)).dtype == jnp.float32
  value = _penalty(half, _images(2, 3), _images(3, 3))
  assert value.dtype == jnp.float32
  np.testing.assert_allclose(value, (np.linalg.norm(np.ravel(WEIGHT)) - 1) ** 2, rtol=0.02)
  images = _images(2, 3, jnp.bfloat16)
  assert slopes(_bowl, images).dtype == jnp.float32


def test_another_key_takes_other_points():
  real, fake = _images(2, 4), _images(3, 4)
  assert _penalty(_bowl, real, fake) == _penalty(_bowl, real, fake)
  assert _penalty(_bowl, real, fake) != _penalty(_bowl, real, fake, jax.random.key(1))


def test_the_penalty_has_no_state():
  assert gradient_penalty().init() == stateless(lambda key, round: 0.0).init() == ()
