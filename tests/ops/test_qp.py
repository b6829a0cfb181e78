"""The general solver: KKT conditions by numpy, other solvers, central differences."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from genjax.ops import qp, svm

in_float64 = partial(jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64, True)
solve = jax.jit(qp.solve_qp)  # one program for a shape


def program(variables=8, inequalities=10, equalities=3, *, seed=0, rank=None):
  """A random program with a strictly feasible point and a bounded minimum."""
  rng = np.random.default_rng(seed)
  half = rng.normal(size=(variables, rank or variables))
  inside = rng.normal(size=variables)
  G, A = rng.normal(size=(inequalities, variables)), rng.normal(size=(equalities, variables))
  q = 2 * half @ rng.normal(size=half.shape[1]) - G.T @ rng.uniform(size=inequalities)
  return half @ half.T, q, G, G @ inside + rng.uniform(size=inequalities), A, A @ inside


def worst(parts, result):
  """The largest violation of the conditions of optimality, in float64."""
  Q, q, G, h, A, b = parts
  z, inequality, equality = (np.asarray(x, np.float64) for x in (result.solution, result.inequality, result.equality))
  slack = h - G @ z
  gaps = [Q @ z + q + G.T @ inequality + A.T @ equality, np.minimum(slack, 0), np.minimum(inequality, 0)]
  gaps += [slack * inequality, A @ z - b]
  return max(np.abs(gap).max(initial=0.0) for gap in gaps)


def solved(parts, dtype):
  """The solution from a jitted call in `dtype`."""
  with in_float64():
    return solve(*(jnp.asarray(part, dtype) for part in parts))


@pytest.mark.parametrize(("sizes", "rank"), [((8, 10, 3), None), ((8, 10, 3), 5), ((5, 0, 3), None), ((5, 4, 0), None)])
def test_the_solution_meets_the_optimality_conditions(sizes, rank):
  parts = program(*sizes, rank=rank)
  double, single = solved(parts, jnp.float64), solved(parts, jnp.float32)
  assert bool(double.converged)
  assert bool(single.converged)
  assert worst(parts, double) < 1e-8
  assert float(single.residuals.max()) <= 2e-6
  np.testing.assert_allclose(single.solution, double.solution, rtol=1e-4, atol=1e-4)
  assert int(double.iterations) < 40


def test_a_linear_program_is_linprogs():
  _, _, G, h, A, b = program(6, 14, 2, seed=3)
  q = -G.T @ np.random.default_rng(4).uniform(size=14)
  result = solved((np.zeros((6, 6)), q, G, h, A, b), jnp.float64)
  other = scipy.optimize.linprog(q, G, h, A, b, bounds=(None, None))
  assert bool(result.converged)
  np.testing.assert_allclose(result.solution, other.x, atol=1e-7)


def test_a_projection_on_the_simplex_is_known():
  """The point of the simplex nearest to (0.9, 0.5, -1): the last is cut, the others move alike."""
  result = solved((np.eye(3), -np.array([0.9, 0.5, -1.0]), -np.eye(3), np.zeros(3), np.ones((1, 3)), np.ones(1)), float)
  np.testing.assert_allclose(result.solution, [0.7, 0.3, 0.0], atol=1e-9)
  np.testing.assert_allclose(result.inequality, [0.0, 0.0, 1.2], atol=1e-9)
  np.testing.assert_allclose(result.equality, [0.2], atol=1e-9)


@pytest.mark.parametrize("rank", [6, 4])
def test_gradients_are_the_central_differences(rank):
  parts = program(6, 8, 2, rank=rank)
  rng = np.random.default_rng(5)
  weights = rng.normal(size=6)
  with in_float64():
    loss = lambda *parts: (weights * jnp.sin(solve(*parts).solution)).sum()
    gradients = jax.grad(loss, tuple(range(6)))(*map(jnp.asarray, parts))
    for index, (part, gradient) in enumerate(zip(parts, gradients, strict=True)):
      way = rng.normal(size=part.shape)
      way = parts[0] @ (way + way.T) @ parts[0] / 20 if index == 0 else way  # Q stays semi-definite
      ends = [loss(*parts[:index], part + h * way, *parts[index + 1 :]) for h in (1e-6, -1e-6)]
      np.testing.assert_allclose((gradient * way).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-8)


def test_float32_gradients_are_right_to_four_digits():
  parts = program(10, 15, 3, seed=7)
  weights = np.random.default_rng(1).normal(size=10)
  result = []
  for dtype in (jnp.float32, jnp.float64):
    with in_float64():
      cast = [jnp.asarray(part, dtype) for part in parts]
      gradient = jax.jit(
        jax.grad(lambda *p: (jnp.asarray(weights, p[0].dtype) * qp.solve_qp(*p).solution).sum(), (0, 1))
      )
      result.append([np.asarray(part, np.float64) for part in gradient(*cast)])
  for single, double in zip(*result, strict=True):
    assert np.linalg.norm(single - double) <= 1e-4 * np.linalg.norm(double)


def test_the_structured_svm_is_the_general_solvers_in_value_and_gradient():
  rng = np.random.default_rng(0)
  labels = np.repeat(np.arange(3), 3)
  onehot = np.eye(3)[labels]
  features, weights = rng.normal(size=(9, 6)) + 2 * onehot @ rng.normal(size=(3, 6)), rng.normal(size=(9, 3))

  def general(features, C):
    gram = jnp.matmul(features, features.T, precision="highest") + 0.1 * jnp.eye(9)
    rows = jnp.kron(jnp.eye(9), jnp.ones((1, 3)))
    result = qp.solve_qp(
      jnp.kron(gram, jnp.eye(3)), -jnp.ravel(onehot), jnp.eye(27), C * jnp.ravel(onehot), rows, jnp.zeros(9)
    )
    return result.solution.reshape(9, 3)

  def structured(features, C):
    return svm.svm_dual(features, jnp.asarray(labels), ways=3, C=C, ridge=0.1).alpha

  def loss(features, C, dual):
    alpha = dual(features, C)
    return (weights * alpha).sum(), alpha

  with in_float64():
    result = []
    for dual in (general, structured):
      slopes = jax.jit(jax.grad(partial(loss, dual=dual), (0, 1), has_aux=True))
      (of_features, of_bound), alpha = slopes(jnp.asarray(features), 0.1)
      result.append((alpha, of_features, of_bound))
  for one, other in zip(*result, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("options", [{}, {"iterations": 15}])
def test_a_batch_is_its_problems_and_a_nan_stays_in_its_own(options):
  many = [program(6, 8, 2, seed=seed) for seed in range(3)]
  batch = [np.stack(part).astype(np.float32) for part in zip(*many, strict=True)]
  batch[1][1, 0] = np.nan
  result = jax.jit(jax.vmap(partial(qp.solve_qp, **options)))(*batch)
  assert list(result.converged) == [True, False, True]
  assert np.isnan(result.solution[1]).all()
  alone = solved(many[2], jnp.float64)
  np.testing.assert_allclose(result.solution[2], alone.solution, atol=1e-4)


def test_no_shape_of_a_batch_hides_a_nan():
  """256 variables and 16 programs: a shape for which `max` drops NaN on a CPU with jaxlib 0.10."""
  q = np.random.default_rng(0).normal(size=(16, 256)).astype(np.float32)
  q[0, 3] = np.nan
  none = jnp.zeros((0, 256)), jnp.zeros(0)
  result = jax.jit(jax.vmap(lambda q: qp.solve_qp(jnp.eye(256), q, *none, *none, iterations=1)))(q)
  np.testing.assert_array_equal(result.converged, np.arange(16) > 0)


def test_a_program_without_a_feasible_point_ends_unconverged():
  result = solved(
    (np.eye(1), np.zeros(1), np.array([[1.0], [-1.0]]), np.array([-1.0, -1.0]), np.zeros((0, 1)), []), float
  )
  assert not result.converged


def test_wrong_shapes_are_refused():
  parts = [jnp.asarray(part) for part in program()]
  with pytest.raises(ValueError, match=r"wanted \[v, v\]"):
    qp.solve_qp(*parts[:3], parts[3][:-1], *parts[4:])
  with pytest.raises(ValueError, match="iterations is 0"):
    qp.solve_qp(*parts, iterations=0)
