"""Games whose motion is known: the Dirac-GAN and the bilinear game, step by step, and rules against finite differences.

The Dirac-GAN (Mescheder et al. 2018, section 2): all data at 0, the generator's one point at theta, D(x) = phi * x.
Near 0 one step of gradient descent is a 2x2 matrix on (phi, theta), worked out by hand in RULES of studies/dynamics.py.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.studies.dynamics import RATE, RULES, path
from genjax.systems import updates
from genjax.systems.updates import Game

H = RATE


STEPS = 60


@cache
def _path(name):
  return path(name, (0.005, 0.01), STEPS)


@pytest.mark.parametrize("name", RULES)
def test_the_dirac_gan_moves_as_theory_says(name):
  path = _path(name)
  matrix = np.linalg.lstsq(path[:-1], path[1:], rcond=None)[0].T
  np.testing.assert_allclose(matrix, RULES[name].matrix, atol=2e-4)


@pytest.mark.parametrize(
  ("name", "low", "high"),
  [
    ("simultaneous", 1.0001, 2),  # spirals outwards
    ("alternating", 0.99999, 1.00001),  # goes in circles
    ("R1", 0, 0.96),
    ("local stability", 0, 0.98),
    ("consensus", 0, 0.91),
    ("unrolled", 0, 0.96),
  ],
)
def test_the_rate_of_convergence_is_the_largest_eigenvalue(name, low, high):
  rate = np.abs(np.linalg.eigvals(RULES[name].matrix)).max()
  assert low <= rate <= high
  norms = np.linalg.norm(_path(name), axis=1)
  assert (norms[1:] / norms[0] < 2.5 * rate ** np.arange(1, STEPS + 1)).all()
  assert norms[-1] / norms[0] > rate**STEPS / 2.5


# The bilinear game: the critic minimises -phi' A theta, the generator phi' A theta

A = np.array([[1.0, 0.5], [-0.3, 0.8]], np.float32)
BILINEAR = Game(lambda phi, theta: (-phi @ A @ theta, None), lambda phi, theta: (phi @ A @ theta, None))


def _bilinear(rule, steps=200):
  def body(place, _):
    moves = rule(BILINEAR, *place)
    place = (place[0] - H * moves.critic, place[1] - H * moves.generator)
    return place, jnp.concatenate(place)

  start = (jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]))
  return np.linalg.norm(jax.jit(lambda: jax.lax.scan(body, start, length=steps))()[1], axis=1)


def test_simultaneous_gradients_leave_the_bilinear_game():
  """Each singular value s of A turns its plane with modulus sqrt(1 + (h s)^2): exactly, at every step."""
  norms = _bilinear(updates.simultaneous)
  small, large = np.sqrt(1 + (H * np.linalg.svd(A)[1][::-1]) ** 2)
  ratios = norms[1:] / norms[:-1]
  assert (ratios > small - 1e-5).all()
  assert (ratios < large + 1e-5).all()


@pytest.mark.parametrize("weight", [0.5, 1.0, 2.0])
def test_consensus_solves_the_bilinear_game_at_the_rate_of_its_singular_values(weight):
  """Eigenvalues 1 - h g s^2 +- i h s: v' v = |A theta|^2 + |A' phi|^2."""
  norms = _bilinear(lambda *game: updates.consensus(*game, weight=weight))
  singular = np.linalg.svd(A)[1]
  rate = np.abs(1 - H * weight * singular**2 + 1j * H * singular).max()
  assert rate < 1
  reached = norms > 1e-6  # above rounding
  assert (norms[reached] <= 1.5 * np.sqrt(2) * rate ** np.arange(1, len(norms) + 1)[reached]).all()
  np.testing.assert_allclose((norms[50] / norms[20]) ** (1 / 30), rate, rtol=5e-3)


# Rules against finite differences


def _small_game():
  """Two nets of a few weights, nothing linear, as functions of flat parameters."""
  x = jnp.linspace(-1.0, 1.0, 5)

  def value(critic, generator):
    fake = jnp.tanh(generator[0] * x + generator[1])
    judge = lambda points: critic[0] * jnp.tanh(critic[1] * points + critic[2])
    return jax.nn.softplus(-judge(x + 0.5)).mean() + jax.nn.softplus(judge(fake)).mean()

  return Game(lambda c, g: (value(c, g), None), lambda c, g: (-value(c, g) + 0.1 * (g**2).sum(), "said"))


CRITIC, GENERATOR = np.array([0.7, -0.4, 0.3]), np.array([0.2, -0.6])


def _numeric(f, at, step=1e-6):
  return np.array([(f(at + step * e) - f(at - step * e)) / (2 * step) for e in np.eye(len(at))])


@pytest.mark.parametrize(("name", "steps"), [("adam", 4), ("sgd", 3), ("rmsprop", 2)])
def test_the_unrolled_gradient_is_that_of_central_differences_through_every_step(name, steps):
  """The optimiser has moments already, and is stepped in a plain loop, not unrolled."""
  with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
    game = _small_game()
    plain = updates.make_optimizer(name, 0.05, b1=0.5, b2=0.9)
    moments = plain.init(jnp.asarray(CRITIC))
    _, moments = plain.update(jnp.array([0.3, -0.2, 0.1]), moments)

    def later(generator):
      critic, now = jnp.asarray(CRITIC), moments
      for _ in range(steps):
        change, now = plain.update(jax.grad(game.critic, has_aux=True)(critic, generator)[0], now, critic)
        critic = optax.apply_updates(critic, change)
      return float(game.generator(critic, generator)[0])

    smooth = updates.make_optimizer(name, 0.05, b1=0.5, b2=0.9, unrolled=True)
    gradient, aux = updates.unrolled(
      game,
      jnp.asarray(CRITIC),
      jnp.asarray(GENERATOR),
      optimizer=smooth,
      moments=moments,
      steps=steps,
    )
    assert aux == "said"
    np.testing.assert_allclose(gradient, _numeric(later, GENERATOR), rtol=1e-5)


@pytest.mark.parametrize("name", ["adam", "rmsprop", "sgd"])
def test_an_unrolled_optimiser_passes_a_weight_that_has_no_gradient(name):
  """Adam's root at a second moment of exactly 0 has an infinite slope: 0 times infinity is NaN."""
  dead = lambda g: jnp.zeros(()) * g[0]  # its weight has gradient 0, which still depends on g
  game = Game(lambda c, g: (c[0] * g[0] + c[1] * dead(g), None), lambda c, g: (c @ c + g @ g, None))
  optimizer = updates.make_optimizer(name, 0.1, b1=0.0, b2=0.9, unrolled=True)
  critic = jnp.array([0.5, 0.0])
  gradient, _ = updates.unrolled(
    game, critic, jnp.array([0.3]), optimizer=optimizer, moments=optimizer.init(critic), steps=3
  )
  assert np.isfinite(gradient).all()
  if name == "adam":
    plain = updates.make_optimizer(name, 0.1, b1=0.0, b2=0.9)
    spoilt, _ = updates.unrolled(game, critic, jnp.array([0.3]), optimizer=plain, moments=plain.init(critic), steps=3)
    assert np.isnan(spoilt).any()  # else this test would see nothing


