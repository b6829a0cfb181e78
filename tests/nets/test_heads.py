import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.convnet import ConvNet, uniform
from genjax.nets.heads import Drop, Head

FEATURES = jax.random.normal(jax.random.key(0), (3, 5))


def _made(**attributes):
  head = Head(**attributes)
  params = head.init(jax.random.key(1), FEATURES)
  params = jax.tree.map(lambda leaf: leaf + 0.1 * jnp.arange(leaf.size, dtype=jnp.float32).reshape(leaf.shape), params)
  logits, aux = head.apply(params, FEATURES)
  return params["params"], logits, aux


def _linear(layer, x):
  return np.asarray(x, np.float64) @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)


def test_without_class_logits_f_is_a_linear_layer_on_the_features():
  params, logits, aux = _made()
  assert set(params) == {"Dense_0"}
  assert set(aux) == {"features"}
  np.testing.assert_allclose(logits, _linear(params["Dense_0"], FEATURES)[:, 0], rtol=1e-5, atol=1e-5)


def test_f_is_a_linear_layer_on_the_class_logits_as_in_the_released_code():
  params, logits, aux = _made(head_classes=4)
  classes = _linear(params["classes"], FEATURES)
  np.testing.assert_allclose(aux["class_logits"], classes, rtol=1e-5, atol=1e-5)
  assert params["Dense_0"]["kernel"].shape == (4, 1)
  np.testing.assert_allclose(logits, _linear(params["Dense_0"], classes)[:, 0], rtol=1e-5, atol=1e-5)


def test_f_on_the_features_does_not_see_the_class_logits():
  params, logits, aux = _made(head_classes=4, f_on="features")
  np.testing.assert_allclose(aux["class_logits"], _linear(params["classes"], FEATURES), rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(logits, _linear(params["Dense_0"], FEATURES)[:, 0], rtol=1e-5, atol=1e-5)


def test_features_of_a_bfloat16_trunk_become_float32():
  logits, aux = Head(head_classes=2).init_with_output(jax.random.key(0), FEATURES.astype(jnp.bfloat16))[0]
  assert {logits.dtype, aux["features"].dtype, aux["class_logits"].dtype} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize(
  ("attributes", "message"),
  [
    ({"f_on": "logit"}, "f_on 'logit'; use 'logits'"),
    ({"head_classes": 1}, "head_classes 1; use at least 2, or None"),
  ],
)
def test_a_head_that_does_not_exist_is_refused(attributes, message):
  with pytest.raises(ValueError, match=message):
    Head(**attributes).init(jax.random.key(0), FEATURES)


class Direct(nn.Module):
  """ConvNet's last lines as they were before there were heads: checkpoints of then must still fit."""

  @nn.compact
  def __call__(self, images):
    x = nn.avg_pool(nn.swish(nn.Conv(2, (3, 3), kernel_init=uniform(0.02))(images)), (2, 2), (2, 2))
    return nn.Dense(1, kernel_init=uniform(0.02))(x.reshape(x.shape[0], -1))[:, 0]


def test_convnet_keeps_the_names_and_first_values_of_its_parameters():
  images = jnp.ones((1, 4, 4, 1))
  ours, before = (net.init(jax.random.key(2), images) for net in (ConvNet(((2,),)), Direct()))
  assert jax.tree.structure(ours) == jax.tree.structure(before)
  jax.tree.map(np.testing.assert_array_equal, ours, before)


# Dropout


def test_outside_training_nothing_is_dropped_and_in_training_a_share_of_the_values():
  x = jnp.ones((100, 100))
  drop = Drop(0.25)
  assert (drop.apply({}, x, False) == 1).all()
  dropped = np.asarray(drop.apply({}, x, True, rngs={"dropout": jax.random.key(0)}), np.float64)
  np.testing.assert_allclose(np.unique(dropped), [0, 4 / 3], rtol=1e-6)
  assert abs((dropped == 0).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / x.size)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_out_of_range_is_refused(rate):
  with pytest.raises(ValueError, match=r"is not in \[0, 1\)"):
    Drop(rate).apply({}, FEATURES, False)
