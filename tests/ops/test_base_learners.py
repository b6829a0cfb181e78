"""Heads by numpy and scipy in float64, their gradients by central differences, and what they must not depend on."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import LinearConstraint, minimize

from genjax.ops import base_learners
from genjax.ops.base_learners import head_kernels, matching, proto, r2d2, ridge, svm, weston_watkins

in_float64 = partial(jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64, True)
WAYS, DIM = 3, 6
HEADS = {
  "svm": svm,
  "svm, rbf": lambda *episode, ways: svm(*episode, ways=ways, kernel="rbf", width=2.0),
  "ridge": lambda *episode, ways: ridge(*episode, ways=ways, penalty=0.7),
  "r2d2": r2d2,
  "r2d2, polynomial": lambda *episode, ways: r2d2(*episode, ways=ways, kernel="polynomial", width=2.0),
  "proto": proto,
  "weston_watkins": lambda *episode, ways: weston_watkins(*episode, ways=ways, C=0.3),
  "matching": lambda *episode, ways: matching(*episode, ways=ways, sharpness=4.0),
}


def episode(dtype=np.float64, seed=0, counts=(2, 2, 2), queries=4):
  draw = np.random.default_rng(seed)
  labels = np.repeat(np.arange(WAYS), counts)
  support = draw.normal(size=(len(labels), DIM)) + 1.5 * np.eye(WAYS, DIM)[labels]
  return support.astype(dtype), labels, draw.normal(size=(queries, DIM)).astype(dtype)


@pytest.fixture
def double():
  with in_float64():
    yield


def test_ridge_is_the_primal_solution_and_twice_r2d2(double):
  support, labels, query = episode()
  weights = np.linalg.solve(support.T @ support + 0.7 * np.eye(DIM), support.T @ np.eye(WAYS)[labels])
  np.testing.assert_allclose(r2d2(support, labels, query, ways=WAYS, penalty=0.7), query @ weights, rtol=1e-10)
  np.testing.assert_allclose(ridge(support, labels, query, ways=WAYS, penalty=0.7), 2 * query @ weights, rtol=1e-10)


def test_ridge_keeps_seven_digits_in_float32():
  draw = np.random.default_rng(1)
  support, labels = draw.normal(size=(75, 400)).astype(np.float32), np.repeat(np.arange(5), 15)
  query = draw.normal(size=(10, 400)).astype(np.float32)
  double = support.astype(np.float64)
  expected = query @ double.T @ np.linalg.solve(double @ double.T + 50 * np.eye(75), np.eye(5)[labels])
  np.testing.assert_allclose(r2d2(support, labels, query, ways=5), expected, rtol=1e-4, atol=1e-6)


def test_prototypes_are_class_means(double):
  support, labels, query = episode(counts=(1, 2, 3))
  means = np.stack([support[labels == k].mean(0) for k in range(WAYS)])
  expected = -((query[:, None] - means) ** 2).sum(-1) / DIM
  np.testing.assert_allclose(proto(support, labels, query, ways=WAYS), expected, rtol=1e-12)


def test_matching_is_attention_over_cosines(double):
  support, labels, query = episode(counts=(1, 2, 3))
  cosine = query @ support.T / np.linalg.norm(query, axis=1)[:, None] / np.linalg.norm(support, axis=1)
  attention = np.exp(cosine) / np.exp(cosine).sum(1, keepdims=True)
  expected = np.log(np.stack([attention[:, labels == k].sum(1) for k in range(WAYS)], 1))
  np.testing.assert_allclose(matching(support, labels, query, ways=WAYS), expected, rtol=1e-12)


def test_matching_is_finite_at_features_of_zero_and_so_is_its_gradient():
  support, labels, query = episode(np.float32)
  value = lambda support, query: matching(support, labels, query, ways=WAYS).sum()
  gradients = jax.grad(value, (0, 1))(jnp.zeros_like(support), jnp.zeros_like(query))
  assert all(np.isfinite(leaf).all() for leaf in gradients)


def test_svm_logits_are_those_of_the_primal_by_scipy(double):
  """min |W|^2 / 2 + C sum of slacks, with slack_i >= 1 - delta(k, y_i) - (w_{y_i} - w_k) x_i."""
  support, labels, query = episode()
  count = len(labels)
  rows, least = [], []
  for i, k in np.ndindex(count, WAYS):
    if k != labels[i]:
      row = np.zeros((WAYS, DIM))
      row[labels[i]], row[k] = support[i], -support[i]
      rows.append(np.concatenate([row.ravel(), np.eye(count)[i]]))
      least.append(1)
  size = WAYS * DIM
  result = minimize(
    lambda v: v[:size] @ v[:size] / 2 + 0.3 * v[size:].sum(),
    np.concatenate([np.zeros(size), 2 * np.ones(count)]),
    jac=lambda v: np.concatenate([v[:size], np.full(count, 0.3)]),
    bounds=[(None, None)] * size + [(0, None)] * count,
    constraints=LinearConstraint(np.array(rows), least, np.inf),
    method="SLSQP",
    options={"ftol": 1e-14, "maxiter": 500},
  )
  assert result.success
  expected = query @ result.x[:size].reshape(WAYS, DIM).T
  np.testing.assert_allclose(svm(support, labels, query, ways=WAYS, C=0.3), expected, atol=1e-6)


def test_weston_watkins_logits_are_those_of_the_primal_by_scipy(double):
  """min |W|^2 / 2 + C sum_i sum_{k != y_i} max(0, 2 - (w_{y_i} - w_k) x_i)."""
  support, labels, query = episode()
  extended = np.concatenate([support, np.ones((len(support), 1))], 1)
  pairs = [(i, k) for i, k in np.ndindex(len(labels), WAYS) if k != labels[i]]
  size = WAYS * (DIM + 1)
  rows = []
  for number, (i, k) in enumerate(pairs):
    row = np.zeros((WAYS, DIM + 1))
    row[labels[i]], row[k] = extended[i], -extended[i]
    rows.append(np.concatenate([row.ravel(), np.eye(len(pairs))[number]]))
  result = minimize(
    lambda v: v[:size] @ v[:size] / 2 + 0.3 * v[size:].sum(),
    np.concatenate([np.zeros(size), 3 * np.ones(len(pairs))]),
    jac=lambda v: np.concatenate([v[:size], np.full(len(pairs), 0.3)]),
    bounds=[(None, None)] * size + [(0, None)] * len(pairs),
    constraints=LinearConstraint(np.array(rows), 2, np.inf),
    method="SLSQP",
    options={"ftol": 1e-14, "maxiter": 500},
  )
  assert result.success
  weights = result.x[:size].reshape(WAYS, DIM + 1)
  expected = np.concatenate([query, np.ones((len(query), 1))], 1) @ weights.T
  np.testing.assert_allclose(weston_watkins(support, labels, query, ways=WAYS, C=0.3), expected, atol=1e-6)


@pytest.mark.parametrize("name", HEADS)
def test_gradients_are_central_differences(double, name):
  support, labels, query = episode()
  weights = np.random.default_rng(5).normal(size=(len(query), WAYS))
  value = lambda support, query: (HEADS[name](support, labels, query, ways=WAYS) * weights).sum()
  gradients = jax.jit(jax.grad(value, (0, 1)))(support, query)
  along = [np.random.default_rng(6).normal(size=part.shape) for part in (support, query)]
  step = jax.jit(lambda t: value(support + t * along[0], query + t * along[1]))
  difference = (step(1e-5) - step(-1e-5)) / 2e-5
  ours = sum((a * b).sum() for a, b in zip(gradients, along, strict=True))
  np.testing.assert_allclose(ours, difference, rtol=2e-5)


@pytest.mark.parametrize("name", HEADS)
def test_the_order_of_supports_and_of_features_does_not_matter(double, name):
  support, labels, query = episode(counts=(1, 2, 3))
  head = jax.jit(lambda *parts: HEADS[name](*parts, ways=WAYS))
  draw = np.random.default_rng(3)
  rows, columns = draw.permutation(len(labels)), draw.permutation(DIM)
  logits = head(support, labels, query)
  np.testing.assert_allclose(head(support[rows], labels[rows], query), logits, atol=1e-7)
  np.testing.assert_allclose(head(support[:, columns], labels, query[:, columns]), logits, atol=1e-7)


@pytest.mark.parametrize("name", HEADS)
def test_other_names_of_classes_permute_the_logits(double, name):
  support, labels, query = episode(counts=(1, 2, 3))
  head = jax.jit(lambda *parts: HEADS[name](*parts, ways=WAYS))
  names = np.array([2, 0, 1])
  np.testing.assert_allclose(head(support, names[labels], query)[:, names], head(support, labels, query), atol=1e-7)


@pytest.mark.parametrize("name", HEADS)
def test_float32_agrees_with_float64(name):
  episode_64 = episode()
  with in_float64():
    expected = np.asarray(HEADS[name](*episode_64, ways=WAYS))
  single = HEADS[name](
    *(part.astype(np.float32) if part.dtype == np.float64 else part for part in episode_64), ways=WAYS
  )
  assert single.dtype == jnp.float32
  np.testing.assert_allclose(single, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", HEADS)
def test_a_label_without_a_class_gives_nan(name):
  support, labels, query = episode(np.float32)
  logits = HEADS[name](support, np.append(labels[:-1], WAYS), query, ways=WAYS)
  assert np.isnan(logits).any(1).all()


def test_an_unknown_kernel_is_refused():
  with pytest.raises(ValueError, match="polynomial"):
    svm(*episode(np.float32), ways=WAYS, kernel="sigmoid")


def test_pieces_for_bench_name_shots_and_run():
  pieces = head_kernels(jax.random.key(0))
  assert {"svm, 1 shots", "svm, 5 shots", "svm, 15 shots"} <= set(pieces)
  piece = pieces["proto, 1 shots"]
  support, query = piece.fn(*piece.args)
  assert support.shape == (8, 5, 1600)
  assert jnp.isfinite(query).all()
  assert set(base_learners.KERNELS) == {"linear", "rbf", "polynomial"}
