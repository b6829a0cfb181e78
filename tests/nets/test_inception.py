"""FID's Inception against torch-fidelity's, with the same formula for weights (fixtures/inception/make.py)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from released_inception import COUNTED, expected, filled, pixels, published, sampled

from genjax.nets.inception import Inception, from_port, port_shapes

SIDE = 107


@pytest.fixture(scope="module")
def state():
  return filled(published())


@pytest.fixture(scope="module")
def outputs(state):
  """Features and logits, and what every block gave, of the fixture's image."""
  first = lambda module, _: len(module.path) == 1
  apply = lambda params, x: Inception().apply(
    {"params": params}, x, capture_intermediates=first, mutable="intermediates"
  )
  images = (pixels(1, SIDE, SIDE).astype(np.float32) - 128) / 128
  (features, logits), collections = jax.device_get(jax.jit(apply)(from_port(state), images))
  blocks = {name: given["__call__"][0] for name, given in collections["intermediates"].items() if name != "__call__"}
  return features, logits, blocks


def test_the_parameters_are_those_of_the_port():
  assert port_shapes() == {name: shape for name, shape in published().items() if not name.endswith(COUNTED)}
  assert sum(map(np.prod, port_shapes().values())) == 23_885_392


def test_every_block_gives_what_torch_fidelitys_gives(outputs):
  wanted = {name.removeprefix("block/"): value for name, value in expected().items() if name.startswith("block/")}
  assert len(wanted) == 16
  for name, value in wanted.items():
    ours = sampled(outputs[2][name].transpose(0, 3, 1, 2))
    np.testing.assert_allclose(ours, value, rtol=1e-4, atol=1e-4 * value[-1], err_msg=name)


def test_features_and_logits_are_torch_fidelitys(outputs):
  given = expected()
  for ours, name in zip(outputs, ("features", "logits"), strict=False):
    np.testing.assert_allclose(ours, given[name], rtol=1e-4, atol=1e-4 * given[name].std(), err_msg=name)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"fc.bias": None}, "it lacks fc.bias; wanted the Inception v3 of FID"),
    ({"AuxLogits.fc.bias": np.zeros(2, np.float32)}, "it has AuxLogits.fc.bias; wanted"),
    (
      {"fc.bias": np.zeros(1000, np.float32)},
      r"its fc.bias is float32\[1000\]; Inception v3 has floats \[1008\] there",
    ),
    ({"fc.bias": np.zeros(1008, np.int64)}, r"its fc.bias is int64\[1008\]"),
  ],
)
def test_parameters_of_another_net_are_named(state, change, message):
  with pytest.raises(ValueError, match=message):
    from_port({name: value for name, value in (state | change).items() if value is not None})


@pytest.mark.parametrize("shape", [(1, 107, 107, 1), (1, 74, 299, 3), (107, 107, 3)])
def test_images_that_it_cannot_read_are_named(shape):
  with pytest.raises(ValueError, match=r"Inception takes \[B, H, W, 3\] from 75x75 on"):
    Inception().apply({}, jnp.zeros(shape))
