"""Devices as one axis named "data": batches are split over it, the state is copied or, by its path, split too.

Checked  tests/train/test_mesh.py
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from genjax.core import Array
from genjax.train.errors import BadSetting
from genjax.train.paths import named_leaves

AXIS = "data"
Rules = Sequence[tuple[str, str]]  # (regular expression searched in a leaf's path, mesh axis of its leading dimension)
DEFAULT_RULES: Rules = ((r"(^|/)pool(/|$)", AXIS),)


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
  """One axis "data" over `devices`, by default all of them, those of other processes included."""
  return Mesh(np.array(jax.devices() if devices is None else devices), (AXIS,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
  """Every device holds all of it."""
  return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh, *, stacked: bool = False) -> NamedSharding:
  """Examples over "data"; with `stacked` they are the second axis, behind the steps of one call."""
  return NamedSharding(mesh, PartitionSpec(None, AXIS) if stacked else PartitionSpec(AXIS))


def state_shardings(mesh: Mesh, abstract_state: Any, rules: Rules = DEFAULT_RULES) -> Any:
  """A tree of shardings for the state: the first rule that finds its pattern in a path wins, no rule means copies.

  Args:
    mesh: from `make_mesh`.
    abstract_state: arrays, or what `jax.eval_shape` gives.
    rules: (pattern, axis) pairs; the leading dimension of a matching leaf is split over that axis.

  Raises:
    BadSetting: if a leading dimension does not divide over the devices.
  """
  shardings = [_sharding(mesh, name, leaf.shape, rules) for name, leaf in named_leaves(abstract_state).items()]
  return jax.tree.unflatten(jax.tree.structure(abstract_state), shardings)


def spread(key: Array, mesh: Mesh) -> Array:
  """The same typed key on every device of every process."""
  data, implementation = np.asarray(jax.random.key_data(key)), jax.random.key_impl(key)
  copies = jax.make_array_from_callback(data.shape, replicated(mesh), lambda index: data[index])
  return jax.random.wrap_key_data(copies, impl=implementation)


def place(mesh: Mesh, host_batch: Mapping[str, np.ndarray], *, stacked: bool = False) -> dict[str, Array]:
  """Puts this process's share of a batch on its devices, as part of one global array for each name.

  Args:
    mesh: from `make_mesh`.
    host_batch: name to [B / P, ...], or [K, B / P, ...] with `stacked`, for P processes and K steps in one call.
    stacked: whether there is a leading axis of steps.

  Raises:
    BadSetting: if the batch does not divide over the devices.
  """
  sharding = batch_sharding(mesh, stacked=stacked)
  return {name: _place(mesh, name, np.asarray(value), sharding, int(stacked)) for name, value in host_batch.items()}


def _sharding(mesh: Mesh, name: str, shape: tuple[int, ...], rules: Rules) -> NamedSharding:
  axis = next((axis for pattern, axis in rules if re.search(pattern, name)), None)
  if axis is None:
    return replicated(mesh)
  if not shape:
    raise BadSetting(f"{name} is a scalar and cannot be split over {axis!r}; keep it out of the sharding rules")
  slots, devices = shape[0], mesh.shape[axis]
  if slots % devices:
    raise BadSetting(
      f"{name} of {slots} slots does not divide over {devices} devices; use a multiple of {devices}, or fewer devices"
    )
  return NamedSharding(mesh, PartitionSpec(axis))


def _place(mesh: Mesh, name: str, value: np.ndarray, sharding: NamedSharding, lead: int) -> Array:
  if value.ndim <= lead:
    raise BadSetting(f"batch[{name!r}] has shape {value.shape}; the examples need an axis of their own")
  processes = len({device.process_index for device in mesh.devices.flat})
  size, devices = value.shape[lead] * processes, mesh.devices.size
  if size == 0 or size % devices:
    raise BadSetting(
      f"batch {size} does not divide over {devices} devices; use a multiple of {devices} (config.data.batch)"
    )
  shape = (*value.shape[:lead], size, *value.shape[lead + 1 :])
  return jax.make_array_from_process_local_data(sharding, value, shape)
