import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.vanilla import VanillaNet


def _shapes(net, shape):
  return jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, *shape)))["params"]


def test_for_mnist_it_has_the_parameters_worked_out_by_hand():
  convolutions = (25 * 1 + 1) * 32 + (25 * 32 + 1) * 64 + (25 * 64 + 1) * 128 + (25 * 128 + 1) * 256
  norms = 2 * (64 + 128 + 256)  # none after the first convolution
  head = (2 * 2 * 256 + 1) * 10 + (10 + 1)  # 28, 14, 7, 4, 2; ten class logits, f on them
  assert convolutions + norms + head == 1_087_637
  shapes = _shapes(VanillaNet(head_classes=10), (28, 28, 1))
  assert sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes)) == 1_087_637
  assert [shapes[f"LayerNorm_{i}"]["scale"].shape for i in range(3)] == [(64,), (128,), (256,)]


def test_fewer_strides_take_smaller_images():
  with pytest.raises(ValueError, match=r"images 8x8 do not survive 4 strides; use fewer 2s in strides .* at least 9"):
    _shapes(VanillaNet(), (8, 8, 1))
  assert _shapes(VanillaNet(strides=(1, 2, 2, 2)), (8, 8, 1))["Head_0"]["Dense_0"]["kernel"].shape == (256, 1)


@pytest.mark.parametrize("strides", [(2, 2), (2, 2, 2, 3)])
def test_strides_that_do_not_fit_the_widths_are_refused(strides):
  with pytest.raises(ValueError, match="use one stride, 1 or 2, for each width"):
    _shapes(VanillaNet(strides=strides), (28, 28, 1))
