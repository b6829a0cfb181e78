"""Compiles a system for a TPU slice on a machine without one, and says what it will need there.

libtpu's compiler works without a TPU. What comes back is the program each device will run: whether it fits, where the
memory goes, what it computes, and what the devices send to one another. Nothing is executed.

Shapes   Every number of bytes and of operations is of one device.
Checked  tests/train/test_plan.py (the reading of the program), tests/test_tpu.py (every system, by a table)
"""

import contextlib
import gzip
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.sharding import Mesh

from genjax.core import System
from genjax.train.chips import Chip
from genjax.train.compiled import jit_parts, jit_sample
from genjax.train.errors import BadSetting, StorageError
from genjax.train.files import write_whole
from genjax.train.flops import Flops, jaxpr_flops
from genjax.train.hlo import Collective, Reading, read
from genjax.train.machine import versions
from genjax.train.mesh import DEFAULT_RULES, Rules, batch_sharding, replicated, state_shardings
from genjax.train.paths import named_leaves
from genjax.train.roofline import Seconds, seconds
from genjax.train.slices import chips_of
from genjax.train.trips import loops

AbstractBatch = Mapping[str, jax.ShapeDtypeStruct]  # global: {name: [B, ...]}; arrays do as well

_UNKNOWN = ""  # stands for an argument of which no number is known
_OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"  # the one word of that error that is the same in every version


class Plan(NamedTuple):
  """What a compiled program needs on each device. Where it does not fit, `error` says so and the rest is empty.

  A training step's numbers are those of one step, memory apart, which is that of a call.
  """

  memory: dict[str, int]  # bytes: argument, output, alias (outputs that reuse arguments), temp, code, peak
  state: dict[str, int]  # bytes of each leaf of the state, by its path, without the padding of a device's layout
  collectives: tuple[Collective, ...]
  flops: float  # of products
  text: str  # the compiled program (HLO)
  error: str | None = None
  passes: float = math.nan  # the products as operations of bfloat16, see chips.PASSES
  bytes: float = math.nan  # from and to the device's memory
  model: Flops = Flops(math.nan, 0)  # products of all devices together, in the program as it is written
  unknown_loops: int = 0  # counted once in flops, passes, bytes and collectives
  seconds: Seconds | None = None  # None: not for a TPU of chips.py
  xla_seconds: float | None = None  # XLA's own estimate, where it is sane
  advice: tuple[str, ...] = ()  # what would be better, whether it fits or not

  @property
  def fits(self) -> bool:
    return self.error is None


class Compiled(NamedTuple):
  """What the compiler gave, as it is kept on disk."""

  memory: dict[str, int]
  xla_seconds: float
  text: str
  error: str | None


def compile_step(
  system: System,
  batch: AbstractBatch,
  mesh: Mesh,
  *,
  rules: Rules = DEFAULT_RULES,
  steps_per_call: int = 1,
  at_step: int = 0,
  cache: str | None = None,
) -> Plan:
  """The call that `loop.train` makes over and over: `steps_per_call` steps in a donated state.

  Args:
    system: what is trained; `core.prepared(system, data.prepare)` where the preparation is to be part of the step.
    batch: shapes of one step's global batch, as the system takes it.
    mesh: from `topology`, or any other.
    rules: which leaves of the state are split, see `mesh.state_shardings`.
    steps_per_call: steps in one compiled call.
    at_step: finished steps of the state, for loops whose length depends on them.
    cache: folder of what was compiled before; None: it is compiled anew.
  """
  key, state, shardings = _abstract(system, batch, mesh, rules)
  batches = {
    name: jax.ShapeDtypeStruct((steps_per_call, *leaf.shape), leaf.dtype, sharding=batch_sharding(mesh, stacked=True))
    for name, leaf in _divided(mesh, batch).items()
  }
  bound = jax.ShapeDtypeStruct((), jnp.int32, sharding=replicated(mesh))
  known = jax.tree.map(lambda _: _UNKNOWN, (key, state, batches))
  known = (known[0], known[1]._replace(step=at_step), known[2], 0, 1)
  call = jit_parts(system, steps_per_call, mesh, shardings)
  return _compile(call, (key, state, batches, bound, bound), known, mesh, state, cache, steps=steps_per_call > 1)


