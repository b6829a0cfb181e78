"""Floating point operations of a traced function, and what a chip could do at most.

Counted are the products of matrix multiplications and convolutions, 2 operations for each multiply-add, from the
program as it is written: a loop's body times its length, passes that are computed again for a gradient again. XLA's
own cost analysis counts the body of a loop once. A multiply-add with a zero that padding or input dilation put there
is not counted, so a convolution costs as much as each of its two derivatives, in whatever form it is written.
Everything else (elementwise, FFT, factorisations) is not counted.

Checked  tests/train/test_flops.py: numbers by hand, and XLA's cost analysis where it has no loop.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from genjax.train.chips import chip_of

Trips = Mapping[int, int]  # id of an equation `while` -> how often its body runs
_GPU_PEAKS = (  # bf16 operations a second; those of TPUs are in chips.py
  (r"NVIDIA H200.*", 989e12),
  (r"NVIDIA H100 (80GB HBM3|SXM).*", 989e12),  # PCIe and NVL boards are slower
  (r"(NVIDIA )?A100.*", 312e12),
)


class Flops(NamedTuple):
  """A count, and how sure it is."""

  flops: float  # an upper bound where a branch is not always taken
  unknown_loops: int  # `while` loops with products inside: their length is not in the program, so counted once

  def __add__(self, other: "Flops") -> "Flops":
    return Flops(self.flops + other.flops, self.unknown_loops + other.unknown_loops)

  def times(self, count: int) -> "Flops":
    """The same work `count` times; the loops in it stay as many."""
    return Flops(self.flops * count, self.unknown_loops if count else 0)


ZERO = Flops(0.0, 0)


def model_flops(fn: Callable[..., Any], *args: Any) -> Flops:
  """Counts one call of `fn(*args)`; nothing is computed.

  Of the branches of a `cond` the most expensive counts. Under `shard_map` the work of all shards counts, work that
  they all repeat too; under jit the program is one and global, whatever the sharding.

  Args:
    fn: traceable; bind static arguments with functools.partial.
    args: arrays or `jax.ShapeDtypeStruct`s, in trees.
  """
  return jaxpr_flops(jax.make_jaxpr(fn)(*args))


def jaxpr_flops(jaxpr: ClosedJaxpr | Jaxpr, trips: Trips = MappingProxyType({})) -> Flops:
  """Counts one evaluation of what `jax.make_jaxpr` or `jax.jit(f).trace(...).jaxpr` gives.

  Args:
    jaxpr: the program.
    trips: lengths of `while` loops, see trips.py.
  """
  inner = jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr
  return sum((_equation(eqn, trips) for eqn in inner.eqns), ZERO)


def peak_flops(device_kind: str) -> float | None:
  """Most bf16 operations a second of one jax device, or None for a kind that is not known (CPUs, parts of a GPU)."""
  if "MIG" in device_kind:
    return None
  if chip := chip_of(device_kind):
    return chip.peak / chip.devices
  return next((peak for pattern, peak in _GPU_PEAKS if re.fullmatch(pattern, device_kind)), None)


def _equation(eqn: JaxprEqn, trips: Trips) -> Flops:
  count = _COUNTS.get(eqn.primitive.name)
  if count is not None:
    return count(eqn, trips)
  return sum((jaxpr_flops(inner, trips) for inner in inner_jaxprs(eqn.params)), ZERO)


def inner_jaxprs(params: dict[str, Any]) -> Iterator[ClosedJaxpr | Jaxpr]:
  """Every jaxpr that an equation holds: jit, remat, custom derivatives (their primal), calls."""
  for value in params.values():
    for item in value if isinstance(value, tuple | list) else (value,):
      if isinstance(item, ClosedJaxpr | Jaxpr):
        yield item


def _dot(eqn: JaxprEqn, trips: Trips) -> Flops:
  del trips
  (contracted, _), _ = eqn.params["dimension_numbers"]
  shape = eqn.invars[0].aval.shape
  return _products(eqn, math.prod(eqn.outvars[0].aval.shape) * math.prod(shape[axis] for axis in contracted))


def _conv(eqn: JaxprEqn, trips: Trips) -> Flops:
  del trips
  params, spec = eqn.params, eqn.params["dimension_numbers"]
  image, kernel, out = (var.aval.shape for var in (*eqn.invars[:2], *eqn.outvars))
  count = out[spec.out_spec[0]] * out[spec.out_spec[1]] * kernel[spec.rhs_spec[1]]
  for i, (low, _) in enumerate(params["padding"]):
    count *= taps(
      image[spec.lhs_spec[2 + i]],
      kernel[spec.rhs_spec[2 + i]],
      out[spec.out_spec[2 + i]],
      int(low),
      params["window_strides"][i],
      params["lhs_dilation"][i],
      params["rhs_dilation"][i],
    )
  # A kernel's own input channels are those of one group; the output has lost the batch groups already.
  return _products(eqn, count)


def taps(image: int, kernel: int, out: int, low: int, stride: int, spread: int, dilation: int) -> int:
  """Pairs (output, kernel element) along one axis that meet a true input, no padding and no inserted zero.

  Args:
    image, kernel, out: sizes along the axis.
    low: padding before the input.
    stride, spread, dilation: of the window, of the input (its elements lie so far apart), of the kernel.
  """
  last = (image - 1) * spread
  places = (o * stride + k * dilation - low for k in range(kernel) for o in range(out))
  return sum(0 <= place <= last and place % spread == 0 for place in places)


def _products(eqn: JaxprEqn, count: int) -> Flops:
  dtype = eqn.outvars[0].aval.dtype
  if not jnp.issubdtype(dtype, jnp.inexact):
    return ZERO
  return Flops(2.0 * count * (4 if jnp.issubdtype(dtype, jnp.complexfloating) else 1), 0)


def _scan(eqn: JaxprEqn, trips: Trips) -> Flops:
  return jaxpr_flops(eqn.params["jaxpr"], trips).times(eqn.params["length"])


def _cond(eqn: JaxprEqn, trips: Trips) -> Flops:
  branches = [jaxpr_flops(branch, trips) for branch in eqn.params["branches"]]
  return Flops(max(branch.flops for branch in branches), max(branch.unknown_loops for branch in branches))


def _while(eqn: JaxprEqn, trips: Trips) -> Flops:
  once = jaxpr_flops(eqn.params["cond_jaxpr"], trips) + jaxpr_flops(eqn.params["body_jaxpr"], trips)
  if id(eqn) in trips:
    return once.times(trips[id(eqn)])
  return once + Flops(0.0, 1) if once.flops else once


def _shard_map(eqn: JaxprEqn, trips: Trips) -> Flops:
  params = eqn.params
  axes = params["newly_manual_axes"] if "newly_manual_axes" in params else params["manual_axes"]  # the latter: jax 0.7
  return jaxpr_flops(params["jaxpr"], trips).times(math.prod(params["mesh"].shape[axis] for axis in axes))


def _linear_solve(eqn: JaxprEqn, trips: Trips) -> Flops:
  return jaxpr_flops(eqn.params["jaxprs"].solve, trips)  # the rest describes the system, or is for its derivative


_COUNTS: dict[str, Callable[[JaxprEqn, Trips], Flops]] = {
  "dot_general": _dot,
  "conv_general_dilated": _conv,
  "scan": _scan,
  "cond": _cond,
  "while": _while,
  "shard_map": _shard_map,
  "custom_linear_solve": _linear_solve,
}
