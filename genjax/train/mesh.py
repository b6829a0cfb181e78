"""Devices as a grid of three axes, and what is split over which of them: examples by their place, the state by path.

    data    examples: batches, pools, episodes
    fsdp    examples too; and parameters with their averages and moments, of which each device keeps a part
    model   the kernels of wide layers, of which each device computes a part

A known fault: GANs have wrong gradients on a grid of all three axes (tests/systems/test_gan_vitgan.py), so
experiment.py gives the other axes to systems alone whose numbers are tested on it.

An axis of one device splits nothing. Models know nothing of all this: XLA adds what the devices send to one another.

Papers   fsdp   Rajbhandari et al. 2020, arXiv:1910.02054 (ZeRO), as rules on paths of GSPMD (Xu et al. 2021,
                arXiv:2105.04663); model  Shoeybi et al. 2019, arXiv:1909.08053: of two kernels in a row, the first is
                split where it goes out and the second where it comes in, as these are their larger dimensions
Checked  tests/train/test_mesh.py, tests/systems/contract.py
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from genjax.core import Array, Batch, Layout, Metrics, State, System, laid_out
from genjax.train.errors import BadSetting
from genjax.train.paths import named_leaves

DATA, FSDP, MODEL = "data", "fsdp", "model"
EXAMPLES = (DATA, FSDP)  # the axes over which examples are split
LEAST, WIDTH = 2**14, 256  # numbers of a leaf, and width of a layer, from which on they are split
Rule = Callable[[Mesh, str, tuple[int, ...]], PartitionSpec]  # mesh, path, shape -> how such a leaf is split
Rules = Sequence[tuple[str, Rule]]  # (regular expression searched in a leaf's path, rule); the first that fits


def make_mesh(devices: Sequence[jax.Device] | None = None, /, *, data: int = -1, fsdp: int = 1, model: int = 1) -> Mesh:
  """The grid [data, fsdp, model] of `devices`, by default all of them, those of other processes included.

  Args:
    devices: in the order of the grid: neighbours along `model` stand side by side.
    data, fsdp, model: devices along each axis; `data` -1: as many as there are for the other two.

  Raises:
    BadSetting: the devices do not make such a grid, or `model` spans processes, which would read the same examples.
  """
  known = np.array(jax.devices() if devices is None else devices)
  sizes = {DATA: data, FSDP: fsdp, MODEL: model}
  if min(fsdp, model) < 1 or known.size % (fsdp * model):
    raise BadSetting(
      f"config.mesh.fsdp={fsdp} times config.mesh.model={model} does not divide {known.size} devices; "
      "use 1 and 1, or numbers whose product divides it"
    )
  sizes[DATA] = known.size // (fsdp * model) if data == -1 else data
  if math.prod(sizes.values()) != known.size:
    raise BadSetting(
      f"config.mesh is {_spelled(sizes)}, there are {known.size} devices; use data=-1 for as many as are left over"
    )
  grid = known.reshape(*sizes.values())
  owners = np.vectorize(lambda device: device.process_index)(grid)
  if (owners != owners[..., :1]).any():
    local = known.size // len(set(owners.flat))
    raise BadSetting(f"config.mesh.model={model} spans processes of {local} devices; use a divisor of {local}")
  return Mesh(grid, tuple(sizes), axis_types=(AxisType.Auto,) * len(sizes))


def shares(mesh: Mesh) -> int:
  """The number of parts into which examples are split."""
  return math.prod(mesh.shape[axis] for axis in EXAMPLES)


def replicated(mesh: Mesh) -> NamedSharding:
  """Every device holds all of it."""
  return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh, *, stacked: bool = False) -> NamedSharding:
  """Examples over `data` and `fsdp`; with `stacked` they are the second axis, behind the steps of one call."""
  return NamedSharding(mesh, PartitionSpec(None, EXAMPLES) if stacked else PartitionSpec(EXAMPLES))


# Rules ----------------------------------------------------------------------------------------------------------------


def examples(mesh: Mesh, path: str, shape: tuple[int, ...]) -> PartitionSpec:
  """The leading dimension as the examples of a batch: slots of a pool.

  Raises:
    BadSetting: it does not divide over the devices.
  """
  if not shape:
    raise BadSetting(f"{path} is a scalar and cannot be split over devices; keep it out of the sharding rules")
  slots, count = shape[0], shares(mesh)
  if slots % count:
    raise BadSetting(
      f"{path} of {slots} slots does not divide over {_among(mesh)}; use a multiple of {count}, or fewer devices"
    )
  return PartitionSpec(EXAMPLES)


def weights(mesh: Mesh, path: str, shape: tuple[int, ...], *, least: int = LEAST, width: int = WIDTH) -> PartitionSpec:
  """The larger of the last two dimensions over `model` if it is wide, the largest of the others over `fsdp`.

  A dimension is split if it divides over the devices of the axis; a small leaf and one that fits nowhere are copied.
  Averages and moments have the shape of their parameter, and so its split.

  Args:
    mesh, path, shape: as of every rule.
    least: numbers in the smallest leaf that is split.
    width: the smallest dimension that is split over `model`.
  """
  split: dict[int, str] = {}

  def put(axis: str, places: Sequence[int], at_least: int) -> None:
    fits = [i for i in places if i not in split and shape[i] >= at_least and shape[i] % mesh.shape[axis] == 0]
    if mesh.shape[axis] > 1 and fits:
      split[max(fits, key=lambda i: (shape[i], i))] = axis

  if math.prod(shape) >= least:
    last = range(len(shape))[-2:]
    put(MODEL, [max(last, key=lambda i: (shape[i], i))] if len(shape) > 1 else [], width)
    put(FSDP, range(len(shape)), 1)
  return PartitionSpec(*(split.get(i) for i in range(max(split, default=-1) + 1)))


def rules_of(*, least: int = LEAST, width: int = WIDTH) -> Rules:
  """Pools as examples; a system's parameters, averages and moments as `weights` says of these sizes; else copies."""
  return (
    (r"(^|/)pool(/|$)", examples),
    (r"^(params|ema|optimizer)(/|$)", partial(weights, least=least, width=width)),
  )


