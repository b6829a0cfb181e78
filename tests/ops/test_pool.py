import re
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from genjax.ops import pool

SEEDS = 6000


def _numbered(first, last, dtype=jnp.float32):
  """Images 1x1x1 that are their own number."""
  return jnp.arange(first, last, dtype=dtype).reshape(-1, 1, 1, 1)


def _held(filled):
  """The numbers in each slot, [slots, depth]."""
  return np.asarray(filled.images)[..., 0]


def _many(fn):
  return jax.jit(jax.vmap(fn))(jax.random.split(jax.random.key(7), SEEDS))


def test_a_slot_takes_a_contiguous_run():
  slots = pool.to_slots(jnp.arange(12).reshape(6, 2), 3)
  np.testing.assert_array_equal(slots, [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]])


@pytest.mark.parametrize("policy", ["reservoir", "ring"])
def test_until_it_is_full_a_pool_keeps_everything_in_order(policy):
  filled = pool.empty(2, 4, (1, 1, 1))
  for first, last in ((1, 3), (3, 7)):
    filled = pool.append(jax.random.key(first), filled, _numbered(first, last), policy=policy)
  np.testing.assert_array_equal(_held(filled), [[1, 3, 4, 0], [2, 5, 6, 0]])
  assert filled.count.tolist() == [3, 3]


def test_every_image_ever_appended_stays_with_the_same_probability():
  depth, each = 4, 10  # a slot sees 10 images and keeps 4

  def run(key):
    filled = pool.empty(2, depth, (1, 1, 1))
    for i, (first, last) in enumerate(((0, 4), (4, 14), (14, 16), (16, 20))):
      filled = pool.append(jax.random.fold_in(key, i), filled, _numbered(first, last))
    return filled.images[..., 0]

  held = np.asarray(_many(run)).reshape(SEEDS, -1)
  share = np.array([(held == number).any(1).mean() for number in range(20)])
  error = np.sqrt(depth / each * (1 - depth / each) / SEEDS)
  assert np.abs(share - depth / each).max() < 4.5 * error
  assert all(len(set(row)) == 2 * depth for row in held[:50])  # nothing twice


def test_every_subset_is_equally_likely():
  held = np.asarray(_many(lambda key: pool.append(key, pool.empty(1, 2, (1, 1, 1)), _numbered(0, 5)).images[..., 0]))
  pairs = [tuple(sorted(row)) for row in held.reshape(SEEDS, 2).astype(int)]
  counts = np.array([pairs.count(pair) for pair in combinations(range(5), 2)])
  assert counts.sum() == SEEDS
  expected = SEEDS / 10
  assert ((counts - expected) ** 2 / expected).sum() < 33.7  # chi-square, 9 degrees of freedom, 1e-4


def test_slots_drop_independently_of_each_other():
  def run(key):
    filled = pool.append(key, pool.empty(2, 1, (1, 1, 1)), jnp.zeros((4, 1, 1, 1)).at[1].set(1).at[3].set(1))
    return filled.images[..., 0]

  held = np.asarray(_many(run)).reshape(SEEDS, 2)
  assert abs(np.corrcoef(held.T)[0, 1]) < 4.5 / np.sqrt(SEEDS)


def test_a_full_ring_keeps_the_newest():
  filled = pool.empty(2, 3, (1, 1, 1))
  for first in range(0, 20, 4):
    filled = pool.append(jax.random.key(0), filled, _numbered(first, first + 4), policy="ring")
  # slot 0 saw 0 1, 4 5, 8 9, 12 13, 16 17; slot 1 the rest
  assert sorted(_held(filled)[0]) == [13, 16, 17]
  assert sorted(_held(filled)[1]) == [15, 18, 19]
  assert filled.count.tolist() == [10, 10]


def test_more_than_a_pool_can_hold_may_come_at_once():
  ring = pool.append(jax.random.key(0), pool.empty(1, 3, (1, 1, 1)), _numbered(0, 8), policy="ring")
  assert sorted(_held(ring)[0]) == [5, 6, 7]


