from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linear_sum_assignment, linprog

from genjax.objectives.distances import (
  Multiplier,
  cramer_critic,
  cramer_distance,
  cramer_surrogate,
  dual,
  fisher_critic,
  mmd,
  mmd_squared,
  reconstruction,
  second_moment,
)
from genjax.objectives.logits import wasserstein_critic
from genjax.objectives.penalties import bounded_lipschitz, gradient_penalty, slopes
from genjax.objectives.terms import play
from genjax.ops.kernels import energy, gaussian

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
REAL = RANDOM.normal(size=(8, 2)).astype(np.float32)
FAKE = (RANDOM.normal(size=(8, 2)) + np.array([2, 0])).astype(np.float32)


def _images(points):
  return jnp.asarray(points, jnp.float32)[:, None, None, :]


def _round(real, fake):
  """A critic whose features are the points themselves and whose logit is the first coordinate."""
  flat = lambda images: images.reshape(images.shape[0], -1)
  critic = lambda images: (flat(images)[:, 0], {"features": flat(images), "reconstruction": 0.5 * images})
  return play(critic, _images(real), _images(fake))


# Wasserstein ----------------------------------------------------------------------------------------------------------


def _potential(real, fake):
  """Kantorovich's optimal f on all points, from the optimal plan: f(x) = min over y of cost - v(y), 1-Lipschitz."""
  points = np.concatenate([real, fake])
  costs = np.linalg.norm(real[:, None] - fake[None], axis=-1)
  rows, columns = linear_sum_assignment(costs)
  gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
  # f(real i) - f(fake j) = cost on the plan, f(a) - f(b) <= |a - b| everywhere: shortest paths give such an f
  edges = gaps.copy()
  for i, j in zip(rows, columns, strict=True):
    edges[i, len(real) + j] = -costs[i, j]
  reach = np.zeros(len(points))
  for _ in range(len(points)):
    reach = np.minimum(reach, (reach[:, None] + edges).min(0))
  return reach, costs[rows, columns].mean()


def test_the_dual_of_the_best_potential_is_the_earth_movers_distance_of_two_point_sets():
  potential, earth_mover = _potential(REAL, FAKE)
  real, fake = (jnp.asarray(side, jnp.float32) for side in np.split(potential, 2))
  np.testing.assert_allclose(dual(real, fake), earth_mover, rtol=1e-5)
  np.testing.assert_allclose(wasserstein_critic(real, fake), -earth_mover, rtol=1e-5)
  gaps = np.linalg.norm(np.concatenate([REAL, FAKE])[:, None] - np.concatenate([REAL, FAKE])[None], axis=-1)
  assert (np.abs(potential[:, None] - potential[None]) <= gaps + 1e-6).all()


def test_a_trained_critic_on_the_line_finds_the_distance_with_a_one_sided_penalty():
  """In one dimension f has slope +-1 between sorted points: a piecewise linear critic, slopes penalised, gets there."""
  real, fake = np.array([-2.0, 0.1, 0.4, 3.0]), np.array([-1.0, -0.5, 2.0, 2.5])
  knots = np.sort(np.concatenate([real, fake]))
  widths = np.array([b - a for a, b in pairwise(knots)])
  at = lambda points: jnp.asarray(
    [[w if k < p else 0.0 for k, w in zip(knots[:-1], widths, strict=True)] for p in points]
  )
  real_rows, fake_rows = at(real), at(fake)

  def loss(slope):
    return wasserstein_critic(real_rows @ slope, fake_rows @ slope) + 50 * (jax.nn.relu(jnp.abs(slope) - 1) ** 2).mean()

  descend = lambda slope, _: (slope - 0.05 * jax.grad(loss)(slope), None)
  slope, _ = jax.lax.scan(descend, jnp.zeros(len(widths)), length=3000)
  distance = dual(real_rows @ jnp.clip(slope, -1, 1), fake_rows @ jnp.clip(slope, -1, 1))
  np.testing.assert_allclose(distance, stats.wasserstein_distance(real, fake), rtol=1e-3)


# Dudley ---------------------------------------------------------------------------------------------------------------


