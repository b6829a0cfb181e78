from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy import integrate, stats

from genjax.objectives.penalties import (
  at_fake,
  at_most_unit,
  at_real,
  between,
  critic_slope,
  gradient_penalty,
  lecam,
  near_real,
  orthogonal,
  orthogonality,
  slopes,
  squared,
  symmetric_slope,
  unit,
  weighted_slope,
)
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
  np.testing.assert_allclose(unit(jnp.array([0.0, 0.5, 1.0, 3.0]) ** 2), [1, 0.25, 0, 4])
  np.testing.assert_allclose(jax.vmap(jax.grad(lambda s: unit(s**2)))(jnp.array([0.5, 1.0, 3.0])), [-1, 0, 4])


def test_at_most_unit_lets_small_slopes_be_and_squared_wants_none():
  slope = jnp.array([0.0, 0.5, 1.0, 3.0])
  np.testing.assert_allclose(at_most_unit(slope**2), [0, 0, 0, 4])
  np.testing.assert_allclose(squared(slope**2), [0, 0.25, 1, 9])


def test_the_squared_slope_is_smooth_where_it_vanishes():
  """Twice differentiable at 0: what the Jacobian of a game with R1 is made of at its equilibrium."""
  r1 = gradient_penalty(at_real, squared)
  images = _images(2, 3)
  penalty = lambda weight: _penalty(lambda x: (weight * x.sum((1, 2, 3)), None), images, images, term=r1)
  np.testing.assert_allclose(jax.grad(jax.grad(penalty))(jnp.float32(0)), 2 * 12, rtol=1e-6)


PENALTIES = {  # of a Term, where a round has only a critic and points
  **{
    f"{target.__name__} {points.__name__}": gradient_penalty(points, target)
    for target in (squared, unit, at_most_unit)
    for points in (at_real, at_fake)
  },
  "eq 20": symmetric_slope(),
  "eq 19": weighted_slope(jax.nn.sigmoid),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_of_a_batch_is_the_mean_of_those_of_its_images(name):
  real, fake = _images(2, 4), _images(3, 4)
  critic = lambda images: ((images**3).sum((1, 2, 3)), None)
  alone = [_penalty(critic, real[i : i + 1], fake[i : i + 1], term=PENALTIES[name]) for i in range(4)]
  np.testing.assert_allclose(_penalty(critic, real, fake, term=PENALTIES[name]), np.mean(alone), rtol=1e-5)
  loud = jnp.concatenate([fake, 100 * fake[:1]])  # one image more, as large as it may be
  alone.append(_penalty(critic, real[:1], loud[4:], term=PENALTIES[name]))
  together = _penalty(critic, jnp.concatenate([real, real[:1]]), loud, term=PENALTIES[name])
  np.testing.assert_allclose(together, np.mean(alone), rtol=1e-5)


def test_both_forms_of_roths_penalty_agree_at_the_best_critic():
  """P = N(0.5, 1), Q = N(-0.5, 1), f = log p / q = x: eq 20 and eq 19 of the GAN are both E over pq / (p + q)."""
  grid = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000).reshape(-1, 1, 1, 1)
  real, fake = jnp.asarray(grid + 0.5, jnp.float32), jnp.asarray(grid - 0.5, jnp.float32)
  critic = lambda images: (images.sum((1, 2, 3)), None)
  value = [_penalty(critic, real, fake, term=term) for term in (symmetric_slope(), weighted_slope(jax.nn.sigmoid))]
  density = lambda x: (
    stats.norm.pdf(x, 0.5) * stats.norm.pdf(x, -0.5) / (stats.norm.pdf(x, 0.5) + stats.norm.pdf(x, -0.5))
  )
  np.testing.assert_allclose(value, integrate.quad(density, -9, 9)[0], rtol=1e-3)


