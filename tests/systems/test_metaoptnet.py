"""MetaOptNet: its loss by numpy, its two calls of the net, its views, and that it learns what separates classes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.systems.heads import Head, learned, proto, svm
from genjax.systems.metaoptnet import layer_kernels, loss_of, metaoptnet
from genjax.systems.optimizers import sgd

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


def episodes(count=8, shots=2, queries=2, seed=0, noise=0.3):
  """Classes are bars at places of their own, under noise."""
  draw = np.random.default_rng(seed)
  label = lambda each: np.tile(np.repeat(np.arange(WAYS), each), (count, 1)).astype(np.int32)

  def bars(labels):
    images = noise * draw.normal(size=(*labels.shape, *SHAPE))
    places = np.stack([draw.permutation(8)[:WAYS] for _ in range(count)])
    for e, i in np.ndindex(labels.shape):
      images[e, i, :, places[e, labels[e, i]]] += 1
    return images.astype(np.float32)

  both = bars(np.concatenate([label(shots), label(queries)], 1))
  return {
    "support": both[:, : WAYS * shots],
    "support_label": label(shots),
    "query": both[:, WAYS * shots :],
    "query_label": label(queries),
  }


def system(head=None, net=None, **settings):
  settings = {"optimizer": sgd(learning_rate=0.05, momentum=0.9, nesterov=True), **settings}
  return metaoptnet(net or Net(), head or proto(ways=WAYS), shape=SHAPE, ways=WAYS, **settings)


BATCH = episodes()


def started(**settings):
  made = system(**settings)
  return made, jax.jit(made.init)(jax.random.key(0), BATCH)


def one_hot(labels):
  return np.eye(WAYS)[labels]


def test_the_loss_is_equation_4_12_with_smoothed_labels():
  made, state = started(smoothing=0.2, scale=3.0)
  _, metrics = jax.jit(made.step)(jax.random.key(1), state, BATCH)
  variables = {"params": state.params["net"], **state.collections}
  flat = lambda name: BATCH[name].reshape(-1, *SHAPE)
  look = lambda name: Net().apply(variables, flat(name), train=True, mutable=["batch_stats"])[0][0]
  support = np.asarray(look("support"), np.float64).reshape(8, -1, 16)
  query = np.asarray(look("query"), np.float64).reshape(8, -1, 16)
  losses, right = [], []
  for e in range(8):
    label = BATCH["support_label"][e]
    means = np.stack([support[e][label == k].mean(0) for k in range(WAYS)])
    logits = -3.0 * ((query[e][:, None] - means) ** 2).mean(-1)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    truth = one_hot(BATCH["query_label"][e])
    losses.append(-((0.8 * truth + 0.1 * (1 - truth)) * logs).sum(-1))
    right.append(logits.argmax(-1) == BATCH["query_label"][e])
  np.testing.assert_allclose(metrics["loss"], np.mean(losses), rtol=1e-5)
  np.testing.assert_allclose(metrics["accuracy"], np.mean(right), rtol=1e-6)


def test_squared_loss_is_against_one_hot_labels():
  logits = np.random.default_rng(0).normal(size=(2, 4, WAYS))
  labels = np.array([[0, 1, 2, 0], [2, 2, 1, 0]])
  value, metrics = loss_of(jnp.asarray(logits), jnp.asarray(labels), "squared")
  np.testing.assert_allclose(value, ((logits - one_hot(labels)) ** 2).mean(), rtol=1e-5)
  np.testing.assert_allclose(metrics["accuracy"], (logits.argmax(-1) == labels).mean(), rtol=1e-6)


def test_the_views_use_the_running_statistics_and_no_scale():
  made, state = started(scale=7.0)
  state, _ = jax.jit(made.step)(jax.random.key(1), state, BATCH)
  variables = {"params": state.params["net"], **state.collections}
  look = lambda images: np.asarray(Net().apply(variables, images)[0])
  images = BATCH["query"][2]
  np.testing.assert_allclose(made.views["encode"](state, images), look(images), rtol=1e-6)
  support = look(BATCH["support"][2]).reshape(-1, 16)
  means = np.stack([support[BATCH["support_label"][2] == k].mean(0) for k in range(WAYS)])
  logits = -((look(images)[:, None] - means) ** 2).mean(-1)
  np.testing.assert_allclose(jax.jit(made.views["adapt"])(state, BATCH)[2], logits, rtol=1e-4, atol=1e-5)


def test_two_calls_move_the_running_statistics_twice_and_one_call_once():
  for together, calls in ((False, 2), (True, 1)):
    made, state = started(together=together)
    after, _ = jax.jit(made.step)(jax.random.key(1), state, BATCH)
    support, query = (BATCH[name].reshape(-1, *SHAPE) for name in ("support", "query"))
    parts = [np.concatenate([support, query])] if calls == 1 else [support, query]
    mean = np.zeros(4)
    for part in parts:
      here = nn.Conv(4, (3, 3)).apply({"params": state.params["net"]["Conv_0"]}, part)
      mean = 0.9 * mean + 0.1 * np.asarray(here).mean((0, 1, 2))
    np.testing.assert_allclose(after.collections["batch_stats"]["BatchNorm_0"]["mean"], mean, rtol=1e-4, atol=1e-6)


def test_accumulated_gradients_are_those_of_the_whole_batch_where_statistics_do_not_mix():
  class Plain(nn.Module):
    @nn.compact
    def __call__(self, images, train=False):
      return nn.Dense(5)(images.reshape(len(images), -1)), {}

  (whole, state), (parts, _) = (started(net=Plain(), accumulate=count) for count in (1, 4))
  one, _ = jax.jit(whole.step)(jax.random.key(1), state, BATCH)
  four, _ = jax.jit(parts.step)(jax.random.key(1), state, BATCH)
  for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(four.params), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_scale_of_the_logits_is_learned_unless_it_is_fixed():
  for learn_scale in (True, False):
    made, state = started(learn_scale=learn_scale, scale=7.0)
    after, metrics = jax.jit(made.step)(jax.random.key(1), state, BATCH)
    assert metrics["scale"] == after.params["scale"]
    assert (after.params["scale"] != 7.0) == learn_scale


def accuracy(made, state, batch):
  return (jax.jit(made.views["adapt"])(state, batch).argmax(-1) == batch["query_label"]).mean()


def test_the_share_of_solved_episodes_is_told_and_a_wrong_label_is_not_hidden():
  for iterations, share in ((None, 1.0), (1, 0.0)):
    made, state = started(head=svm(ways=WAYS, iterations=iterations))
    wrong = {**BATCH, "support_label": BATCH["support_label"].copy()}
    wrong["support_label"][0, 0] = WAYS
    assert jax.jit(made.step)(jax.random.key(1), state, BATCH)[1]["solved"] == share
    logits, solved = jax.jit(made.views["solve"])(state, wrong)
    np.testing.assert_array_equal(solved, (np.arange(8) > 0) & (share == 1))
    np.testing.assert_array_equal(np.isfinite(logits).all((1, 2)), np.arange(8) > 0)
  both, _ = started(head=svm(ways=WAYS), evaluate_head=svm(ways=WAYS, iterations=1))
  assert jax.jit(both.step)(jax.random.key(1), state, BATCH)[1]["solved"] == 1
  assert not jax.jit(both.views["solve"])(state, BATCH)[1].any()
  assert "solved" not in jax.eval_shape(system().step, jax.random.key(1), started()[1], BATCH)[1]
  with pytest.raises(ValueError, match="support_label goes from 0 to 3; wanted 0 to 2"):
    made.init(jax.random.key(0), wrong)
  assert np.isnan(loss_of(jnp.zeros((1, 2, WAYS)), jnp.array([[0, WAYS]]))[0])


def test_it_learns_to_tell_places_apart():
  made = system(optimizer=sgd(learning_rate=0.1, momentum=0.9, nesterov=True))
  step = jax.jit(made.step)
  state = made.init(jax.random.key(0), BATCH)
  held_out = episodes(count=64, seed=99, noise=0.7)
  before = accuracy(made, state, held_out)
  for i in range(60):
    state, _ = step(jax.random.fold_in(jax.random.key(2), i), state, episodes(seed=1000 + i, noise=0.7))
  after = accuracy(made, state, held_out)
  assert after > before + 0.1
  assert after > 0.6


def test_a_head_with_parameters_learns_too():
  made, state = started(head=learned(Relation(), ways=WAYS), loss="squared", accumulate=2, together=True)
  step, losses = jax.jit(made.step), []
  for i in range(20):
    state, metrics = step(jax.random.key(i), state, BATCH)
    losses.append(float(metrics["loss"]))
  assert losses[-1] < 0.9 * losses[0]
  assert set(state.params["head"]) == {"Dense_0"}


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"smoothing": 1.0}, "smoothing"),
    ({"loss": "hinge"}, "cross_entropy"),
    ({"loss": "squared", "smoothing": 0.1}, "squared"),
    ({"ways": 1}, "ways 1"),
    ({"accumulate": 0}, "accumulate"),
  ],
)
def test_settings_that_do_not_go_together_are_refused(settings, message):
  with pytest.raises(ValueError, match=message):
    metaoptnet(Net(), proto(ways=WAYS), shape=SHAPE, **settings)


def test_a_batch_that_does_not_fit_is_refused():
  made = system(accumulate=3)
  with pytest.raises(ValueError, match="accumulate 3"):
    made.init(jax.random.key(0), BATCH)
  with pytest.raises(ValueError, match="few-shot"):
    system().init(jax.random.key(0), {"image": np.zeros((2, *SHAPE))})
  with pytest.raises(ValueError, match="built for"):
    system().init(jax.random.key(0), {**BATCH, "query": np.zeros((8, 6, 4, 4, 1))})


def test_a_head_may_read_the_map():
  head = Head(lambda key, support: {}, lambda _, support, labels, query: query.mean((1, 2))[:, :WAYS], "map")
  made, state = started(head=head)
  variables = {"params": state.params["net"], **state.collections}
  maps = Net().apply(variables, BATCH["query"][0])[1]["map"]
  np.testing.assert_allclose(made.views["adapt"](state, BATCH)[0], maps.mean((1, 2))[:, :WAYS], rtol=1e-5)


def test_bench_times_the_embedding_of_the_queries_of_a_batch():
  piece = system().kernels(jax.random.key(0), BATCH)["embedding"]
  assert piece.work == 8 * 6
  assert piece.fn(*piece.args).shape == (8 * 6, 16)


def test_bench_times_gradients_of_layers_beside_those_of_flax_and_lax_which_are_the_same():
  pieces = layer_kernels(jax.random.key(0), 2, (4, 6), 3)
  for own, other in (
    ("max_pool's gradient", "max_pool's gradient (flax's)"),
    ("weights' gradient", "weights' gradient (lax's)"),
  ):
    one, two = (jax.jit(pieces[name].fn)(*pieces[name].args) for name in (own, other))
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)
    assert np.abs(one).max() > 0.1