def compile_sample(
  system: System, batch: AbstractBatch, mesh: Mesh, n: int, *, rules: Rules = DEFAULT_RULES, cache: str | None = None
) -> Plan:
  """The view `sample` as `loop.train` calls it: every device makes its share where n divides, then each gets all n."""
  if "sample" not in system.views:
    raise BadSetting("this system has no view `sample`, so there is no sampler to compile")
  key, state, _ = _abstract(system, batch, mesh, rules)
  sample = jit_sample(system.views["sample"], mesh)
  call = jax.jit(lambda key, state: sample(key, state, n), out_shardings=replicated(mesh))
  planned = _compile(call, (key, state), None, mesh, state, cache)
  if n % mesh.size == 0:
    return planned
  each = f"{n} samples do not divide over {mesh.size} devices, so each makes all of them; use a multiple of {mesh.size}"
  return planned._replace(advice=(each,))


def compile_view(
  system: System,
  batch: AbstractBatch,
  mesh: Mesh,
  view: Callable[[Any, Any], Any],
  raw: AbstractBatch,
  *,
  split: bool,
  rules: Rules = DEFAULT_RULES,
  cache: str | None = None,
) -> Plan:
  """A view of the state and of raw examples, whose result every device gets.

  Args:
    system, batch, mesh, rules, cache: see `compile_step`.
    view: (state, raw) -> results.
    raw: shapes of the examples.
    split: over the devices; otherwise each looks at all of them.
  """
  _, state, _ = _abstract(system, batch, mesh, rules)
  placed = {
    name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=batch_sharding(mesh) if split else replicated(mesh))
    for name, leaf in (_divided(mesh, raw) if split else raw).items()
  }
  return _compile(jax.jit(view, out_shardings=replicated(mesh)), (state, placed), None, mesh, state, cache)


def compile_init(system: System, batch: AbstractBatch, mesh: Mesh, *, rules: Rules = DEFAULT_RULES) -> Plan:
  """The making of the state, each device its own part."""
  key, state, shardings = _abstract(system, batch, mesh, rules)
  first = {
    name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=batch_sharding(mesh)) for name, leaf in batch.items()
  }
  return _compile(jax.jit(system.init, out_shardings=shardings), (key, first), None, mesh, state, None)


def collectives(text: str) -> tuple[Collective, ...]:
  """Every exchange between devices in a compiled program's text, in its order; those in loops and fusions too."""
  return read(text).collectives


def _abstract(system: System, batch: AbstractBatch, mesh: Mesh, rules: Rules) -> tuple[Any, Any, Any]:
  key = jax.eval_shape(lambda: jax.random.key(0))
  try:
    state = jax.eval_shape(system.init, key, dict(batch))
  except ValueError as error:
    raise BadSetting(str(error)) from error
  shardings = state_shardings(mesh, state, rules)
  placed = jax.tree.map(lambda leaf, s: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=s), state, shardings)
  return jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=replicated(mesh)), placed, shardings


def _divided(mesh: Mesh, batch: AbstractBatch) -> AbstractBatch:
  """The batch, if its examples divide over the devices. Raises BadSetting."""
  sharding = batch_sharding(mesh)
  parts = mesh.size // sharding.shard_shape((mesh.size,))[0]
  for size in {leaf.shape[0] for leaf in batch.values()}:
    if size % parts:
      raise BadSetting(f"batch {size} does not divide over {parts} devices; use a multiple of {parts}")
  return batch


