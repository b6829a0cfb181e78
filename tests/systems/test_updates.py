"""Games whose motion is known: the Dirac-GAN and the bilinear game, step by step, and rules against finite differences.

The Dirac-GAN (Mescheder et al. 2018, section 2): all data at 0, the generator's one point at theta, D(x) = phi * x.
Near 0 one step of gradient descent is a 2x2 matrix on (phi, theta), worked out by hand in RULES of studies/dynamics.py.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.studies.dynamics import RULES, H, path
from genjax.systems import updates
from genjax.systems.optimizers import adam, rmsprop, sgd

in_float64 = partial(jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64, True)
STEPS = 60
OPTIMIZERS = {
  "adam": adam(learning_rate=0.05, b1=0.5, b2=0.9),
  "rmsprop": rmsprop(learning_rate=0.05, decay=0.9, momentum=0.5),
  "sgd": sgd(learning_rate=0.05, momentum=0.5),
}


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
def test_the_speed_of_convergence_is_the_largest_eigenvalue(name, low, high):
  factor = np.abs(np.linalg.eigvals(RULES[name].matrix)).max()
  assert low <= factor <= high
  norms = np.linalg.norm(_path(name), axis=1)
  assert (norms[1:] / norms[0] < 2.5 * factor ** np.arange(1, STEPS + 1)).all()
  assert norms[-1] / norms[0] > factor**STEPS / 2.5


# The bilinear game: the critic minimises -phi' A theta, the generator phi' A theta

A = np.array([[1.0, 0.5], [-0.3, 0.8]], np.float32)
BILINEAR = {
  "critic": lambda params: (-params["critic"] @ A @ params["generator"], None),
  "generator": lambda params: (params["critic"] @ A @ params["generator"], None),
}


def _bilinear(rule, steps=200):
  def body(params, _):
    params = jax.tree.map(lambda leaf, grads: leaf - H * grads, params, rule(BILINEAR, params).grads)
    return params, jnp.concatenate(list(params.values()))

  start = {"critic": jnp.array([1.0, 0.0]), "generator": jnp.array([0.0, 1.0])}
  return np.linalg.norm(jax.jit(lambda: jax.lax.scan(body, start, length=steps))()[1], axis=1)


def test_simultaneous_gradients_leave_the_bilinear_game():
  """Each singular value s of A turns its plane with modulus sqrt(1 + (h s)^2): exactly, at every step."""
  norms = _bilinear(updates.simultaneous)
  small, large = np.sqrt(1 + (H * np.linalg.svd(A)[1][::-1]) ** 2)
  ratios = norms[1:] / norms[:-1]
  assert (ratios > small - 1e-5).all()
  assert (ratios < large + 1e-5).all()


@pytest.mark.parametrize("weight", [0.5, 1.0, 2.0])
def test_consensus_solves_the_bilinear_game_at_the_speed_of_its_singular_values(weight):
  """Eigenvalues 1 - h g s^2 +- i h s: v' v = |A theta|^2 + |A' phi|^2."""
  norms = _bilinear(lambda *game: updates.consensus(*game, weight=weight))
  singular = np.linalg.svd(A)[1]
  factor = np.abs(1 - H * weight * singular**2 + 1j * H * singular).max()
  assert factor < 1
  reached = norms > 1e-6  # above rounding
  assert (norms[reached] <= 1.5 * np.sqrt(2) * factor ** np.arange(1, len(norms) + 1)[reached]).all()
  np.testing.assert_allclose((norms[50] / norms[20]) ** (1 / 30), factor, rtol=5e-3)


# Rules against finite differences


def _small_game():
  """Two nets of a few weights, nothing linear, as functions of flat parameters."""
  x = jnp.linspace(-1.0, 1.0, 5)

  def value(params):
    critic, generator = params["critic"], params["generator"]
    fake = jnp.tanh(generator[0] * x + generator[1])
    f = lambda points: critic[0] * jnp.tanh(critic[1] * points + critic[2])
    return jax.nn.softplus(-f(x + 0.5)).mean() + jax.nn.softplus(f(fake)).mean()

  return {
    "critic": lambda params: (value(params), None),
    "generator": lambda params: (-value(params) + 0.1 * (params["generator"] ** 2).sum(), "said"),
  }


CRITIC, GENERATOR = np.array([0.7, -0.4, 0.3]), np.array([0.2, -0.6])


def _numeric(f, at, step=1e-6):
  return np.array([(f(at + step * e) - f(at - step * e)) / (2 * step) for e in np.eye(len(at))])


def _unrolled(losses, params, optimizer, moments, steps):
  ahead = updates.unrolled(
    losses["generator"],
    opponent="critic",
    through=losses["critic"],
    optimizer=optimizer,
    moments=moments,
    steps=steps,
  )
  moves = updates.simultaneous({"generator": ahead}, params)
  return moves.grads["generator"], moves.aux["generator"]


@pytest.mark.parametrize(("name", "steps"), [("adam", 4), ("sgd", 3), ("rmsprop", 2)])
def test_the_unrolled_gradient_is_that_of_central_differences_through_every_step(name, steps):
  """The optimiser has moments already, and is stepped in a plain loop, not unrolled."""
  with in_float64():
    losses, plain = _small_game(), OPTIMIZERS[name]()
    moments = plain.init(jnp.asarray(CRITIC))
    _, moments = plain.update(jnp.array([0.3, -0.2, 0.1]), moments)
    critic_loss = lambda critic, generator: losses["critic"]({"critic": critic, "generator": generator})[0]

    def later(generator):
      critic, now = jnp.asarray(CRITIC), moments
      for _ in range(steps):
        changes, now = plain.update(jax.grad(critic_loss)(critic, generator), now, critic)
        critic = optax.apply_updates(critic, changes)
      return float(losses["generator"]({"critic": critic, "generator": generator})[0])

    params = {"critic": jnp.asarray(CRITIC), "generator": jnp.asarray(GENERATOR)}
    grads, aux = _unrolled(losses, params, OPTIMIZERS[name](unrolled=True), moments, steps)
    assert aux == "said"
    np.testing.assert_allclose(grads, _numeric(later, GENERATOR), rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_unrolled_optimiser_passes_a_weight_that_has_no_gradient(name):
  """Adam's root at a second moment of exactly 0 has an infinite slope: 0 times infinity is NaN."""
  dead = lambda g: jnp.zeros(()) * g[0]  # its weight has gradient 0, which still depends on g
  losses = {
    "critic": lambda params: (
      params["critic"][0] * params["generator"][0] + params["critic"][1] * dead(params["generator"]),
      None,
    ),
    "generator": lambda params: (params["critic"] @ params["critic"] + params["generator"] @ params["generator"], None),
  }
  params = {"critic": jnp.array([0.5, 0.0]), "generator": jnp.array([0.3])}
  grads = {}
  for unrolled in (True, False):
    optimizer = OPTIMIZERS[name](unrolled=unrolled)
    grads[unrolled], _ = _unrolled(losses, params, optimizer, optimizer.init(params["critic"]), 3)
  assert np.isfinite(grads[True]).all()
  assert name != "adam" or np.isnan(grads[False]).any()  # else this test would see nothing


def test_consensus_adds_the_gradient_of_half_the_squared_length_of_both_gradients():
  with in_float64():
    losses, both = _small_game(), np.concatenate([CRITIC, GENERATOR])
    split = lambda both: {"critic": jnp.asarray(both[:3]), "generator": jnp.asarray(both[3:])}
    beside = lambda moves: np.concatenate([moves.grads["critic"], moves.grads["generator"]])
    v = lambda both: beside(updates.simultaneous(losses, split(both)))
    more = _numeric(lambda both: (v(both) ** 2).sum() / 2, both)
    moves = updates.consensus(losses, split(both), weight=0.7)
    assert moves.aux["generator"] == "said"
    np.testing.assert_allclose(beside(moves), v(both) + 0.7 * more, rtol=1e-6)
