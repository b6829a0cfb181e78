"""Every rule in numpy, the learning rate at every update, and settings that are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.objectives.rows import ROWS
from genjax.systems.optimizers import adam, rmsprop, sgd

GRADS = [0.3, -0.5, 0.2, 0.4]
START = 2.0


def moved(rule, grads=GRADS, start=START):
  """The weight after each update."""
  weight, path = jnp.float32(start), []
  moments = rule.init(weight)
  for grad in grads:
    updates, moments = rule.update(jnp.float32(grad), moments, weight)
    weight = optax.apply_updates(weight, updates)
    path.append(float(weight))
  return path


def adam_in_numpy(value, b1, b2, eps, weight_decay=0.0):
  weight, mean, square, path = START, 0.0, 0.0, []
  for t, grad in enumerate(GRADS, 1):
    mean, square = b1 * mean + (1 - b1) * grad, b2 * square + (1 - b2) * grad**2
    step = mean / (1 - b1**t) / (np.sqrt(square / (1 - b2**t)) + eps)
    weight -= value * (step + weight_decay * weight)
    path.append(weight)
  return path


def rmsprop_in_numpy(value, decay, momentum, eps, inside, weight_decay=0.0):
  weight, square, buffer, path = START, 0.0, 0.0, []
  for grad in GRADS:
    grad += weight_decay * weight
    square = decay * square + (1 - decay) * grad**2
    buffer = momentum * buffer - value * grad / (np.sqrt(square + eps) if inside else np.sqrt(square) + eps)
    weight += buffer
    path.append(weight)
  return path


def sgd_in_numpy(rates, momentum, nesterov, weight_decay=0.0):
  weight, buffer, path = START, 0.0, []
  for value, grad in zip(rates, GRADS, strict=True):
    grad += weight_decay * weight
    buffer = momentum * buffer + grad
    weight -= value * (grad + momentum * buffer if nesterov else buffer)
    path.append(weight)
  return path


@pytest.mark.parametrize(
  ("optimizer", "expected"),
  [
    (adam(learning_rate=0.1, b1=0.5, b2=0.9, eps=1e-3), adam_in_numpy(0.1, 0.5, 0.9, 1e-3)),
    (adam(learning_rate=0.1, weight_decay=0.3), adam_in_numpy(0.1, 0.9, 0.999, 1e-8, 0.3)),
    (rmsprop(learning_rate=0.1, eps=0.01, eps_in_sqrt=True), rmsprop_in_numpy(0.1, 0.9, 0.0, 0.01, True)),
    (
      rmsprop(learning_rate=0.1, decay=0.5, momentum=0.3, eps=0.01, weight_decay=0.2),
      rmsprop_in_numpy(0.1, 0.5, 0.3, 0.01, False, 0.2),
    ),
    (sgd(learning_rate=0.1), sgd_in_numpy([0.1] * 4, 0.0, False)),
    (sgd(learning_rate=0.1, momentum=0.8), sgd_in_numpy([0.1] * 4, 0.8, False)),
    (  # of MetaOptNet
      sgd(
        learning_rate=0.5, momentum=0.9, nesterov=True, weight_decay=0.01, schedule="steps", drops=((2, 0.1), (3, 0.01))
      ),
      sgd_in_numpy([0.5, 0.5, 0.05, 0.005], 0.9, True, 0.01),
    ),
  ],
)
def test_a_rule_moves_a_weight_as_its_formula_says(optimizer, expected):
  np.testing.assert_allclose(moved(optimizer()), expected, rtol=1e-5)


@pytest.mark.parametrize("row", ["wasserstein", "mmd_gan"])
def test_the_rows_with_clipped_weights_move_as_in_the_authors_code_at_gradients_of_a_hundred_thousandth(row):
  """torch.optim.RMSprop(lr=5e-5): alpha 0.99, and 1e-8 beside the root. Under it weights move 30 times less."""
  section = dict(ROWS[row].needs["optimizer"])
  assert section.pop("name") == "rmsprop"
  grads = [1e-5 * grad for grad in GRADS]
  square, weight, path = 0.0, 0.0, []
  for grad in grads:
    square = 0.99 * square + 0.01 * grad**2
    weight -= 5e-5 * grad / (np.sqrt(square) + 1e-8)
    path.append(weight)
  np.testing.assert_allclose(moved(rmsprop(**section)(), grads, 0.0), path, rtol=1e-5)


@pytest.mark.parametrize(
  ("settings", "updates_per_step", "expected"),
  [
    ({}, 3, [1, 1, 1, 1, 1, 1, 1, 1]),
    ({"decay_steps": 2}, 1, [1, 1, 1, 1, 1, 1, 1, 1]),  # the length of the run decides nothing of a constant
    ({"schedule": "linear", "decay_steps": 2}, 2, [1, 0.75, 0.5, 0.25, 0, 0, 0, 0]),
    ({"schedule": "cosine", "decay_steps": 4}, 1, [*(np.cos(np.arange(4) * np.pi / 4) / 2 + 0.5), 0, 0, 0, 0]),
    ({"schedule": "steps", "drops": ((1, 0.5), (3, 0.2))}, 2, [1, 1, 0.5, 0.5, 0.5, 0.5, 0.2, 0.2]),
    ({"schedule": "steps"}, 1, [1, 1, 1, 1, 1, 1, 1, 1]),
    ({"warmup_steps": 2}, 2, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
    ({"warmup_steps": 2, "schedule": "linear", "decay_steps": 8}, 1, [0.5, 0.875, *(1 - np.arange(2, 8) / 8)]),
  ],
)
def test_a_schedule_counts_steps_of_the_run_whatever_the_updates_of_a_step(settings, updates_per_step, expected):
  rule = sgd(learning_rate=2.0, **settings)(updates_per_step)
  place = np.array(moved(rule, [1.0] * 8, 0.0))
  np.testing.assert_allclose(-np.diff(place, prepend=0.0), 2.0 * np.array(expected, float), atol=1e-5)


def test_gradients_are_clipped_by_the_norm_of_all_leaves():
  rule = sgd(learning_rate=1.0, clip_norm=1.0)()
  weights = {"a": jnp.zeros(2), "b": jnp.zeros(())}
  for grads, norm in (([3.0, 0.0, 4.0], 5.0), ([0.3, 0.0, 0.4], 1.0)):
    updates, _ = rule.update({"a": jnp.array(grads[:2]), "b": jnp.array(grads[2])}, rule.init(weights), weights)
    np.testing.assert_allclose([*updates["a"], updates["b"]], -np.array(grads) / norm, rtol=1e-6)


OPTIMIZERS = {"adam": adam, "rmsprop": rmsprop, "sgd": sgd}


@pytest.mark.parametrize(
  ("name", "settings"), [("adam", {}), ("rmsprop", {}), ("rmsprop", {"eps_in_sqrt": True}), ("sgd", {"momentum": 0.5})]
)
def test_an_unrolled_rule_has_the_same_state_and_updates_and_a_derivative_at_a_gradient_of_zero(name, settings):
  optimizer = OPTIMIZERS[name](learning_rate=0.1, **settings)
  plain, smooth = optimizer(), optimizer(unrolled=True)
  start = jnp.zeros(())
  assert jax.tree.structure(plain.init(start)) == jax.tree.structure(smooth.init(start))
  np.testing.assert_allclose(moved(smooth), moved(plain), rtol=1e-5)
  slope = jax.grad(lambda grad: smooth.update(grad, smooth.init(start), start)[0])(jnp.float32(0.0))
  assert np.isfinite(slope)


def test_a_constant_learning_rate_adds_nothing_to_the_state():
  assert len(jax.tree.leaves(sgd(learning_rate=0.1)().init(jnp.zeros(())))) == 0


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"learning_rate": 0.0}, "learning_rate 0.0; use a number above 0"),
    ({"learning_rate": float("nan")}, "learning_rate nan"),
    ({"warmup_steps": -1}, "warmup_steps -1"),
    ({"schedule": "exponential"}, "schedule 'exponential'; use 'constant', 'linear', 'cosine' or 'steps'"),
    ({"schedule": "linear"}, "set decay_steps"),
    ({"schedule": "cosine", "decay_steps": 0}, "set decay_steps"),
    ({"decay_steps": -5}, "decay_steps -5"),
    ({"drops": ((5, 0.1),)}, "schedule='steps'"),
    ({"schedule": "steps", "drops": ((5, 0.1), (3, 0.1))}, "rise"),
    ({"clip_norm": 0.0}, "clip_norm 0.0"),
    ({"weight_decay": -0.1}, "weight_decay -0.1"),
  ],
)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_settings_out_of_range_are_refused_when_the_optimizer_is_built(name, settings, message):
  with pytest.raises(ValueError, match=message):
    OPTIMIZERS[name](**settings)


@pytest.mark.parametrize(
  ("rule", "settings"), [(adam, {"b1": 2.0}), (adam, {"b2": 1.0}), (rmsprop, {"decay": -0.1}), (sgd, {"momentum": 1.5})]
)
def test_a_decay_is_a_share(rule, settings):
  with pytest.raises(ValueError, match="use 0 or more and less than 1"):
    rule(**settings)