def test_a_draw_never_returns_an_empty_place_and_is_uniform_over_the_others():
  filled = pool.append(jax.random.key(0), pool.empty(2, 50, (1, 1, 1)), _numbered(1, 11))
  drawn = np.asarray(jax.jit(pool.draw, static_argnums=2)(jax.random.key(1), filled, 20_000))
  assert drawn.shape == (2, 10_000, 1)
  for slot, members in enumerate(([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])):
    values, counts = np.unique(drawn[slot], return_counts=True)
    np.testing.assert_array_equal(values, members)
    assert ((counts - 2000) ** 2 / 2000).sum() < 23.5  # chi-square, 4 degrees of freedom, 1e-4


def test_a_draw_from_a_pool_that_has_dropped_images_is_uniform_over_its_places():
  """Twelve images have come into six places: each is drawn once in six times, by class as well."""
  filled = pool.append(jax.random.key(0), pool.empty(2, 6, (1, 1, 1)), _numbered(1, 25))
  label = jnp.tile(jnp.array([[0, 1]]), (1, 3000))  # one position of two classes: the two slots
  of_class = np.asarray(pool.draw_class(jax.random.key(2), filled, label)).reshape(-1, 2).T
  for drawn in (np.asarray(pool.draw(jax.random.key(1), filled, 6000))[..., 0], of_class):
    for slot in range(2):
      values, counts = np.unique(drawn[slot], return_counts=True)
      np.testing.assert_array_equal(values, np.sort(_held(filled)[slot]))
      assert ((counts - 500) ** 2 / 500).sum() < 25.7  # chi-square, 5 degrees of freedom, 1e-4


def test_two_draws_of_one_pool_differ_and_one_key_repeats():
  filled = pool.append(jax.random.key(0), pool.empty(2, 8, (1, 1, 1)), _numbered(0, 16))
  draw = lambda seed: np.asarray(pool.draw(jax.random.key(seed), filled, 32))
  np.testing.assert_array_equal(draw(1), draw(1))
  assert not np.array_equal(draw(1), draw(2))
  assert not np.array_equal(draw(1)[0], draw(1)[1] - 8)  # the slots draw different places


def test_bytes_stay_bytes():
  filled = pool.append(
    jax.random.key(0), pool.empty(2, 4, (2, 2, 3), jnp.uint8), jnp.full((4, 2, 2, 3), 200, jnp.uint8)
  )
  assert filled.images.dtype == jnp.uint8
  drawn = pool.draw(jax.random.key(1), filled, 4)
  assert drawn.dtype == jnp.uint8
  assert (drawn == 200).all()


def test_a_pool_without_images_draws_zeros():
  assert not pool.draw(jax.random.key(0), pool.empty(2, 3, (1, 1, 1)), 4).any()


def test_a_draw_of_a_class_is_uniform_over_the_images_of_its_position_and_class():
  """At the first position slots of 6 places hold 4 images, at the second as many as they can: 15 came, 9 are gone."""
  classes, depth = 3, 6
  empty = pool.empty(2 * classes, depth, (1, 1, 1))
  few, many = (pool.append(jax.random.key(0), empty, _numbered(1, last), policy="ring") for last in (25, 91))
  filled = jax.tree.map(lambda few, many: few.at[classes:].set(many[classes:]), few, many)
  labels = jnp.tile(jnp.array([[0, 2, 1], [2, 2, 0]]), (1, 8000))
  drawn = np.asarray(jax.jit(pool.draw_class)(jax.random.key(1), filled, labels))[..., 0]
  for position, labels_used in enumerate(({0, 1, 2}, {0, 2})):
    for label in labels_used:
      held = np.sort(_held(filled)[position * classes + label])
      values, counts = np.unique(drawn[position, labels[position] == label], return_counts=True)
      np.testing.assert_array_equal(values, held[held > 0])
      expected = counts.sum() / len(counts)
      assert ((counts - expected) ** 2 / expected).sum() < 26  # chi-square, at most 5 degrees of freedom, 1e-4


