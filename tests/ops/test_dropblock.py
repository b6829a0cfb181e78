"""DropBlock: its rates by the published numbers, blocks that are whole, and the mean that stays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.ops.dropblock import dropblock, keep_rate, seed_rate


@pytest.mark.parametrize(
  ("side", "block", "gamma"), [(10, 5, 0.0111), (5, 5, 0.1), (4, 2, 0.0444), (2, 2, 0.1)]
)  # of the released code at its final rate
def test_rates_of_seeds_are_the_published_ones(side, block, gamma):
  np.testing.assert_allclose(seed_rate(0.9, block, side), gamma, rtol=1e-2)


def test_the_keep_rate_falls_in_40000_calls_and_stays():
  rates = [float(keep_rate(jnp.int32(count))) for count in (0, 1, 20_000, 40_000, 90_000)]
  np.testing.assert_allclose(rates, [1, 1 - 0.1 / 40_000, 0.95, 0.9, 0.9], rtol=1e-6)


def test_what_is_dropped_is_a_union_of_whole_blocks_and_channels_differ():
  x = jnp.ones((3, 9, 7, 4))
  kept = np.asarray(dropblock(jax.random.key(0), x, jnp.float32(0.05), 3)) > 0
  assert not np.array_equal(kept[..., 0], kept[..., 1])
  for image, channel in np.ndindex(3, 4):
    dropped = ~kept[image, :, :, channel]
    covered = np.zeros_like(dropped)
    for top, left in np.ndindex(7, 5):
      if dropped[top : top + 3, left : left + 3].all():
        covered[top : top + 3, left : left + 3] = True
    np.testing.assert_array_equal(covered, dropped)
  assert (~kept).any()


def test_what_stays_is_scaled_by_places_over_places_kept_in_the_whole_batch():
  out = np.asarray(dropblock(jax.random.key(1), jnp.ones((4, 6, 6, 3)), jnp.float32(0.1), 2))
  kept = out > 0
  np.testing.assert_allclose(out[kept], out.size / kept.sum(), rtol=1e-6)
  np.testing.assert_allclose(out.mean(), 1, rtol=1e-5)


def test_about_the_share_is_kept():
  gamma = seed_rate(0.9, 3, 12)
  out = dropblock(jax.random.key(2), jnp.ones((64, 12, 12, 8)), gamma, 3)
  assert abs(float((out > 0).mean()) - 0.9) < 0.02


def test_nothing_is_dropped_at_rate_0_and_all_at_rate_1():
  x = jax.random.normal(jax.random.key(3), (2, 5, 5, 2))
  np.testing.assert_array_equal(dropblock(jax.random.key(0), x, jnp.float32(0.0), 2), x)
  np.testing.assert_array_equal(dropblock(jax.random.key(0), x, jnp.float32(1.0), 5), jnp.zeros_like(x))


def test_a_block_that_does_not_fit_is_refused():
  with pytest.raises(ValueError, match="2x4"):
    dropblock(jax.random.key(0), jnp.ones((1, 2, 4, 1)), jnp.float32(0.1), 3)
