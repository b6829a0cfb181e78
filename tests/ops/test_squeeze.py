import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ops.squeeze import checkerboard, squeezed, unflattened, unsqueezed


def test_two_by_two_places_become_channels_and_go_back():
  x = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
  y = squeezed(jnp.asarray(x))
  assert y.shape == (2, 2, 3, 12)
  for c, i, j in ((0, 0, 0), (1, 0, 1), (2, 1, 0), (2, 1, 1)):
    np.testing.assert_array_equal(y[..., 4 * c + 2 * i + j], x[:, i::2, j::2, c])
  np.testing.assert_array_equal(unsqueezed(y), x)


def test_odd_sides_are_refused():
  with pytest.raises(ValueError, match="images of 7x7 cannot be halved again; use fewer levels"):
    squeezed(jnp.zeros((1, 7, 7, 1)))


def test_latents_are_cut_in_order():
  a, b = unflattened(jnp.arange(20.0).reshape(2, 10), [(1, 2, 2), (6,)])
  np.testing.assert_array_equal(a[1].ravel(), [10, 11, 12, 13])
  np.testing.assert_array_equal(b[0], [4, 5, 6, 7, 8, 9])


def test_neighbours_on_a_checkerboard_differ():
  np.testing.assert_array_equal(checkerboard(2, 3)[..., 0], [[1, 0, 1], [0, 1, 0]])