def _dudley(real, fake):
  """Dudley's metric of two samples: the linear program of Sriperumbudur et al. over f's values, height and slope."""
  points = np.concatenate([real, fake])
  count = len(points)
  signs = np.concatenate([np.full(len(real), 1 / len(real)), np.full(len(fake), -1 / len(fake))])
  rows = [np.r_[side * np.eye(count)[i], -1, 0] for i in range(count) for side in (1, -1)]
  for i, j in np.ndindex(count, count):
    rows.append(np.r_[np.eye(count)[i] - np.eye(count)[j], 0, -np.linalg.norm(points[i] - points[j])])
  rows.append(np.r_[np.zeros(count), 1, 1])
  limits = np.r_[np.zeros(len(rows) - 1), 1]
  free = [(None, None)] * count + [(0, None)] * 2
  return -linprog(np.r_[-signs, 0, 0], A_ub=np.array(rows), b_ub=limits, bounds=free).fun


def test_dudleys_metric_is_the_linear_programs_bounded_and_below_wasserstein():
  """Of two points d apart it is 2 d / (2 + d): half of the norm's 1 goes to the height where d = 2."""
  for distance in (0.1, 2.0, 50.0):
    np.testing.assert_allclose(_dudley(np.zeros((1, 2)), np.array([[0, distance]])), 2 * distance / (2 + distance))
  assert _dudley(REAL, FAKE) < min(2, _potential(REAL, FAKE)[1])


@pytest.mark.parametrize("distance", [0.5, 4.0])
def test_a_linear_critic_held_by_the_penalty_finds_dudleys_metric_of_two_points(distance):
  """With weight w, E f(x) - E f(g) - w (|f| - 1)^2 is greatest where the norm |f| is 1 + m / 2w, at m + m^2 / 4w."""
  real, fake, metric = _images([[distance, 0.0]]), _images([[0.0, 0.0]]), 2 * distance / (2 + distance)

  def value(norm):
    slope = norm / (1 + distance / 2)
    round = play(lambda images: (slope * (images[:, 0, 0, 0] - distance / 2), {}), real, fake)
    return dual(round.real_out, round.fake_out) - 10 * bounded_lipschitz().apply(KEY, (), round)[0]

  best = 1 + metric / 20
  np.testing.assert_allclose(value(1.0), metric, rtol=1e-5)
  np.testing.assert_allclose(value(best), metric + metric**2 / 40, rtol=1e-5)
  assert max(value(0.9 * best), value(1.1 * best)) < value(best)


# MMD ------------------------------------------------------------------------------------------------------------------


def test_mmd_is_that_of_a_double_loop():
  kernel = lambda a, b: np.exp(-((a - b) ** 2).sum() / 2)
  x, y = REAL[:4], FAKE[:3]
  for unbiased in (True, False):
    mean = lambda p, off=unbiased: np.mean(
      [kernel(p[i], p[j]) for i, j in np.ndindex(len(p), len(p)) if i != j or not off]
    )
    cross = np.mean([kernel(a, b) for a in x for b in y])
    values = mmd_squared(gaussian((1.0,)), jnp.asarray(x), jnp.asarray(y, jnp.float32), unbiased=unbiased)
    np.testing.assert_allclose(values, mean(x) + mean(y) - 2 * cross, rtol=1e-4)


def test_mmd_is_unbiased_for_two_gaussians_of_which_it_is_known():
  """E k of N(a, 1) and N(b, 1) in one dimension, width s: s / sqrt(s^2 + 2) exp(-(a - b)^2 / (2 (s^2 + 2)))."""
  keys = jax.random.split(KEY, 4000)
  kernel = gaussian((1.0,))

  def draw(key, unbiased):
    real, fake = jax.random.normal(key, (2, 5, 1))
    return mmd_squared(kernel, real, fake + 1.0, unbiased=unbiased)

  known = 2 / np.sqrt(3) * (1 - np.exp(-1 / 6))
  values = np.asarray(jax.jit(jax.vmap(lambda key: draw(key, True)))(keys), np.float64)
  assert abs(values.mean() - known) < 4 * values.std() / np.sqrt(4000)
  biased = np.asarray(jax.jit(jax.vmap(lambda key: draw(key, False)))(keys), np.float64)
  assert biased.mean() - known > 20 * biased.std() / np.sqrt(4000)


def test_the_energy_distance_on_the_line_is_twice_the_squared_distance_of_distribution_functions():
  real, fake = REAL[:, :1], FAKE[:, :1].astype(np.float32)
  values = mmd_squared(energy, jnp.asarray(real), jnp.asarray(fake), unbiased=False)
  np.testing.assert_allclose(values, stats.energy_distance(real[:, 0], fake[:, 0]) ** 2, rtol=1e-4)