DEFAULT_RULES = rules_of()


def state_shardings(mesh: Mesh, abstract_state: Any, rules: Rules = DEFAULT_RULES) -> Any:
  """A tree of shardings for the state: the first rule that finds its pattern in a path wins, no rule means copies.

  Args:
    mesh: from `make_mesh`.
    abstract_state: arrays, or what `jax.eval_shape` gives.
    rules: see Rules.

  Raises:
    BadSetting: a leaf that must be split does not divide over the devices.
  """

  def sharding(path: str, shape: tuple[int, ...]) -> NamedSharding:
    rule = next((rule for pattern, rule in rules if re.search(pattern, path)), None)
    return replicated(mesh) if rule is None else NamedSharding(mesh, rule(mesh, path, shape))

  shardings = [sharding(path, leaf.shape) for path, leaf in named_leaves(abstract_state).items()]
  return jax.tree.unflatten(jax.tree.structure(abstract_state), shardings)


def on_mesh(system: System, mesh: Mesh, rules: Rules = DEFAULT_RULES) -> System:
  """The system, whose nets use whole parameters where `fsdp` keeps parts of them, in steps and in views.

  Without this XLA would choose how to multiply by parts, and split images along their sides to do so.
  """
  if mesh.shape[FSDP] == 1:
    return system
  rule = next((rule for pattern, rule in rules if re.search(pattern, "params/")), None)
  if rule is None:
    return system

  def constrained(tree: Any, kept: Callable[[Any], Any]) -> Any:
    at = lambda leaf: NamedSharding(mesh, PartitionSpec(*map(kept, rule(mesh, "params/", leaf.shape))))
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, at(leaf)), tree)

  layout = Layout(
    whole=lambda tree: constrained(tree, lambda axis: None if axis == FSDP else axis),
    parted=lambda tree: constrained(tree, lambda axis: axis),
  )

  def step(key: Array, state: State, batch: Batch) -> tuple[State, Metrics]:
    with laid_out(layout):
      return system.step(key, state, batch)

  def of_whole(view: Callable[..., Any]) -> Callable[..., Any]:
    return wraps(view)(lambda *arguments, **named: view(*map(gathered, arguments), **named))

  def gathered(argument: Any) -> Any:
    """A state with whole parameters and averages; anything else as it is."""
    fields = {"params", "ema"} & set(getattr(argument, "_fields", ()))
    return argument._replace(**{name: layout.whole(getattr(argument, name)) for name in fields}) if fields else argument

  return system._replace(step=step, views={name: of_whole(view) for name, view in system.views.items()})


# Arrays ---------------------------------------------------------------------------------------------------------------


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


def _place(mesh: Mesh, name: str, value: np.ndarray, sharding: NamedSharding, lead: int) -> Array:
  if value.ndim <= lead:
    raise BadSetting(f"batch[{name!r}] has shape {value.shape}; the examples need an axis of their own")
  processes = len({device.process_index for device in mesh.devices.flat})
  size, count = value.shape[lead] * processes, shares(mesh)
  if size == 0 or size % count:
    raise BadSetting(f"batch {size} does not divide over {_among(mesh)}; use a multiple of {count} (config.data.batch)")
  shape = (*value.shape[:lead], size, *value.shape[lead + 1 :])
  return jax.make_array_from_process_local_data(sharding, value, shape)


def _among(mesh: Mesh) -> str:
  """Over what examples are split, in words."""
  if mesh.shape[MODEL] == 1:
    return f"{mesh.size} devices"
  return f"{shares(mesh)} shares of {mesh.size} devices (config.mesh.model={mesh.shape[MODEL]})"


def _spelled(sizes: Mapping[str, int]) -> str:
  return ", ".join(f"{axis}={size}" for axis, size in sizes.items())
