"""A 64-bit fingerprint of every leaf and whether it is finite, computed where the leaf lives.

A fingerprint is two sums modulo 2**32 of well-mixed (word, position) pairs. Integer sums do not depend on the order, so
a leaf has the same fingerprint on any number of devices and in any sharding. The mix is a bijection of the word, so one
changed element always changes it. It guards against accidents of storage, not against an attacker.

Papers   the finaliser is that of MurmurHash3 (Appleby, public domain): fmix32
Shapes   L leaves. words [L, 2] uint32, finite [L] bool.
Checked  tests/train/test_fingerprint.py: every flipped bit and every swap changes it; 1 device = 8 devices.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

Array = jax.Array


_SEEDS = (0x9E3779B9, 0x7F4A7C15)  # two halves of the golden ratio's 64 bits: two independent mixes
_SMALL = 1 << 12  # elements of a leaf: up to here leaves of one shape are looked at together


class Fingerprints(NamedTuple):
  """Those of a state's leaves, in the order of `jax.tree.leaves`; numpy on the host."""

  words: np.ndarray  # [L, 2] uint32
  finite: np.ndarray  # [L] bool


def fingerprints(state: Any) -> Fingerprints:
  """Fingerprints and finiteness of all leaves in one compiled call; waits for the state to be computed."""
  leaves = jax.tree.leaves(state)
  words, finite = _jitted(_replicated(leaves))(leaves)
  return Fingerprints(np.asarray(words), np.asarray(finite))


def first_not_finite(state: Any) -> Array:
  """Traceable: [] int32, the index of the first leaf with a NaN or an infinity, or -1."""
  finite = finite_flags(jax.tree.leaves(state))
  return jnp.where(jnp.all(finite), -1, jnp.argmin(finite)).astype(jnp.int32)


def finite_flags(leaves: list[Array]) -> Array:
  """Traceable: [L] bool, False where a leaf holds a NaN or an infinity. Integers, booleans and keys are finite."""
  return _of_each(_is_finite, leaves) if leaves else jnp.zeros((0,), bool)


def _is_finite(leaf: Array) -> Array:
  return jnp.all(jnp.isfinite(leaf)) if jnp.issubdtype(leaf.dtype, jnp.inexact) else jnp.array(True)


@jax.jit  # traced and lowered once for all leaves of a shape: with hundreds of leaves jax 0.7 took minutes
def fingerprint(leaf: Array) -> Array:
  """Traceable: [2] uint32 for an array of any shape and dtype, typed PRNG keys included."""
  words = _words(leaf)
  position = _position(words.shape)
  return jnp.stack([jnp.sum(_mix(words, position, seed), dtype=jnp.uint32) for seed in _SEEDS])


@functools.cache
def _jitted(sharding: NamedSharding | None):
  def run(leaves):
    return _of_each(fingerprint, leaves) if leaves else jnp.zeros((0, 2), jnp.uint32), finite_flags(leaves)

  return jax.jit(run, out_shardings=sharding)


def _of_each(function: Callable[[Array], Array], leaves: list[Array]) -> Array:
  """Traceable: [L, ...] of function(leaf). What stands once for all small leaves of a shape compiles once for them."""
  groups = _groups(leaves)
  rows = [_together(function, [leaves[place] for place in places]) for places in groups]
  return jnp.concatenate(rows)[np.argsort(np.concatenate(groups))]


def _groups(leaves: list[Array]) -> list[list[int]]:
  """Places of the leaves: those of small ones of one shape together, that of any other leaf by itself."""
  groups: dict[Any, list[int]] = {}
  for place, leaf in enumerate(leaves):
    groups.setdefault((leaf.shape, leaf.dtype) if leaf.size <= _SMALL else place, []).append(place)
  return list(groups.values())


def _together(function: Callable[[Array], Array], leaves: list[Array]) -> Array:
  return jax.vmap(function)(jnp.stack(leaves)) if len(leaves) > 1 else function(leaves[0])[None]


def _replicated(leaves: list[Array]) -> NamedSharding | None:
  # Several processes can each read the answer only if every device holds all of it.
  for leaf in leaves:
    if isinstance(leaf.sharding, NamedSharding):
      return NamedSharding(leaf.sharding.mesh, PartitionSpec())
  return None


def _words(leaf: Array) -> Array:
  """The bits of every element in uint32 words; 8-byte elements become two words in a new last axis."""
  if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    leaf = jax.random.key_data(leaf)
  if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
    leaf = jnp.stack([leaf.real, leaf.imag], axis=-1)
  if leaf.dtype == bool:
    return leaf.astype(jnp.uint32)
  if jnp.issubdtype(leaf.dtype, jnp.integer) and jnp.iinfo(leaf.dtype).bits < 8:
    leaf = leaf.astype(jnp.int8)
  bits = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32, 8: jnp.uint32}[leaf.dtype.itemsize]
  return lax.bitcast_convert_type(leaf, bits).astype(jnp.uint32)


def _position(shape: tuple[int, ...]) -> Array:
  """Row-major index of every element, mod 2**32. Sums of iotas, not a reshape: a sharded leaf stays where it is."""
  position, stride = jnp.zeros(shape, jnp.uint32), 1
  for axis in reversed(range(len(shape))):
    position += lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride % 2**32)
    stride *= shape[axis]
  return position


def _mix(words: Array, position: Array, seed: int) -> Array:
  return _fmix32(words ^ _fmix32(position * jnp.uint32(2 * seed % 2**32 + 1) + jnp.uint32(seed)))


def _fmix32(h: Array) -> Array:
  h = (h ^ (h >> jnp.uint32(16))) * jnp.uint32(0x85EBCA6B)
  h = (h ^ (h >> jnp.uint32(13))) * jnp.uint32(0xC2B2AE35)
  return h ^ (h >> jnp.uint32(16))