def test_the_same_sample_has_distance_zero_with_gradient_zero():
  x = jnp.asarray(REAL)
  value, gradient = jax.value_and_grad(lambda y: mmd(gaussian(), x, y))(x)
  np.testing.assert_allclose(value, 0, atol=1e-3)
  assert np.isfinite(gradient).all()
  with pytest.raises(ValueError, match="2 or more a side"):
    mmd_squared(gaussian(), x[:1], x)


# Cramer, Fisher, reconstruction ---------------------------------------------------------------------------------------


def test_cramers_surrogate_and_distance_estimate_the_energy_distance():
  """Over many draws of 6 points: the generator's loss is the energy distance plus the reals' own mean distance."""
  keys = jax.random.split(KEY, 3000)

  def draw(key):
    real, fake = jax.random.normal(key, (2, 6, 1))
    return cramer_distance(_round(real, fake + 1.0))

  values = np.asarray(jax.jit(jax.vmap(draw))(keys), np.float64)
  folded = lambda mean: (
    2 * stats.norm.pdf(mean / np.sqrt(2)) * np.sqrt(2) + mean * (1 - 2 * stats.norm.cdf(-mean / np.sqrt(2)))
  )
  known = 2 * folded(1.0) - folded(0.0)
  assert abs(values.mean() - known) < 4 * values.std() / np.sqrt(3000)


def test_cramers_critic_is_what_its_surrogate_compares():
  round = _round(REAL, FAKE)
  f = lambda images: cramer_critic(round)(images)[0]
  np.testing.assert_allclose(cramer_surrogate(round), dual(f(round.real), f(round.fake)), rtol=1e-5)
  assert (np.asarray(slopes(cramer_critic(round), round.real)) <= 2 + 1e-5).all()  # the difference of two lengths
  with pytest.raises(ValueError, match="2 or more"):
    cramer_surrogate(_round(REAL[:1], FAKE[:1]))


def test_the_augmented_lagrangian_finds_the_fisher_distance_of_linear_critics():
  """sup over w of w'd / sqrt(w'Mw), M the mean second moment: sqrt(d' inv(M) d), at w'Mw = 1."""
  x, y = REAL.astype(np.float64), FAKE
  gap, moment = x.mean(0) - y.mean(0), (x.T @ x / len(x) + y.T @ y / len(y)) / 2
  known = np.sqrt(gap @ np.linalg.solve(moment, gap))
  term, real, fake = fisher_critic(rho=0.3), _images(x), _images(y)

  def climb(carry, _):
    weight, state = carry
    critic = lambda w: lambda images: (images.reshape(len(images), -1) @ w, None)
    loss = lambda w: term.apply(KEY, state, play(critic(w), real, fake))
    (_, state), slope = jax.value_and_grad(loss, has_aux=True)(weight)
    return (weight - 0.1 * slope, state), None

  (weight, state), _ = jax.lax.scan(climb, (jnp.ones(2), term.init()), length=2000)
  logits = [side.reshape(8, 2) @ weight for side in (real, fake)]
  np.testing.assert_allclose(second_moment(*logits), 1, rtol=1e-3)
  np.testing.assert_allclose(dual(*logits), known, rtol=1e-3)
  np.testing.assert_allclose(state.value, known / 2, rtol=1e-2)  # the multiplier of the constraint


def test_the_multiplier_grows_while_the_second_moment_is_too_large():
  term = fisher_critic(rho=0.1)
  for scale, grows in ((3.0, True), (0.1, False)):
    _, after = term.apply(KEY, Multiplier(jnp.float32(1.0)), _round(scale * REAL, scale * FAKE))
    assert (after.value > 1) == grows


def test_reconstruction_counts_both_sides_and_asks_for_what_it_reads():
  values = reconstruction().apply(KEY, (), _round(REAL, FAKE))[0]
  np.testing.assert_allclose(values, 0.25 * ((REAL**2).mean() + (FAKE**2).mean()), rtol=1e-5)
  bare = play(lambda images: (images.sum((1, 2, 3)), {}), _images(REAL), _images(FAKE))
  with pytest.raises(ValueError, match=r"aux\['reconstruction'\]"):
    reconstruction().apply(KEY, (), bare)


def test_a_critic_of_slope_one_is_no_worse_off_with_the_penalty():
  round = _round(REAL, FAKE)
  assert gradient_penalty().apply(KEY, (), round)[0] < 1e-10
