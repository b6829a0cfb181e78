"""Images as patches: numpy's slices and lax's convolution say what a patch is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from genjax.ops.patches import assemble, coordinates, cut, cut_overlapping, grid, neighbours

KEY = jax.random.key(0)


@pytest.mark.parametrize(("shape", "patch"), [((8, 12, 3), 4), ((6, 2, 1), 2), ((3, 5, 2), 1), ((4, 4, 1), 4)])
def test_patches_are_slices_in_raster_order_and_assembly_is_their_inverse(shape, patch):
  images = np.asarray(jax.random.normal(KEY, (2, *shape)))
  patches = cut(jnp.asarray(images), patch)
  corners = [(y, x) for y in range(0, shape[0], patch) for x in range(0, shape[1], patch)]
  slices = np.stack([images[:, y : y + patch, x : x + patch].reshape(2, -1) for y, x in corners], 1)
  np.testing.assert_array_equal(patches, slices)
  np.testing.assert_array_equal(assemble(patches, patch, shape), images)
  np.testing.assert_array_equal(cut(assemble(patches, patch, shape), patch), patches)


@pytest.mark.parametrize(("shape", "patch"), [((8, 12, 3), 4), ((6, 2, 1), 2)])
def test_overlapping_patches_are_what_a_convolution_of_twice_the_kernel_reads(shape, patch):
  images = jax.random.normal(KEY, (2, *shape))
  kernel = jax.random.normal(jax.random.key(1), (2 * patch, 2 * patch, shape[2], 5))
  edge = (patch // 2, patch // 2)
  expected = lax.conv_general_dilated(
    images, kernel, (patch, patch), (edge, edge), dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest"
  )
  windows = cut_overlapping(images, patch)
  assert windows.shape == (2, shape[0] * shape[1] // patch**2, 4 * patch**2 * shape[2])
  ours = jnp.matmul(windows, kernel.reshape(-1, 5), precision="highest")
  np.testing.assert_allclose(ours, expected.reshape(2, -1, 5), rtol=1e-4, atol=1e-5)


def test_coordinates_run_from_minus_one_to_one_in_raster_order():
  np.testing.assert_allclose(coordinates(2, 3), [[-1, -1], [-1, 0], [-1, 1], [1, -1], [1, 0], [1, 1]])
  np.testing.assert_array_equal(coordinates(1, 1), [[0, 0]])


def test_neighbours_are_the_three_by_three_around():
  near = np.asarray(neighbours(4, 5)).reshape(4, 5, 4, 5)
  for y in range(4):
    for x in range(5):
      expected = np.zeros((4, 5), bool)
      expected[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = True
      np.testing.assert_array_equal(near[y, x], expected)


def test_what_does_not_fit_is_refused():
  with pytest.raises(ValueError, match="images 8x6 are not cut evenly by patches of 4; use a patch that divides both"):
    grid((8, 6, 3), 4)
  with pytest.raises(ValueError, match="patch 3 has no half to overlap by; use an even patch"):
    cut_overlapping(jnp.zeros((1, 6, 6, 1)), 3)
  with pytest.raises(ValueError, match=r"patches \(4, 5\); an image \(4, 4, 1\) has \(4, 4\) of side 2"):
    assemble(jnp.zeros((1, 4, 5)), 2, (4, 4, 1))