def test_a_class_without_images_draws_zeros():
  filled = pool.append(jax.random.key(0), pool.empty(4, 3, (1, 1, 1)), _numbered(1, 5))
  filled = filled._replace(images=filled.images.at[1].set(0), count=filled.count.at[1].set(0))
  drawn = pool.draw_class(jax.random.key(0), filled, jnp.array([[0, 1], [0, 1]]))
  np.testing.assert_array_equal(drawn[..., 0], [[1, 0], [3, 4]])


def _spread(tree):
  mesh = Mesh(np.array(jax.devices()), ("data",))
  return jax.device_put(tree, NamedSharding(mesh, PartitionSpec("data")))


def _step(key, filled, images, policy):
  return pool.append(key, filled, images, policy=policy), pool.draw(key, filled, 64).swapaxes(0, 1)


@pytest.mark.parametrize("policy", ["reservoir", "ring"])
def test_nothing_moves_between_devices(policy):
  filled, images = _spread((pool.empty(16, 4, (4, 4, 1)), jnp.zeros((32, 4, 4, 1))))
  text = jax.jit(_step, static_argnums=3).lower(jax.random.key(0), filled, images, policy).compile().as_text()
  assert "num_partitions=8" in text
  assert not re.findall(
    r"all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter|collective-broadcast", text
  )


def test_a_draw_of_classes_moves_nothing_between_devices():
  filled, labels = _spread((pool.empty(16 * 3, 4, (4, 4, 1)), jnp.zeros((16, 5), jnp.int32)))
  text = jax.jit(pool.draw_class).lower(jax.random.key(0), filled, labels).compile().as_text()
  assert "num_partitions=8" in text
  assert not re.findall(
    r"all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter|collective-broadcast", text
  )


@pytest.mark.parametrize("policy", ["reservoir", "ring"])
def test_one_device_and_eight_hold_the_same(policy):
  one = pool.empty(16, 3, (1, 1, 1))
  eight = _spread(one)
  step = jax.jit(_step, static_argnums=3)
  for i in range(3):
    images = _numbered(i * 32, i * 32 + 32)
    one, drawn_one = step(jax.random.key(i), one, images, policy)
    eight, drawn_eight = step(jax.random.key(i), eight, _spread(images), policy)
    np.testing.assert_array_equal(drawn_one, drawn_eight)
  np.testing.assert_array_equal(one.images, eight.images)
  assert len(eight.images.sharding.device_set) == 8


def test_what_does_not_fit_is_refused():
  filled = pool.empty(4, 2, (2, 2, 1))
  with pytest.raises(ValueError, match="6 images do not divide over 4 slots; use a multiple of 4"):
    pool.append(jax.random.key(0), filled, jnp.zeros((6, 2, 2, 1)))
  with pytest.raises(ValueError, match="6 images do not divide over 4 slots"):
    pool.draw(jax.random.key(0), filled, 6)
  with pytest.raises(ValueError, match="pool policy 'newest'; use 'reservoir' or 'ring'"):
    pool.append(jax.random.key(0), filled, jnp.zeros((4, 2, 2, 1)), policy="newest")
  with pytest.raises(ValueError, match="4 slots do not divide over 3 positions"):
    pool.draw_class(jax.random.key(0), filled, jnp.zeros((3, 1), jnp.int32))
  with pytest.raises(ValueError, match="images are 4 values of uint8, the pool holds 4 of float32"):
    pool.append(jax.random.key(0), filled, jnp.zeros((4, 2, 2, 1), jnp.uint8))
  with pytest.raises(ValueError, match="images are 2 values of float32"):
    pool.append(jax.random.key(0), filled, jnp.zeros((4, 2, 1, 1)))
