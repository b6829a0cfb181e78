import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate2d

from genjax.nets.resnet import ResNet, ResNet13, ResNet32, Unit


def _count(net, shape):
  shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, *shape)))
  return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))


def _trunk(channels, widths, units):
  """Stem and its norm; units of two convolutions without bias and two norms; the last norm."""
  total = 9 * channels * widths[0] + 2 * widths[0]
  before = widths[0]
  for stage, width in enumerate(widths):
    for place in range(units):
      total += 9 * before * width + 9 * width * width + 2 * width
      total += 0 if stage == place == 0 else 2 * before  # the first unit of all has no norm of its own
      before = width
  return total + 2 * before


def test_resnet_32_for_mnist_has_the_463877_parameters_of_the_released_code():
  assert _trunk(1, (16, 32, 64), 5) + (64 + 1) * 10 + (10 + 1) == 463_877
  assert _count(ResNet32(head_classes=10), (28, 28, 1)) == 463_877
  assert _count(ResNet32(head_classes=10, f_on="features"), (28, 28, 1)) == 463_877 - 11 + 65
  assert _count(ResNet32(), (28, 28, 1)) == 463_877 - 661 + 65


def test_resnet_13_has_the_parameters_worked_out_by_hand_at_any_size():
  assert _trunk(3, (64, 128, 256), 2) + 256 + 1 == 2_733_633
  assert _count(ResNet13(), (64, 64, 3)) == _count(ResNet13(), (45, 32, 3)) == 2_733_633


def _activated(x, norm):
  y = (x - x.mean()) / np.sqrt(x.var() + 1e-5) * norm["scale"] + norm["bias"]
  return y / (1 + np.exp(-y))


def _conv(x, layer, stride=1):
  """SAME: of an odd side the outer pixels are centres, of an even one they are at the end."""
  kernel = layer["kernel"]
  maps = [
    sum(correlate2d(x[..., i], kernel[..., i, o], "same") for i in range(x.shape[2])) for o in range(kernel.shape[3])
  ]
  first = [1 - side % 2 if stride == 2 else 0 for side in x.shape[:2]]
  return np.stack(maps, -1)[first[0] :: stride, first[1] :: stride]


def test_a_widening_unit_is_the_one_worked_out_in_numpy():
  images = jax.random.normal(jax.random.key(0), (2, 6, 5, 2))
  unit = Unit(5, stride=2)
  params = unit.init(jax.random.key(1), images)
  params = jax.tree.map(
    lambda leaf: leaf + 0.1 * jnp.cos(jnp.arange(leaf.size, dtype=jnp.float32)).reshape(leaf.shape), params
  )
  parts = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params["params"])
  for image, ours in zip(np.asarray(images, np.float64), jax.jit(unit.apply)(params, images), strict=True):
    y = _conv(_activated(image, parts["LayerNorm_0"]), parts["Conv_0"], 2)
    y = _conv(_activated(y, parts["LayerNorm_1"]), parts["Conv_1"])
    means = [[image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((0, 1)) for j in range(3)] for i in range(3)]
    expected = y + np.pad(np.array(means), ((0, 0), (0, 0), (1, 2)))
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_stages_that_narrow_or_have_no_units_are_refused():
  with pytest.raises(ValueError, match="width 4 after one of 8; use widths that do not shrink"):
    _count(ResNet((8, 4), (1, 1)), (8, 8, 1))
  for units in ((1,), (1, 0)):
    with pytest.raises(ValueError, match="use one number, at least 1, for each stage"):
      _count(ResNet((4, 8), units), (8, 8, 1))