def test_consensus_adds_the_gradient_of_half_the_squared_length_of_both_gradients():
  with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
    game, both = _small_game(), jnp.asarray(np.concatenate([CRITIC, GENERATOR]))

    def v(both):
      critic, generator = both[:3], both[3:]
      return np.concatenate(
        [
          jax.grad(game.critic, 0, has_aux=True)(critic, generator)[0],
          jax.grad(game.generator, 1, has_aux=True)(critic, generator)[0],
        ]
      )

    pull = _numeric(lambda both: (v(jnp.asarray(both)) ** 2).sum() / 2, np.asarray(both))
    moves = updates.consensus(game, both[:3], both[3:], weight=0.7)
    assert moves.generator_aux == "said"
    np.testing.assert_allclose(np.concatenate(moves[:2]), v(both) + 0.7 * pull, rtol=1e-6)


def test_an_unrolled_optimiser_moves_as_the_plain_one():
  gradients = [jnp.array([0.5, -1e-3]), jnp.array([-0.2, 1e-3])]
  for name in ("adam", "rmsprop", "sgd"):
    ends = []
    for unrolled in (False, True):
      optimizer = updates.make_optimizer(name, 0.1, b1=0.5, b2=0.9, unrolled=unrolled)
      place = jnp.zeros(2)
      moments = optimizer.init(place)
      for gradient in gradients:
        change, moments = optimizer.update(gradient, moments, place)
        place = place + change
      ends.append(place)
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5)
