"""Weights that exist already: a converted MetaOptNet evaluates at once, is fine-tuned and exports its features."""

from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.convert import converted, load_variables, save_variables
from genjax.nets.conv4 import Conv4
from genjax.systems import heads
from genjax.systems.metaoptnet import metaoptnet
from genjax.systems.optimizers import sgd
from genjax.systems.pretrained import with_weights

CHECKPOINT = Path(__file__).parent.parent / "fixtures" / "metaoptnet" / "conv4_zip.pth"
SHAPE, WAYS = (16, 16, 3), 2


def episodes(count=2, shots=2, queries=3, seed=0):
  draw = np.random.default_rng(seed)
  label = lambda each: np.tile(np.repeat(np.arange(WAYS), each), (count, 1)).astype(np.int32)
  images = lambda labels: (draw.normal(size=(*labels.shape, *SHAPE)) + labels[..., None, None, None]).astype(np.float32)
  support, query = label(shots), label(queries)
  return {"support": images(support), "support_label": support, "query": images(query), "query_label": query}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
  out = tmp_path_factory.mktemp("converted") / "conv4.npz"
  save_variables(out, *converted(CHECKPOINT, Conv4(width=3)))
  return load_variables(out).variables


def test_a_converted_net_is_evaluated_as_it_is_then_fine_tuned_and_exports_its_features(weights):
  net, batch = Conv4(width=3), episodes()
  system = metaoptnet(
    with_weights(net, weights), heads.proto(ways=WAYS), shape=SHAPE, ways=WAYS, optimizer=sgd(learning_rate=0.05)
  )
  state = jax.jit(system.init)(jax.random.key(0), batch)
  look = lambda variables, name: np.asarray(net.apply(variables, batch[name].reshape(-1, *SHAPE))[0])
  encode, adapt = jax.jit(system.views["encode"]), jax.jit(system.views["adapt"])
  np.testing.assert_allclose(encode(state, batch["query"][0]), look(weights, "query")[:6], rtol=1e-5, atol=1e-6)
  support, query = (look(weights, name).reshape(2, -1, 3) for name in ("support", "query"))
  means = np.stack([support[batch["support_label"] == k].reshape(2, -1, 3).mean(1) for k in range(WAYS)], 1)
  logits = -((query[:, :, None] - means[:, None]) ** 2).mean(-1)
  np.testing.assert_allclose(adapt(state, batch), logits, rtol=1e-4, atol=1e-5)

  step, first = jax.jit(system.step, donate_argnums=1), None
  for i in range(20):
    state, metrics = step(jax.random.key(i), state, batch)
    first = first or float(metrics["loss"])
  assert metrics["loss"] < first
  now = {"params": state.params["net"], **state.collections}
  np.testing.assert_allclose(encode(state, batch["query"][0]), look(now, "query")[:6], rtol=1e-4, atol=1e-5)
  assert not np.allclose(look(now, "query"), look(weights, "query"), rtol=1e-2)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda w: w["params"].pop("Conv_2"), "lack params/Conv_2/kernel;"),
    (lambda w: w.pop("batch_stats"), "lack batch_stats/BatchNorm_0/mean and 7 more"),
    (lambda w: w["params"].update(Dense_0={"bias": np.zeros(2)}), "have too much: params/Dense_0/bias;"),
    (
      lambda w: w["params"]["Conv_1"].update(kernel=np.zeros((3, 3, 3, 4))),
      r"params/Conv_1/kernel is \(3, 3, 3, 4\) in the weights and \(3, 3, 3, 3\) in the net",
    ),
  ],
)
def test_weights_of_another_net_are_refused_by_the_leaf(weights, change, message):
  other = jax.tree.map(np.asarray, weights)
  change(other)
  with pytest.raises(ValueError, match=message):
    with_weights(Conv4(width=3), other).init(jax.random.key(0), jnp.zeros((1, *SHAPE)))


def test_a_clone_of_another_size_is_refused_and_one_of_the_same_has_the_weights(weights):
  net = with_weights(Conv4(width=3), weights)
  assert isinstance(net, Conv4)
  assert net.width == 3
  images = jnp.zeros((1, *SHAPE))
  variables = net.clone().init(jax.random.key(0), images)
  np.testing.assert_array_equal(variables["params"]["Conv_0"]["kernel"], weights["params"]["Conv_0"]["kernel"])
  with pytest.raises(ValueError, match="params/BatchNorm_0/bias is"):
    net.clone(width=4).init(jax.random.key(0), images)


def test_a_net_that_is_a_part_of_another_module_keeps_its_weights(weights):
  class Twins(nn.Module):
    first: nn.Module
    second: nn.Module

    def __call__(self, images):
      return self.first(images)[0], self.second(images)[0]

  twins = Twins(with_weights(Conv4(width=3), weights), Conv4(width=3))
  images = jax.random.normal(jax.random.key(1), (2, *SHAPE))
  variables = jax.jit(twins.init)(jax.random.key(0), images)
  own, other = (variables["params"][name]["Conv_0"]["kernel"] for name in ("first", "second"))
  np.testing.assert_array_equal(own, weights["params"]["Conv_0"]["kernel"])
  assert not np.allclose(own, other)
  features, _ = twins.apply(variables, images)
  np.testing.assert_allclose(features, Conv4(width=3).apply(weights, images)[0], rtol=1e-5, atol=1e-6)
