"""Fingerprints: every change of a leaf changes them, and the number of devices does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.train.fingerprint import fingerprint, fingerprints, first_not_finite
from genjax.train.mesh import make_mesh, state_shardings

KEY = jax.random.key(0)
SEEDS = (0x9E3779B9, 0x7F4A7C15)


def leaves_of_all_kinds():
  return {
    "pool": jax.random.normal(KEY, (16, 5, 3)),
    "half": jax.random.normal(KEY, (7,)).astype(jnp.bfloat16),
    "half2": jax.random.normal(KEY, (3, 3)).astype(jnp.float16),
    "byte": jnp.arange(11, dtype=jnp.uint8),
    "whole": jnp.arange(-4, 4),
    "truth": jnp.array([True, False, True]),
    "complex": jnp.array([1 + 2j, 3 - 4j]),
    "keys": jax.random.split(KEY, 3),
    "scalar": jnp.float32(2.5),
    "empty": jnp.zeros((0, 4)),
  }


def fmix32(h):
  """MurmurHash3's finaliser on a Python integer."""
  h = ((h ^ (h >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
  h = ((h ^ (h >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
  return h ^ (h >> 16)


def by_hand(words):
  """The definition in plain Python: a sum over words of mix(word, position), for both seeds."""
  return [
    sum(fmix32(int(w) ^ fmix32((i * (2 * seed % 2**32 + 1) + seed) & 0xFFFFFFFF)) for i, w in enumerate(words)) % 2**32
    for seed in SEEDS
  ]


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8, np.uint16, np.float16])
def test_the_fingerprint_is_the_sum_that_was_defined(dtype):
  values = np.random.default_rng(0).integers(0, 100, (3, 4, 5)).astype(dtype)
  words = values.ravel().view({1: np.uint8, 2: np.uint16, 4: np.uint32}[values.itemsize])
  assert jax.jit(fingerprint)(jnp.asarray(values)).tolist() == by_hand(words)


def test_an_eight_byte_number_is_two_words():
  jax.config.update("jax_enable_x64", True)
  try:
    for dtype in (np.float64, np.int64):
      values = np.random.default_rng(0).normal(size=(3, 4)).astype(dtype) * 1000
      assert jax.jit(fingerprint)(jnp.asarray(values)).tolist() == by_hand(values.ravel().view(np.uint32))
  finally:
    jax.config.update("jax_enable_x64", False)


def test_every_single_flipped_bit_changes_both_halves():
  words = np.random.default_rng(0).integers(0, 2**32, 6, dtype=np.uint64).astype(np.uint32)
  flips = np.repeat(words[None], 6 * 32, axis=0)
  for i in range(6 * 32):
    flips[i, i // 32] ^= np.uint32(1 << (i % 32))
  flipped = np.asarray(jax.jit(jax.vmap(fingerprint))(jnp.asarray(flips).view(jnp.float32)))
  sound = np.asarray(fingerprint(jnp.asarray(words).view(jnp.float32)))
  assert (flipped != sound).all()


def test_the_sign_of_a_zero_and_the_kind_of_a_nan_change_it():
  assert fingerprint(jnp.array([0.0])).tolist() != fingerprint(jnp.array([-0.0])).tolist()
  nans = np.array([0x7FC00000, 0x7FC00001], np.uint32).view(np.float32)
  assert fingerprint(jnp.asarray(nans[:1])).tolist() != fingerprint(jnp.asarray(nans[1:])).tolist()


def test_every_swap_of_two_elements_changes_it():
  values = np.random.default_rng(1).normal(size=30).astype(np.float32)
  pairs = [(i, j) for i in range(30) for j in range(i)]
  swapped = np.repeat(values[None], len(pairs), axis=0)
  for row, (i, j) in zip(swapped, pairs, strict=True):
    row[[i, j]] = row[[j, i]]
  words = np.asarray(jax.jit(jax.vmap(fingerprint))(jnp.asarray(swapped)))
  assert (words != np.asarray(fingerprint(jnp.asarray(values)))).any(axis=1).all()


def test_one_device_and_eight_give_the_same_fingerprints():
  tree = leaves_of_all_kinds()
  one = fingerprints(tree)
  spread = jax.device_put(tree, state_shardings(make_mesh(), tree))
  assert len(spread["pool"].sharding.device_set) == 8
  np.testing.assert_array_equal(one.words, fingerprints(spread).words)
  assert one.words.shape == (10, 2)
  assert one.finite.all()


def test_leaves_of_one_shape_are_looked_at_together_and_have_the_fingerprints_that_they_have_alone():
  kinds = list(leaves_of_all_kinds().values())
  large = jnp.arange(5000.0)
  leaves = [large, *kinds, *(leaf[::-1] if leaf.ndim else leaf + 1 for leaf in reversed(kinds)), large + 1, kinds[0]]
  assert fingerprints(leaves).words.tolist() == [fingerprint(leaf).tolist() for leaf in leaves]
  leaves[-1] = leaves[-1].at[3, 1, 2].set(jnp.nan)
  assert int(jax.jit(first_not_finite)(leaves)) == len(leaves) - 1


def test_a_typed_key_has_another_fingerprint_than_another_key():
  assert fingerprint(jax.random.key(0)).tolist() != fingerprint(jax.random.key(1)).tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["pool", "half", "complex", "scalar"])
def test_a_value_that_is_not_finite_is_attributed_to_its_leaf(name, bad):
  tree = leaves_of_all_kinds()
  tree[name] = tree[name].at[(0,) * tree[name].ndim].set(bad)
  where = sorted(tree).index(name)
  assert fingerprints(tree).finite.tolist() == [i != where for i in range(len(tree))]
  assert int(jax.jit(first_not_finite)(tree)) == where


def test_a_finite_tree_has_no_first_bad_leaf():
  assert int(first_not_finite(leaves_of_all_kinds())) == -1
