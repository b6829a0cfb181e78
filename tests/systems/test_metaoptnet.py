"""MetaOptNet: its loss by numpy, its rates, its two calls of the net, and that it learns what separates classes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.systems.metaoptnet import Head, fixed, learned, logits_of, metaoptnet, sgd
from tests.systems.contract import PROMISES, Trial, one_device_and_eight_agree

SHAPE, WAYS = (8, 8, 1), 3


class Net(nn.Module):
  """A convolution, batch statistics, and features [B, 16] with their map [B, 2, 2, 4]."""

  dropout: float = 0.0

  @nn.compact
  def __call__(self, images, train=False):
    x = nn.Conv(4, (3, 3))(images)
    x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
    x = nn.max_pool(nn.relu(x), (4, 4), (4, 4))
    x = nn.Dropout(self.dropout, deterministic=not train)(x)
    return x.reshape(len(x), -1), {"map": x}


class Relation(nn.Module):
  """Scores in [0, 1] by a linear layer of the product of means and queries."""

  @nn.compact
  def __call__(self, support, labels, query, *, ways):
    flat = lambda x: x.reshape(len(x), -1)
    means = jax.nn.one_hot(labels, ways).T @ flat(support) / (len(labels) // ways)
    return nn.sigmoid(nn.Dense(1)(flat(query)[:, None] * means[None])[..., 0])


def prototypes(support, labels, query, *, ways):
  onehot = jax.nn.one_hot(labels, ways)
  means = (onehot.T @ support) / onehot.sum(0)[:, None]
  return -((query[:, None] - means[None]) ** 2).mean(-1)


def episodes(count=8, shots=2, queries=2, seed=0, noise=0.3):
  """Classes are bars at places of their own, under noise."""
  draw = np.random.default_rng(seed)
  label = lambda each: np.tile(np.repeat(np.arange(WAYS), each), (count, 1)).astype(np.int32)

  def paint(labels):
    images = noise * draw.normal(size=(*labels.shape, *SHAPE))
    places = np.stack([draw.permutation(8)[:WAYS] for _ in range(count)])
    for e, i in np.ndindex(labels.shape):
      images[e, i, :, places[e, labels[e, i]]] += 1
    return images.astype(np.float32)

  both = paint(np.concatenate([label(shots), label(queries)], 1))
  return {
    "support": both[:, : WAYS * shots],
    "support_label": label(shots),
    "query": both[:, WAYS * shots :],
    "query_label": label(queries),
  }


def system(head=None, net=None, **settings):
  settings = {"rate": 0.05, "drops": ((50, 0.1),), **settings}
  return metaoptnet(net or Net(), head or fixed(prototypes, ways=WAYS), shape=SHAPE, ways=WAYS, **settings)


BATCHES = [episodes(seed=seed) for seed in range(3)]
TRIALS = {
  "plain": Trial(system(net=Net(dropout=0.1), smoothing=0.1), BATCHES),
  "learned": Trial(system(head=learned(Relation(), ways=WAYS), loss="squared", accumulate=2, together=True), BATCHES),
}


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("trial", TRIALS)
def test_metaoptnet_keeps_the_contract(trial, promise):
  if promise.__name__ == "another_key_gives_another_state" and trial == "learned":
    return  # nothing in it is random
  promise(TRIALS[trial])


def test_one_device_and_eight_agree():
  one_device_and_eight_agree(Trial(system(smoothing=0.1), BATCHES))


def one_hot(labels):
  return np.eye(WAYS)[labels]


def test_the_loss_is_equation_4_12_with_smoothed_labels():
  made = system(smoothing=0.2, scale=3.0)
  state = made.init(jax.random.key(0), BATCHES[0])
  _, told = made.step(jax.random.key(1), state, BATCHES[0])
  variables = {"params": state.params["net"], **state.moving}
  flat = lambda name: BATCHES[0][name].reshape(-1, *SHAPE)
  look = lambda name: Net().apply(variables, flat(name), train=True, mutable=["batch_stats"])[0][0]
  support = np.asarray(look("support"), np.float64).reshape(8, -1, 16)
  query = np.asarray(look("query"), np.float64).reshape(8, -1, 16)
  losses, right = [], []
  for e in range(8):
    label = BATCHES[0]["support_label"][e]
    means = np.stack([support[e][label == k].mean(0) for k in range(WAYS)])
    logits = -3.0 * ((query[e][:, None] - means) ** 2).mean(-1)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    truth = one_hot(BATCHES[0]["query_label"][e])
    losses.append(-((0.8 * truth + 0.1 * (1 - truth)) * logs).sum(-1))
    right.append(logits.argmax(-1) == BATCHES[0]["query_label"][e])
  np.testing.assert_allclose(told["loss"], np.mean(losses), rtol=1e-5)
  np.testing.assert_allclose(told["accuracy"], np.mean(right), rtol=1e-6)


def test_squared_loss_is_against_one_hot_labels():
  made = system(loss="squared")
  state = made.init(jax.random.key(0), BATCHES[0])
  told = made.evaluate(jax.random.key(1), state, BATCHES[0])
  logits = np.asarray(logits_of(Net(), fixed(prototypes, ways=WAYS))(state)(BATCHES[0]))
  np.testing.assert_allclose(told["loss"], ((logits - one_hot(BATCHES[0]["query_label"])) ** 2).mean(), rtol=1e-5)


def test_two_calls_move_the_running_statistics_twice_and_one_call_once():
  for together, calls in ((False, 2), (True, 1)):
    made = system(together=together)
    state = made.init(jax.random.key(0), BATCHES[0])
    after, _ = made.step(jax.random.key(1), state, BATCHES[0])
    support, query = (BATCHES[0][name].reshape(-1, *SHAPE) for name in ("support", "query"))
    parts = [np.concatenate([support, query])] if calls == 1 else [support, query]
    mean = np.zeros(4)
    for part in parts:
      here = nn.Conv(4, (3, 3)).apply({"params": state.params["net"]["Conv_0"]}, part)
      mean = 0.9 * mean + 0.1 * np.asarray(here).mean((0, 1, 2))
    np.testing.assert_allclose(after.moving["batch_stats"]["BatchNorm_0"]["mean"], mean, rtol=1e-4, atol=1e-6)


def test_accumulated_gradients_are_those_of_the_whole_batch_where_statistics_do_not_mix():
  class Plain(nn.Module):
    @nn.compact
    def __call__(self, images, train=False):
      return nn.Dense(5)(images.reshape(len(images), -1)), {}

  whole, parts = (system(net=Plain(), accumulate=count) for count in (1, 4))
  state = whole.init(jax.random.key(0), BATCHES[0])
  one, _ = whole.step(jax.random.key(1), state, BATCHES[0])
  four, _ = parts.step(jax.random.key(1), state, BATCHES[0])
  for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(four.params), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_optimiser_is_nesterov_with_weight_decay_in_the_gradient_and_drops():
  optimizer = sgd(0.5, ((2, 0.1),), momentum=0.9, decay=0.01)
  weight, moments = jnp.float32(2.0), optimizer.init(jnp.float32(2.0))
  ours, theirs, buffer = weight, 2.0, 0.0
  for step in range(4):
    change, moments = optimizer.update(jnp.float32(0.3), moments, ours)
    ours = optax.apply_updates(ours, change)
    gradient = 0.3 + 0.01 * theirs
    buffer = 0.9 * buffer + gradient
    theirs -= 0.5 * (1.0 if step < 2 else 0.1) * (gradient + 0.9 * buffer)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_a_scale_that_is_not_learned_stays():
  made = system(learn_scale=False, scale=7.0)
  state = made.init(jax.random.key(0), BATCHES[0])
  state, told = jax.jit(made.step)(jax.random.key(1), state, BATCHES[0])
  assert told["loss"] > 0
  free = system(scale=7.0)
  after, _ = jax.jit(free.step)(jax.random.key(1), free.init(jax.random.key(0), BATCHES[0]), BATCHES[0])
  assert after.params["scale"] != state.params["scale"]


def test_it_learns_to_tell_places_apart():
  made = system(rate=0.1, drops=(), decay=0.0)
  step = jax.jit(made.step)
  state = made.init(jax.random.key(0), BATCHES[0])
  judge = jax.jit(made.evaluate)
  held_out = episodes(count=64, seed=99, noise=0.7)
  before = judge(jax.random.key(0), state, held_out)
  for i in range(60):
    state, _ = step(jax.random.fold_in(jax.random.key(2), i), state, episodes(seed=1000 + i, noise=0.7))
  after = judge(jax.random.key(0), state, held_out)
  assert after["accuracy"] > before["accuracy"] + 0.1
  assert after["accuracy"] > 0.6


@pytest.mark.parametrize(
  ("settings", "said"),
  [
    ({"smoothing": 1.0}, "smoothing"),
    ({"loss": "hinge"}, "cross_entropy"),
    ({"loss": "squared", "smoothing": 0.1}, "squared"),
    ({"drops": ((5, 0.1), (3, 0.1))}, "rise"),
    ({"accumulate": 0}, "accumulate"),
  ],
)
def test_settings_that_do_not_go_together_are_refused(settings, said):
  with pytest.raises(ValueError, match=said):
    system(**settings)


def test_a_batch_that_does_not_fit_is_refused():
  made = system(accumulate=3)
  with pytest.raises(ValueError, match="accumulate 3"):
    made.init(jax.random.key(0), BATCHES[0])
  with pytest.raises(ValueError, match="few-shot"):
    system().init(jax.random.key(0), {"image": np.zeros((2, *SHAPE))})
  with pytest.raises(ValueError, match="built for"):
    system().init(jax.random.key(0), {**BATCHES[0], "query": np.zeros((8, 6, 4, 4, 1))})


def test_a_head_may_read_the_map():
  head = Head(lambda key, support: {}, lambda _, support, labels, query: query.mean((1, 2))[:, :WAYS], "map")
  made = system(head=head)
  state = made.init(jax.random.key(0), BATCHES[0])
  assert made.step(jax.random.key(0), state, BATCHES[0])[1]["loss"] > 0
