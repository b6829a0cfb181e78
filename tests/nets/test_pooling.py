from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.nets.pooling import check_sides, max_pool, mean_pool


def _by_hand(x, up):
  """Means of whichever of the four pixels there are."""
  x = np.asarray(x, np.float64)
  height, width = (-(-side // 2) if up else side // 2 for side in x.shape[1:3])
  means = [[x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((1, 2)) for j in range(width)] for i in range(height)]
  return np.stack([np.stack(row, 1) for row in means], 1)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("size", [(4, 6), (5, 4), (3, 7)])
def test_means_of_two_by_two_pixels_and_of_what_an_odd_side_leaves(size, up):
  x = jax.random.normal(jax.random.key(0), (2, *size, 3))
  np.testing.assert_allclose(mean_pool(x, up=up), _by_hand(x, up), rtol=1e-5, atol=1e-6)


def test_the_greatest_of_two_by_two_has_the_bits_and_the_slopes_of_flax_ties_and_odd_sides_too():
  draw = np.random.default_rng(0)
  for x in (draw.integers(0, 3, (2, 5, 7, 3)).astype(np.float32), draw.normal(size=(2, 4, 6, 3)).astype(np.float32)):
    flax = lambda x: nn.max_pool(x, (2, 2), (2, 2))
    weights = draw.normal(size=flax(x).shape).astype(np.float32)
    (ours, of_ours), (theirs, of_theirs) = (jax.jit(partial(jax.vjp, pool))(x) for pool in (max_pool, flax))
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(of_ours(weights)[0], of_theirs(weights)[0])


def test_a_pixel_alone_is_its_own_mean():
  assert mean_pool(jnp.full((1, 1, 1, 2), 3.0), up=True).tolist() == [[[[3, 3]]]]


@pytest.mark.parametrize(
  ("size", "halvings", "up", "least"),
  [((28, 7), 3, False, 8), ((4, 28), 3, True, 5), ((1, 1), 1, True, 2), ((1, 1), 1, False, 2)],
)
def test_a_side_too_small_is_refused_with_the_least_that_is_not(size, halvings, up, least):
  said = f"images {size[0]}x{size[1]} do not survive {halvings} .*; use fewer layers, or sides of at least {least}"
  with pytest.raises(ValueError, match=said):
    check_sides(jnp.zeros((1, *size, 1)), halvings, "fewer layers", up=up)
  check_sides(jnp.zeros((1, least, least, 1)), halvings, "fewer layers", up=up)


@pytest.mark.parametrize("up", [False, True])
def test_without_halvings_every_image_is_large_enough(up):
  check_sides(jnp.zeros((1, 1, 1, 1)), 0, "", up=up)


def test_images_of_another_rank_are_refused():
  with pytest.raises(ValueError, match=r"shape \(4, 4, 1\); a net takes \[B, H, W, C\]"):
    check_sides(jnp.zeros((4, 4, 1)), 1, "")