def _compile(
  call: Any, arguments: tuple, known: Any, mesh: Mesh, state: Any, cache: str | None, *, steps: bool = False
) -> Plan:
  traced = call.trace(*arguments)
  jaxpr = traced.jaxpr
  values = [None if value == _UNKNOWN else np.int32(value) for value in jax.tree.leaves(known)]
  lengths = loops(jaxpr, values or [None] * len(jaxpr.jaxpr.invars))
  trips = [loop.trips for loop in lengths.values() if not loop.written and loop.trips != 1]
  model = jaxpr_flops(jaxpr, {loop: it.trips for loop, it in lengths.items()})
  share = {name: _share(leaf) for name, leaf in named_leaves(state).items()}
  compiled = _kept(traced.lower(), mesh, cache)
  if compiled.error is not None:
    return Plan({}, share, (), math.nan, "", compiled.error, model=model)
  reading, (chip, grid) = read(compiled.text, trips, steps=steps), chips_of(mesh)
  took = seconds(reading, chip, grid) if chip is not None else None
  return Plan(
    compiled.memory,
    share,
    reading.collectives,
    reading.total(lambda work: work.flops),
    compiled.text,
    passes=reading.total(lambda work: work.passes),
    bytes=reading.total(lambda work: work.bytes),
    model=model,
    unknown_loops=reading.unknown_loops,
    seconds=took,
    xla_seconds=_sane(compiled.xla_seconds, reading, took, chip, grid),
  )


def _share(leaf: jax.ShapeDtypeStruct) -> int:
  return math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize


def _kept(lowered: Any, mesh: Mesh, cache: str | None) -> Compiled:
  """Compiles, or reads what the same program for the same devices gave before, by the same software."""
  if cache is None:
    return _compiled(lowered, mesh)
  known = versions() | {"libtpu": _libtpu(), "mesh": f"{mesh.devices.flat[0].device_kind} {mesh.shape}"}
  mark = hashlib.sha256(f"{sorted(known.items())}\n{lowered.as_text()}".encode()).hexdigest()
  path = epath.Path(cache) / f"{mark}.json.gz"
  try:
    return Compiled(**json.loads(gzip.decompress(path.read_bytes())))
  except (OSError, ValueError, TypeError, EOFError):  # not there, or not as it was written
    compiled = _compiled(lowered, mesh)
  with contextlib.suppress(StorageError):  # it will be compiled again
    write_whole(path, gzip.compress(json.dumps(compiled._asdict()).encode(), 6))
  return compiled


def _libtpu() -> str:
  try:
    return metadata.version("libtpu")
  except metadata.PackageNotFoundError:
    return ""


def _compiled(lowered: Any, mesh: Mesh) -> Compiled:
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    if _OUT_OF_MEMORY not in str(error):
      raise
    return Compiled({}, math.nan, "", _does_not_fit(str(error), mesh))
  costs = compiled.cost_analysis()
  costs = (costs[0] if isinstance(costs, list) else costs) or {}
  memory = _memory(compiled.memory_analysis())
  return Compiled(memory, float(costs.get("optimal_seconds", math.nan)), compiled.as_text(), None)


def _sane(
  estimate: float, reading: Reading, took: Seconds | None, chip: Chip | None, grid: Sequence[int]
) -> float | None:
  """XLA's estimate where it is a time: of v4 and later it often is none, and it counts the body of a loop once."""
  if chip is None or took is None:
    return None
  once = reading._replace(work=tuple(work._replace(times=min(work.times, 1.0)) for work in reading.work))
  loops_are_short = seconds(once, chip, grid).total > 0.95 * took.total
  return estimate if loops_are_short and took.total / 10 < estimate < 10 * took.total else None


def _memory(stats: Any) -> dict[str, int]:
  memory = {name: getattr(stats, f"{name}_size_in_bytes") for name in ("argument", "output", "alias", "temp")}
  memory["code"] = stats.generated_code_size_in_bytes
  held = memory["argument"] + memory["output"] - memory["alias"] + memory["temp"]
  # Older versions do not give the peak: all that is held at once is its upper bound.
  return memory | {"peak": getattr(stats, "peak_memory_in_bytes", 0) or held}


def _does_not_fit(message: str, mesh: Mesh) -> str:
  device = mesh.devices.flat[0].device_kind
  sizes = re.findall(r"\(?(\d+(?:\.\d+)?[KMGT])i?B?\)?", message)
  needs = f"needs {sizes[0]}B of {sizes[1]}B" if len(sizes) > 1 else message.splitlines()[0]
  return f"does not fit {mesh.size} x {device}: each {needs}; use more devices, a smaller batch, pool or net"
