"""Counts against numbers worked out by hand, against a brute count of products, and against XLA where it can count."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import AxisType, PartitionSpec

from genjax.ops import conv as ops_conv
from genjax.train.flops import Flops, model_flops, peak_flops

LAYOUT = ("NHWC", "HWIO", "NHWC")


def shaped(*shape, dtype=jnp.float32):
  return jax.ShapeDtypeStruct(shape, dtype)


def conv(x, w, stride=1, padding="VALID", **more):
  return lax.conv_general_dilated(x, w, (stride, stride), padding, dimension_numbers=LAYOUT, **more)


def count(fn, *args):
  flops = model_flops(fn, *args)
  assert flops.unknown_loops == 0
  return flops.flops


def test_a_matrix_product_costs_two_operations_for_each_multiply_add():
  assert count(jnp.matmul, shaped(3, 5), shaped(5, 7)) == 2 * 3 * 5 * 7


def test_a_vector_product_and_no_product_are_counted():
  assert count(jnp.dot, shaped(5), shaped(5)) == 2 * 5
  assert count(lambda x: jnp.sin(x) + x, shaped(5)) == 0


def test_batches_of_a_matrix_product_are_multiplied():
  assert count(jnp.matmul, shaped(4, 2, 3, 5), shaped(4, 2, 5, 7)) == 2 * 8 * 3 * 5 * 7
  assert count(jax.vmap(jnp.matmul), shaped(8, 3, 5), shaped(8, 5, 7)) == 2 * 8 * 3 * 5 * 7


def test_several_contracted_axes_are_multiplied():
  assert count(partial(jnp.einsum, "bijc,ijcd->bd"), shaped(2, 3, 4, 5), shaped(3, 4, 5, 6)) == 2 * 2 * 3 * 4 * 5 * 6


def test_whole_numbers_are_no_floating_operations_and_complex_ones_are_four():
  assert count(jnp.matmul, shaped(3, 5, dtype=jnp.int32), shaped(5, 7, dtype=jnp.int32)) == 0
  assert count(jnp.matmul, shaped(3, 5, dtype=jnp.complex64), shaped(5, 7, dtype=jnp.complex64)) == 8 * 3 * 5 * 7


def test_an_unpadded_convolution_costs_its_window_at_every_output():
  assert count(conv, shaped(2, 8, 10, 3), shaped(3, 5, 3, 4)) == 2 * 2 * (6 * 6) * (3 * 5) * 3 * 4


def test_padding_costs_nothing():
  # Along an axis of 8 a window of 3 meets 3 inputs at 6 places and 2 at each end: 22.
  assert count(partial(conv, padding="SAME"), shaped(2, 8, 8, 3), shaped(3, 3, 3, 4)) == 2 * 2 * 22 * 22 * 3 * 4


def test_a_strided_convolution_costs_its_window_at_fewer_outputs():
  assert count(partial(conv, stride=2), shaped(1, 9, 9, 3), shaped(3, 3, 3, 4)) == 2 * (4 * 4) * 9 * 3 * 4


def test_a_grouped_convolution_reads_the_channels_of_its_own_group():
  grouped = partial(conv, feature_group_count=3)
  assert count(grouped, shaped(1, 8, 8, 6), shaped(3, 3, 2, 12)) == 2 * (6 * 6) * 9 * 2 * 12


def test_a_convolution_in_batch_groups_gives_a_smaller_batch():
  grouped = partial(conv, batch_group_count=2)
  assert count(grouped, shaped(4, 8, 8, 6), shaped(3, 3, 6, 12)) == 2 * 2 * (6 * 6) * 9 * 6 * 12


def test_a_dilated_kernel_has_as_many_elements_and_fewer_outputs():
  assert count(partial(conv, rhs_dilation=(2, 2)), shaped(1, 8, 8, 3), shaped(3, 3, 3, 4)) == 2 * (4 * 4) * 9 * 3 * 4


def test_zeros_that_spread_an_input_cost_nothing():
  # 4 inputs become 7 places; unpadded, a window of 2 has 6 outputs and meets exactly one input at each.
  spread = partial(conv, lhs_dilation=(2, 2), padding=((0, 0), (0, 0)))
  assert count(spread, shaped(1, 4, 4, 3), shaped(2, 2, 3, 4)) == 2 * (6 * 6) * 1 * 3 * 4


def test_a_negative_padding_crops():
  cropped = partial(conv, padding=((-1, -1), (-1, -1)))
  assert count(cropped, shaped(1, 8, 8, 3), shaped(3, 3, 3, 4)) == 2 * (4 * 4) * 9 * 3 * 4


@pytest.mark.parametrize(
  "more",
  [{}, {"padding": "SAME"}, {"stride": 2, "padding": "SAME"}, {"rhs_dilation": (2, 1)}, {"stride": 3}],
  ids=str,
)
def test_each_derivative_of_a_convolution_costs_as_much_as_the_convolution(more):
  x, w = shaped(2, 9, 8, 3), shaped(3, 3, 3, 4)
  f = partial(conv, **more)
  forward = count(f, x, w)
  # The sum is not linear in the output, so the pass forward stays in the gradient.
  assert count(jax.grad(lambda x, w: jnp.sin(f(x, w)).sum(), argnums=(0, 1)), x, w) == 3 * forward
  assert count(jax.grad(lambda w, x: jnp.sin(f(x, w)).sum()), w, x) == 2 * forward


@pytest.mark.parametrize("groups", [1, 3])
def test_the_derivatives_of_a_grouped_convolution_cost_as_much_too(groups):
  f = partial(conv, feature_group_count=groups, padding="SAME")
  x, w = shaped(2, 6, 6, 6), shaped(3, 3, 6 // groups, 12)
  assert count(jax.grad(lambda x, w: jnp.sin(f(x, w)).sum(), argnums=(0, 1)), x, w) == 3 * count(f, x, w)


def test_the_convolution_of_ops_costs_what_that_of_jax_costs():
  x, w, padding = shaped(2, 8, 8, 3), shaped(3, 3, 3, 4), ((1, 1), (1, 1))

  def gradient(f):
    return jax.grad(lambda x, w: jnp.sin(f(x, w)).sum(), argnums=(0, 1))

  own = count(gradient(lambda x, w: ops_conv.conv(x, w, padding)), x, w)
  assert own == count(gradient(partial(conv, padding=padding)), x, w) == 3 * 2 * 2 * 22 * 22 * 3 * 4


@pytest.mark.parametrize(
  "more",
  [{"padding": "SAME"}, {"stride": 2}, {"lhs_dilation": (2, 2), "padding": ((1, 2), (0, 1))}, {"rhs_dilation": (2, 2)}],
  ids=str,
)
def test_xla_counts_the_same_products_of_a_convolution(more):
  args = (shaped(2, 8, 9, 3), shaped(3, 3, 3, 4))
  f = partial(conv, **more)
  assert count(f, *args) == jax.jit(f).lower(*args).cost_analysis()["flops"]


def test_a_scan_of_seven_products_is_counted_seven_times_where_xla_counts_one():
  def f(x, w):
    return lax.scan(lambda x, _: (x @ w, None), x, length=7)[0]

  assert count(f, shaped(3, 3), shaped(3, 3)) == 7 * 2 * 27
  assert jax.jit(f).lower(shaped(3, 3), shaped(3, 3)).compile().cost_analysis()["flops"] < 2 * 2 * 27


def test_nested_scans_multiply():
  def inner(x, _):
    return lax.scan(lambda x, _: (x @ x, None), x, length=5)[0], None

  assert count(lambda x: lax.scan(inner, x @ x, length=7)[0], shaped(3, 3)) == (1 + 7 * 5) * 2 * 27


def test_a_scan_of_no_steps_costs_nothing():
  assert count(lambda x: lax.scan(lambda x, _: (x @ x, None), x, length=0)[0], shaped(3, 3)) == 0


def test_map_and_a_loop_of_known_length_are_scans():
  assert count(lambda x: lax.map(lambda row: row @ row, x), shaped(6, 3, 3)) == 6 * 2 * 27
  assert count(lambda x: lax.fori_loop(0, 4, lambda _, x: x @ x, x), shaped(3, 3)) == 4 * 2 * 27


def test_the_gradient_of_a_scan_runs_forward_once_and_back_twice():
  def loss(w, x):
    return lax.scan(lambda x, _: (jnp.sin(x @ w), None), x, length=7)[0].sum()

  # Back: by x and by w at every step, where the first step's derivative by x is computed though nobody asked.
  assert count(jax.grad(loss), shaped(3, 3), shaped(3, 3)) == 7 * 3 * 2 * 27


def test_of_a_cond_the_most_expensive_branch_counts():
  def f(flag, x):
    return lax.cond(flag, lambda x: x @ x, lambda x: x @ (x @ x), x)

  assert count(f, shaped(dtype=bool), shaped(3, 3)) == 2 * 2 * 27
  branches = [lambda x: x, lambda x: x @ x, lambda x: x]
  assert count(lambda i, x: lax.switch(i, branches, x), shaped(dtype=jnp.int32), shaped(3, 3)) == 2 * 27


def test_of_platforms_the_most_expensive_counts():
  def f(x):
    return lax.platform_dependent(x, cpu=lambda x: x @ x, default=lambda x: x)

  assert count(f, shaped(3, 3)) == 2 * 27


def test_a_while_loop_is_counted_once_and_reported():
  def f(x):
    return lax.while_loop(lambda x: x.sum() < 9, lambda x: x @ x, x)

  assert model_flops(f, shaped(3, 3)) == Flops(2 * 27, 1)
  assert model_flops(lambda x: lax.map(f, x), shaped(5, 3, 3)) == Flops(5 * 2 * 27, 1)
  assert model_flops(lambda x: f(f(x)), shaped(3, 3)) == Flops(2 * 2 * 27, 2)


def test_a_while_loop_without_products_is_not_unknown():
  assert model_flops(lambda x: lax.while_loop(lambda x: x < 9, lambda x: x + 1, x), shaped()) == Flops(0, 0)


def test_a_while_loop_in_a_branch_is_reported_even_if_the_other_branch_costs_more():
  def loop(x):
    return lax.while_loop(lambda x: x.sum() < 9, lambda x: x @ x, x)

  def f(flag, x):
    return lax.cond(flag, loop, lambda x: x @ (x @ x), x)

  assert model_flops(f, shaped(dtype=bool), shaped(3, 3)) == Flops(2 * 2 * 27, 1)


def test_jit_and_custom_derivatives_are_looked_into():
  @jax.custom_jvp
  def g(x):
    return x @ x

  g.defjvp(lambda primals, tangents: (g(*primals), tangents[0]))

  @jax.custom_vjp
  def h(x):
    return g(x)

  h.defvjp(lambda x: (h(x), x), lambda x, y: (y @ x,))
  assert count(jax.jit(lambda x: h(jax.jit(g)(x))), shaped(3, 3)) == 2 * 2 * 27
  assert count(jax.grad(lambda x: h(x).sum()), shaped(3, 3)) == 2 * 2 * 27


def test_a_pass_that_is_made_again_for_the_gradient_counts_again():
  def f(w, x):
    return jnp.sin(jnp.sin(x @ w) @ w).sum()

  x = shaped(3, 3)
  assert count(jax.grad(f), x, x) == (2 + 3) * 2 * 27
  assert count(jax.grad(jax.checkpoint(f)), x, x) > (2 + 3) * 2 * 27


def test_of_a_shard_map_the_work_of_all_shards_counts():
  mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
  rows = PartitionSpec("a")
  f = jax.shard_map(lambda x, w: x @ w, mesh=mesh, in_specs=(rows, PartitionSpec()), out_specs=rows, axis_names={"a"})
  assert count(jax.jit(f), shaped(8, 3), shaped(3, 3)) == 2 * 8 * 9


def test_of_a_linear_solve_only_the_solution_counts():
  def f(a, b):
    return lax.custom_linear_solve(lambda v: a @ (a @ v), b, lambda _, b: a @ b, symmetric=True)

  assert count(f, shaped(3, 3), shaped(3)) == 2 * 9


def test_keys_and_real_arguments_are_fine():
  def f(key, tree):
    return jax.random.normal(key, (3, 3)) @ tree["w"]

  assert count(f, jax.random.key(0), {"w": jnp.ones((3, 3))}) == 2 * 27


@pytest.mark.parametrize(
  ("kind", "peak"),
  [
    ("TPU v2", 22.5e12),  # a device is a core, two to a chip
    ("TPU v3", 61.5e12),
    ("TPU v4", 275e12),
    ("TPU v5 lite", 197e12),
    ("TPU v5e", 197e12),
    ("TPU v5", 459e12),
    ("TPU v5p", 459e12),
    ("TPU v6 lite", 918e12),
    ("NVIDIA H100 80GB HBM3", 989e12),
    ("NVIDIA H200", 989e12),
    ("NVIDIA A100-SXM4-80GB", 312e12),
    ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
    ("NVIDIA H100 PCIe", None),
    ("NVIDIA GH200 480GB", None),
    ("cpu", None),
  ],
)
def test_the_peak_of_a_device_is_known_or_none(kind, peak):
  assert peak_flops(kind) == peak
