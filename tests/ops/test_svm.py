"""The SVM's dual: its optimality conditions by numpy, its gradients by central differences, the released truncation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ops import kernels, svm

in_float64 = partial(jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64, True)

solve = jax.jit(svm.svm_dual_from_gram, static_argnames=("ways", "iterations", "mode"))  # one program for a shape


def dual_of(features, labels, **options):
  """`svm_dual` by the shared program, which does not depend on the number of features."""
  return solve(kernels.linear(features, features), jnp.asarray(labels), **options)


def episode(ways=5, shots=5, dims=100, *, scale=1.0, seed=0):
  """Supports round a mean for each class, and their labels."""
  rng = np.random.default_rng(seed)
  labels = np.repeat(np.arange(ways), shots)
  features = 0.5 * rng.normal(size=(ways, dims))[labels] + rng.normal(size=(len(labels), dims))
  return scale * features, labels


def conditions(gram, labels, ways, C, ridge, alpha):
  """The worst violation of eq 4.10's optimality by alpha alone, in float64: the multipliers are result from alpha."""
  alpha = np.asarray(alpha, np.float64)
  onehot = np.eye(ways)[labels]
  unit = min(C, len(gram) / (np.trace(gram) + ridge * len(gram)))
  slope = onehot - (gram @ alpha + ridge * alpha)  # = multiplier + shift
  room = C * onehot - alpha
  free = room > 1e-5 * unit  # where the multiplier is 0, so the slope is the shift
  assert free.any(1).all()
  high = np.where(free, slope, -np.inf).max(1)
  low = np.where(free, slope, np.inf).min(1)
  below = (high[:, None] - slope).max()  # no multiplier is negative
  return max(np.abs(alpha.sum(1)).max() / unit, -room.min() / unit, (high - low).max(), below)


@pytest.mark.parametrize(
  ("ways", "shots", "dims", "scale", "C", "ridge"),
  [
    (5, 5, 1600, 1.0, 0.1, 1.0),
    (5, 5, 10, 1.0, 0.1, 0.0),  # more supports than features: K is singular, some alpha at the bound
    (2, 5, 100, 1.0, 0.1, 0.0),
    (20, 1, 100, 1.0, 0.1, 0.0),
    (5, 5, 100, 1e-4, 0.1, 0.0),
    (5, 5, 100, 1e4, 0.1, 0.0),
    (5, 5, 100, 1.0, 1e-3, 0.0),
    (5, 5, 100, 1.0, 1e3, 0.0),
  ],
)
def test_the_solution_meets_the_optimality_conditions(ways, shots, dims, scale, C, ridge):
  features, labels = episode(ways, shots, dims, scale=scale)
  options = {"ways": ways, "C": C, "ridge": ridge}
  with in_float64():
    single, double = (dual_of(jnp.asarray(features, dtype), labels, **options) for dtype in (jnp.float32, jnp.float64))
  assert bool(single.converged)
  assert bool(double.converged)
  assert float(single.residual) <= 2e-6
  assert float(double.residual) <= 1e-10
  assert conditions(features @ features.T, labels, ways, C, ridge, double.alpha) < 1e-9
  np.testing.assert_allclose(single.alpha, double.alpha, atol=3e-6 * np.abs(double.alpha).max())


def loss_of(labels, queries, weights, **options):
  """A smooth function of the logits of queries, which are apart from the supports."""

  def loss(features, C):
    alpha = dual_of(features, labels, C=C, **options).alpha
    logits = jnp.matmul(jnp.matmul(queries, features.T, precision="highest"), alpha, precision="highest")
    return (weights * jnp.tanh(logits)).sum()

  return loss


