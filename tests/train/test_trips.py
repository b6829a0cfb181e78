"""The length of a loop follows from the arguments that are known, as far as arithmetic alone is done with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from genjax.train.flops import jaxpr_flops
from genjax.train.trips import loops


def found(fn, args, known):
  jaxpr = jax.jit(fn).trace(*args).jaxpr
  return jaxpr, loops(jaxpr, known)


def ramped(step, x):
  """A net that sees a fifth, two fifths ... of the minibatches in the first steps, as WINN's does."""
  used = jnp.minimum(20 * (step + 1), 100)
  return lax.fori_loop(0, 3 * used, lambda i, x: x @ x, x)


X = jax.ShapeDtypeStruct((4, 4), jnp.float32)
STEP = jax.ShapeDtypeStruct((), jnp.int32)


@pytest.mark.parametrize(("step", "trips"), [(0, 60), (2, 180), (99, 300)])
def test_bounds_are_followed_from_an_argument_to_the_loop(step, trips):
  jaxpr, lengths = found(ramped, (STEP, X), [np.int32(step), None])
  assert [(loop.trips, loop.written) for loop in lengths.values()] == [(trips, False)]
  counted = jaxpr_flops(jaxpr, {loop: it.trips for loop, it in lengths.items()})
  assert (counted.flops, counted.unknown_loops) == (trips * 2 * 4**3, 0)


def test_a_loop_whose_bound_nobody_knows_is_left_out():
  jaxpr, lengths = found(ramped, (STEP, X), [None, None])
  assert lengths == {}
  assert jaxpr_flops(jaxpr).unknown_loops == 1


def test_a_loop_within_a_loop_within_a_jitted_branch_is_found():
  inner = jax.jit(lambda n, x: lax.cond(n > 0, lambda: lax.fori_loop(0, n, lambda i, x: x @ x, x), lambda: x))

  def outer(until, step, x):
    return lax.fori_loop(0, until, lambda i, carry: (carry[0], inner(carry[0] + 1, carry[1])), (step, x))

  jaxpr, lengths = found(outer, (STEP, STEP, X), [np.int32(1), np.int32(6), None])
  assert sorted(loop.trips for loop in lengths.values()) == [1, 7]
  assert jaxpr_flops(jaxpr, {loop: it.trips for loop, it in lengths.items()}).flops == 7 * 2 * 4**3


def test_a_number_that_a_scan_carries_is_known_in_it_and_its_slices_are_not():
  def steps(step, xs, ns):
    one = lambda step, slices: (step + 1, ramped(step, slices[0]) + ramped(slices[1], slices[0]))
    return lax.scan(one, step, (xs, ns))

  xs, ns = jax.ShapeDtypeStruct((5, 4, 4), jnp.float32), jax.ShapeDtypeStruct((5,), jnp.int32)
  _, lengths = found(steps, (STEP, xs, ns), [np.int32(2), None, None])
  assert [loop.trips for loop in lengths.values()] == [180]


def test_a_loop_that_may_end_earlier_has_its_greatest_length_which_the_compiled_program_has_too():
  def solve(x):
    unfinished = lambda carry: (carry[0] < 15) & (carry[1].sum() > 1e-6)
    return lax.while_loop(unfinished, lambda carry: (carry[0] + 1, carry[1] @ carry[1]), (0, x))

  for fn, shape in ((solve, (4, 4)), (jax.vmap(solve), (3, 4, 4))):
    _, lengths = found(fn, (jax.ShapeDtypeStruct(shape, jnp.float32),), [None])
    assert [loop.trips for loop in lengths.values()] == [15]