def test_dragans_points_are_as_far_as_the_batch_is_wide():
  real = _images(2, 2000)
  round = play(_linear, real, real)
  spread = float(np.std(np.asarray(real)))
  one, both = (np.asarray(near_real(0.5, symmetric=s)(KEY, round) - real) / spread for s in (False, True))
  np.testing.assert_allclose([one.min(), one.mean(), both.mean()], [0, 0.125, 0], atol=5e-3)
  assert 0.45 < one.max() <= 0.5
  assert -0.5 <= both.min() < -0.45
  # one weight a for all 12 values of an image, as on the line from it to its noisy copy: E a^2 = E u^2 = 1 / 3
  wanted = 0.5 * np.sqrt((1 / 4 + 1 / 144) / 3 - 1 / 16)
  np.testing.assert_allclose(one.mean((1, 2, 3)).std(), wanted, rtol=0.05)
  grey = play(_linear, jnp.zeros((2, *SHAPE)), real)
  assert np.isfinite(near_real()(KEY, grey)).all()


def test_orthogonality_is_zero_for_orthogonal_columns_and_counts_kernels_alone():
  basis = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(12, 4)))[0], jnp.float32)
  params = {"conv": {"kernel": (3 * basis).reshape(2, 2, 3, 4), "bias": jnp.ones(4)}}
  np.testing.assert_allclose(orthogonality(params), 0, atol=1e-8)
  np.testing.assert_allclose(orthogonality(params, diagonal=True), 4 * 8**2, rtol=1e-5)  # lengths 3: (9 - 1)^2 each
  matrix = np.random.default_rng(1).normal(size=(5, 3))
  wanted = sum((matrix[:, i] @ matrix[:, j]) ** 2 for i in range(3) for j in range(3) if i != j)
  np.testing.assert_allclose(orthogonality({"kernel": jnp.asarray(matrix, jnp.float32)}), wanted, rtol=1e-5)
  assert orthogonality({"bias": jnp.ones(3)}) == 0


def test_a_penalty_of_weights_asks_for_them():
  with pytest.raises(ValueError, match=r"needs generator_params .* play\("):
    _penalty(_linear, _images(2, 2), _images(3, 2), term=orthogonal())


def test_the_local_stability_term_is_the_squared_gradient_of_the_game():
  real, fake = _images(2, 3), _images(3, 3)
  at = lambda weight: lambda images: (jnp.einsum("bhwc,hwc->b", images, weight), None)
  round = play(at(WEIGHT), real, fake, critic_params=WEIGHT, critic_at=at)
  value = critic_slope(lambda r, f: f.mean() - r.mean()).apply(KEY, (), round)[0]
  np.testing.assert_allclose(value, (np.asarray(fake.mean(0) - real.mean(0)) ** 2).sum(), rtol=1e-5)


def test_lecam_waits_then_holds_logits_at_the_other_sides_running_mean():
  constant = lambda r, f: play(
    lambda x: (jnp.where(x.sum((1, 2, 3)) > 0, r, f), None), jnp.ones((2, *SHAPE)), -jnp.ones((2, *SHAPE))
  )
  term = lecam(decay=0.9, start=2)
  state, values = term.init(), []
  for _ in range(3):
    value, state = term.apply(KEY, state, constant(3.0, -1.0))
    values.append(float(value))
  np.testing.assert_allclose(values, [0, 0, 4.0**2 + 4.0**2])
  np.testing.assert_allclose(state[1:], [3, -1])
  value, state = term.apply(KEY, state, constant(1.0, 0.0))
  np.testing.assert_allclose(value, 2.0**2 + 3.0**2)
  np.testing.assert_allclose(state[1:], [0.9 * 3 + 0.1, -0.9], rtol=1e-6)
  crossed, _ = term.apply(KEY, state, constant(-5.0, 9.0))
  assert crossed == 0  # clipped: reals below the fakes' mean are left alone
  assert lecam(0.9, 2, clipped=False).apply(KEY, state, constant(-5.0, 9.0))[0] > 0


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


def test_points_and_target_are_free():
  term = gradient_penalty(points=lambda key, round: round.fake, target=lambda squares: squares)
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


def test_a_bfloat16_critic_is_measured_in_float32():
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