@pytest.mark.parametrize(("dims", "ridge"), [(40, 1.0), (8, 0.0)])
def test_gradients_are_the_central_differences(dims, ridge):
  features, labels = episode(5, 5, dims)
  rng = np.random.default_rng(1)
  queries, weights = rng.normal(size=(7, dims)), rng.normal(size=(7, 5))
  with in_float64():
    loss = loss_of(labels, jnp.asarray(queries), jnp.asarray(weights), ways=5, ridge=ridge)
    of_features, of_bound = jax.grad(loss, (0, 1))(jnp.asarray(features), 0.05)
    way, h = rng.normal(size=features.shape), 1e-6
    along = (loss(features + h * way, 0.05) - loss(features - h * way, 0.05)) / (2 * h)
    np.testing.assert_allclose((of_features * way).sum(), along, rtol=1e-6, atol=1e-8)
    along = (loss(features, 0.05 + h) - loss(features, 0.05 - h)) / (2 * h)
    np.testing.assert_allclose(of_bound, along, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dims", [1600, 30, 10])
def test_float32_gradients_are_right_to_four_digits(dims):
  features, labels = episode(5, 5, dims)
  queries, weights = episode(5, 3, dims, seed=2)[0], np.random.default_rng(1).normal(size=(15, 5))
  result = []
  for dtype in (jnp.float32, jnp.float64):
    with in_float64():
      parts = [jnp.asarray(part, dtype) for part in (queries, weights, features, 0.1)]
      gradient = jax.grad(loss_of(labels, *parts[:2], ways=5, ridge=0.0))
      result.append(np.asarray(gradient(*parts[2:]), np.float64))
  single, double = result
  assert np.linalg.norm(single - double) <= 1e-4 * np.linalg.norm(double)


def test_the_gradient_to_the_ridge_is_that_to_the_diagonal():
  features, labels = episode(5, 5, 20)
  with in_float64():
    gram, weights = jnp.asarray(features @ features.T), np.random.default_rng(0).normal(size=(25, 5))
    loss = lambda gram, ridge: (weights * solve(gram, jnp.asarray(labels), ways=5, C=0.1, ridge=ridge).alpha).sum()
    of_gram, of_ridge = jax.grad(loss, (0, 1))(gram, 0.5)
    np.testing.assert_allclose(jnp.trace(of_gram), of_ridge, rtol=1e-12)
    np.testing.assert_allclose(of_ridge, (loss(gram, 0.5 + 1e-6) - loss(gram, 0.5 - 1e-6)) / 2e-6, rtol=1e-6)


def test_qpths_one_iteration_is_ridge_regression_on_centred_labels():
  features, labels = episode(5, 5, 40)
  with in_float64():
    dual = dual_of(jnp.asarray(features), labels, ways=5, ridge=1.0, mode="qpth", iterations=1)
  expected = 1.1 * np.linalg.solve(features @ features.T + 2 * np.eye(25), np.eye(5)[labels] - 0.2)
  np.testing.assert_allclose(dual.alpha, expected, rtol=1e-11, atol=1e-14)
  assert not dual.converged


def test_qpths_iterations_near_the_optimum_as_in_the_reference():
  features, labels = episode(5, 5, 40)
  with in_float64():
    data = jnp.asarray(features), labels
    best = dual_of(*data, ways=5, C=0.1, ridge=1.0).alpha
    truncated = partial(dual_of, *data, ways=5, ridge=1.0, mode="qpth")
    error = [float(jnp.linalg.norm(truncated(iterations=m).alpha - best) / jnp.linalg.norm(best)) for m in (1, 3, 15)]
  assert error[0] > error[1] > 1e-3
  assert error[2] < 1e-9


def published(gram, onehot, C, iterations):
  """qpth's iteration in numpy on the whole KKT matrix, [n k] variables: the best of the points that it evaluates."""
  (n, k), lift = onehot.shape, lambda v: v - v.min() + 1 if v.min() < 0 else v
  Q, A, G = np.kron(gram + np.eye(n), np.eye(k)), np.kron(np.eye(n), np.ones(k)), np.eye(n * k)
  p, h = -onehot.ravel(), C * onehot.ravel()

  def kkt(d, rx, rs, rz, ry):
    """Q x + G's multiplier z + A' y = -rx, d s + z = -rs, G x + s = -rz, A x = -ry."""
    v, none, eye = n * k, np.zeros, np.eye(n * k)
    rows = [[Q, none((v, v)), G.T, A.T], [none((v, v)), np.diag(d), eye, none((v, n))]]
    rows += [[G, eye, none((v, v)), none((v, n))], [A, none((n, v)), none((n, v)), none((n, n))]]
    return np.split(np.linalg.solve(np.block(rows), -np.concatenate([rx, rs, rz, ry])), [v, 2 * v, 3 * v])

  x, s, z, y = kkt(np.ones(n * k), p, 0 * h, -h, np.zeros(n))
  s, z, best = lift(s), lift(z), (np.inf, None)
  for _ in range(iterations):
    rx, rz, ry = Q @ x + p + G.T @ z + A.T @ y, G @ x + s - h, A @ x
    size = sum(map(np.linalg.norm, (rx, rz, ry))) + abs(s @ z)
    best = (size, x) if size < best[0] else best
    reach = lambda v, dv: min((-v[dv < 0] / dv[dv < 0]).min(initial=np.inf), np.inf)
    dx, ds, dz, dy = kkt(z / s, rx, z, rz, ry)
    a = min(1.0, reach(s, ds), reach(z, dz))
    sigma = ((s + a * ds) @ (z + a * dz) / (s @ z)) ** 3
    more = kkt(z / s, 0 * x, (ds * dz - sigma * (s @ z) / len(s)) / s, 0 * h, 0 * y)
    dx, ds, dz, dy = (one + other for one, other in zip((dx, ds, dz, dy), more, strict=True))
    a = min(1.0, 0.999 * min(reach(s, ds), reach(z, dz)))
    x, s, z, y = x + a * dx, s + a * ds, z + a * dz, y + a * dy
  return best[1].reshape(n, k)


@pytest.mark.parametrize("iterations", [2, 3, 4])
def test_qpths_points_are_the_published_iterations(iterations):
  features, labels = episode(3, 3, 12)
  with in_float64():
    ours = dual_of(jnp.asarray(features), labels, ways=3, ridge=1.0, mode="qpth", iterations=iterations).alpha
  np.testing.assert_allclose(ours, published(features @ features.T, np.eye(3)[labels], 0.1, iterations), atol=1e-10)


def test_a_fixed_count_reaches_the_same_solution():
  features, labels = episode(5, 5, 50)
  with in_float64():
    fixed, free = (dual_of(jnp.asarray(features), labels, ways=5, C=0.1, ridge=0.0, iterations=m) for m in (25, None))
  np.testing.assert_allclose(fixed.alpha, free.alpha, atol=1e-10)


def test_duplicate_supports_share_one_weight_vector():
  """Five times the same support has the weight of one with five times the bound: alpha is not unique, weights are."""
  features, labels = episode(5, 1, 20)
  once = dual_of(jnp.asarray(features, jnp.float32), labels, ways=5, C=0.5, ridge=0.0)
  features, labels = jnp.asarray(np.tile(features, (5, 1)), jnp.float32), np.tile(labels, 5)
  both = dual_of(features, labels, ways=5, C=0.1, ridge=0.0)
  assert bool(both.converged)
  np.testing.assert_allclose(features.T @ both.alpha, features[:5].T @ once.alpha, atol=1e-5)
  weights = lambda x: jnp.matmul(x.T, dual_of(x, labels, ways=5, C=0.1, ridge=0.0).alpha, precision="highest")
  assert np.isfinite(jax.grad(lambda x: (weights(x) ** 2).sum())(features)).all()


def test_unequal_shots_and_a_class_without_any_are_solved():
  features, _ = episode(5, 5, 20)
  labels = np.repeat([0, 1, 2, 3], [17, 5, 2, 1])
  with in_float64():
    dual = dual_of(jnp.asarray(features), labels, ways=5, C=0.1, ridge=0.0)
  assert bool(dual.converged)
  assert conditions(features @ features.T, labels, 5, 0.1, 0.0, dual.alpha) < 1e-9


def test_zero_features_and_a_hard_case_end_without_a_hang():
  features, labels = episode(5, 5, 10, scale=1e4)
  zeros = dual_of(jnp.zeros((25, 10)), labels, ways=5, C=0.1, ridge=0.0)
  assert bool(zeros.converged)
  hard = dual_of(jnp.asarray(features, jnp.float32), labels, ways=5, C=1e3, ridge=0.0)
  assert np.isfinite(hard.alpha).all()


@pytest.mark.parametrize("options", [{}, {"iterations": 10}, {"mode": "qpth", "iterations": 3}])
def test_a_nan_stays_in_its_own_problem_of_a_batch(options):
  features, labels = episode(3, 2, 10)
  batch = jnp.asarray(np.stack([features, features]), jnp.float32).at[0, 0, 0].set(jnp.nan)
  dual = jax.jit(jax.vmap(partial(svm.svm_dual, labels=jnp.asarray(labels), ways=3, **options)))(batch)
  assert np.isnan(dual.alpha[0]).all()
  assert not dual.converged[0]
  assert np.isfinite(dual.alpha[1]).all()
  assert bool(dual.converged[1]) == (options.get("mode") != "qpth")


def test_no_shape_of_a_batch_hides_a_nan_or_a_label_without_a_class():
  """20 ways, 1 shot and 16 episodes: a shape for which `max` drops NaN on a CPU with jaxlib 0.10."""
  labels = jnp.tile(jnp.arange(20), (16, 1)).at[1, 2].set(20)
  batch = jnp.asarray(np.random.default_rng(0).normal(size=(16, 20, 40)), jnp.float32).at[0, 3, 5].set(jnp.nan)
  dual = jax.jit(jax.vmap(partial(svm.svm_dual, ways=20)))(batch, labels)
  np.testing.assert_array_equal(dual.converged, np.arange(16) > 1)
  np.testing.assert_array_equal(np.isfinite(dual.alpha).all((1, 2)), np.arange(16) > 1)
  np.testing.assert_array_equal(np.isfinite(dual.residual), np.arange(16) > 1)


@pytest.mark.parametrize("kernel", [kernels.rbf(4.0), kernels.polynomial(2, scale=0.1)])
def test_a_kernel_takes_the_place_of_inner_products(kernel):
  features, labels = episode(3, 3, 20)
  with in_float64():
    x = jnp.asarray(features)
    dual = jax.jit(partial(svm.svm_dual, ways=3, kernel=kernel))(x, jnp.asarray(labels))
    gram = np.asarray(kernel(x, x))
  assert conditions(gram, labels, 3, 0.1, 0.0, dual.alpha) < 1e-9


def test_kernels_are_their_formulas():
  a, b = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
  apart = ((a[:, None] - b[None]) ** 2).sum(-1)
  np.testing.assert_allclose(kernels.rbf(2.0)(a, b), np.exp(-apart / 8), rtol=1e-5)
  np.testing.assert_allclose(kernels.polynomial(3, scale=0.5)(a, b), (0.5 * a @ b.T + 1) ** 3, rtol=1e-4, atol=1e-5)


def test_wrong_shapes_and_names_are_refused():
  with pytest.raises(ValueError, match=r"jax\.vmap"):
    svm.svm_dual(jnp.zeros((2, 3, 4)), jnp.zeros((2, 3), int), ways=3)
  with pytest.raises(ValueError, match="ways is 1"):
    svm.svm_dual(jnp.zeros((3, 4)), jnp.zeros(3, int), ways=1)
  with pytest.raises(ValueError, match="'exact' or 'qpth'"):
    svm.svm_dual(jnp.zeros((3, 4)), jnp.zeros(3, int), ways=2, mode="fast")
