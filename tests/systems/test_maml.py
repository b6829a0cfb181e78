"""MAML: one inner step by numpy, its gradient by central differences, and that adaptation is learned."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.systems.maml import maml
from genjax.systems.optimizers import adam
from tests.systems.test_metaoptnet import BATCH, SHAPE, WAYS, Net, accuracy, episodes


class Linear(nn.Module):
  @nn.compact
  def __call__(self, images, train=False):
    return nn.Dense(4)(images.reshape(len(images), -1)), {}


def system(net=None, **settings):
  settings = {"inner_steps": 2, "evaluate_steps": 3, "inner_learning_rate": 0.1, **settings}
  return maml(net or Net(dropout=0.1), shape=SHAPE, ways=WAYS, **settings)


def test_one_inner_step_is_a_gradient_step_on_the_supports():
  net = Linear()
  made = system(net, evaluate_steps=1, inner_learning_rate=0.3)
  state = made.init(jax.random.key(0), BATCH)
  logits = np.asarray(jax.jit(made.views["adapt"])(state, BATCH))
  dense, classifier = state.params["net"]["Dense_0"], state.params["classifier"]
  pairs = [(part["kernel"], part["bias"]) for part in (dense, classifier)]
  w1, b1, w2, b2 = (np.asarray(leaf, np.float64) for pair in pairs for leaf in pair)
  x = BATCH["support"][0].reshape(-1, 64).astype(np.float64)
  y = np.eye(WAYS)[BATCH["support_label"][0]]
  hidden = x @ w1 + b1
  scores = np.exp(hidden @ w2 + b2)
  miss = (scores / scores.sum(1, keepdims=True) - y) / len(x)
  w1, b1, w2, b2 = (
    w1 - 0.3 * x.T @ (miss @ w2.T),
    b1 - 0.3 * (miss @ w2.T).sum(0),
    w2 - 0.3 * hidden.T @ miss,
    b2 - 0.3 * miss.sum(0),
  )
  query = BATCH["query"][0].reshape(-1, 64)
  np.testing.assert_allclose(logits[0], (query @ w1 + b1) @ w2 + b2, rtol=1e-4, atol=1e-5)


def test_evaluation_adapts_by_its_own_number_of_steps():
  few, many = (system(Linear(), inner_steps=1, evaluate_steps=steps) for steps in (1, 3))
  state = few.init(jax.random.key(0), BATCH)
  one, three = (np.asarray(jax.jit(made.views["adapt"])(state, BATCH)) for made in (few, many))
  assert np.abs(one - three).max() > 1e-2


def test_the_gradient_passes_through_the_inner_steps_unless_first_order():
  """Central differences of the loss after adaptation, along a random direction, in float32 with a step of 1e-2."""
  net = Linear()

  def loss_and_slope(first_order):
    made = system(net, first_order=first_order, inner_learning_rate=0.5, optimizer=adam(learning_rate=1.0))
    state, step = made.init(jax.random.key(0), BATCH), jax.jit(made.step)
    direction = jax.tree.map(
      lambda leaf: jax.random.normal(jax.random.key(leaf.size), leaf.shape) / 10, dict(state.params)
    )
    loss = lambda t: step(
      jax.random.key(1),
      state._replace(params=jax.tree.map(lambda p, d: p + t * d, dict(state.params), direction)),
      BATCH,
    )[1]["loss"]
    return (loss(1e-2) - loss(-1e-2)) / 2e-2, made, state, direction

  slope, made, state, direction = loss_and_slope(False)
  # Adam's first moment after one step is (1 - b1) times the gradient.
  grads = lambda made: jax.jit(made.step)(jax.random.key(1), state, BATCH)[0].optimizer[0].mu
  along = lambda made: sum(
    10 * (m * d).sum() for m, d in zip(jax.tree.leaves(grads(made)), jax.tree.leaves(direction), strict=True)
  )
  np.testing.assert_allclose(along(made), slope, rtol=2e-2)
  assert abs(along(loss_and_slope(True)[1]) - slope) > 0.1 * abs(slope)


def test_it_learns_to_adapt():
  made = system(Net(), inner_steps=3, evaluate_steps=5, inner_learning_rate=0.3, optimizer=adam(learning_rate=1e-2))
  step = jax.jit(made.step)
  held_out = episodes(count=64, seed=99, noise=0.7)
  state = made.init(jax.random.key(0), held_out)
  before = accuracy(made, state, held_out)
  for i in range(60):
    state, _ = step(jax.random.fold_in(jax.random.key(2), i), state, episodes(seed=1000 + i, noise=0.7))
  assert accuracy(made, state, held_out) > before + 0.1


@pytest.mark.parametrize(
  ("settings", "message"), [({"inner_steps": 0}, "inner_steps"), ({"evaluate_steps": 0}, "evalu")]
)
def test_counts_below_one_are_refused(settings, message):
  with pytest.raises(ValueError, match=message):
    system(**settings)


def test_logits_do_not_depend_on_the_other_episodes():
  made = system(Net(), evaluate_steps=2)
  state = made.init(jax.random.key(0), BATCH)
  adapt = jax.jit(made.views["adapt"])
  whole = adapt(state, BATCH)
  alone = adapt(state, jax.tree.map(lambda leaf: jnp.asarray(leaf[3:4]), BATCH))
  np.testing.assert_allclose(whole[3:4], alone, rtol=1e-4, atol=1e-5)
