import jax
import jax.numpy as jnp
import numpy as np

from genjax.nets.densenet import DenseNet


def _shapes(net, side):
  return jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))["params"]


def test_for_colour_images_it_has_the_parameters_worked_out_by_hand():
  inputs = [64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 480, 512, 544]  # of the sixteen layers
  transitions = [192, 320, 448]
  stem = 9 * 3 * 64
  layers = sum(2 * width + 9 * width * 32 for width in inputs)
  between = sum(2 * width + width * width for width in transitions)
  head = 2 * 576 + 576 + 1  # the last norm, f on the means
  assert stem + layers + between + head == 1_755_905
  for side in (64, 37):
    assert sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(_shapes(DenseNet(), side))) == 1_755_905


def test_it_has_twenty_convolutions():
  assert sum(name.startswith("Conv") for name in _shapes(DenseNet(), 64)) == 20
