"""Compiles a system for a TPU slice on a machine without one, and says what it will need there.

libtpu's compiler works without a TPU. What comes back is the program each device will run: whether it fits, where the
memory goes, and what the devices send to one another. Nothing is executed.

Departs  Numbers are of one pass over the program text: the body of a loop counts once, however often it runs.
Shapes   Every number of bytes is per device.
Checked  tests/train/test_plan.py (the reading of the program), tests/test_tpu.py (every system, by a table)
"""

import importlib.util
import math
import os
import platform
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies
from jax.sharding import Mesh

from genjax.core import System
from genjax.train.compiled import jit_sample, make_calls
from genjax.train.errors import BadSetting
from genjax.train.mesh import DEFAULT_RULES, Rules, batch_sharding, make_mesh, replicated, state_shardings
from genjax.train.paths import named_leaves

AbstractBatch = Mapping[str, jax.ShapeDtypeStruct]  # global: {name: [B, ...]}; arrays do as well

# Chip grids of the sizes Google Cloud sells: v2, v3, v4, v5p count cores (two a chip), v5e and v6e count chips.
_FLAT = {8: "2x2", 32: "4x4", 64: "4x8", 128: "8x8", 256: "8x16", 512: "16x16", 1024: "16x32", 2048: "32x32"}
_CUBE = {8: "2x2x1", 16: "2x2x2", 32: "2x2x4", 64: "2x4x4", 128: "4x4x4", 256: "4x4x8", 512: "4x8x8", 1024: "8x8x8"}
_LITE = {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
_SLICES = {"v2": _FLAT, "v3": _FLAT, "v4": _CUBE, "v5p": _CUBE, "v5e": _LITE, "v5litepod": _LITE, "v6e": _LITE}

_COLLECTIVE = re.compile(
  r" = (?P<type>(?:[^=]|<=)+?) (?P<name>all-reduce|all-gather|all-to-all|ragged-all-to-all|collective-permute"
  r"|collective-broadcast|reduce-scatter)(?P<start>-start)?\("
)
_ARRAY = re.compile(r"\b(pred|token|[a-z]+(\d+)[a-z0-9]*)\[([\d,<=]*)\]")
_COMMENT = re.compile(r"/\*.*?\*/")
_SOURCE = re.compile(r'op_name="([^"]*)"')
_OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"  # the one word of that error that is the same in every version


class Collective(NamedTuple):
  """One exchange between devices, as it stands in the compiled program."""

  name: str  # all-reduce, all-gather, ...
  shapes: tuple[str, ...]  # what one device ends up with, as in "f32[32,64]"
  bytes: int  # of these
  source: str  # path of the operation in the traced program


class Plan(NamedTuple):
  """What a compiled program needs on each device. Where it does not fit, `error` says so and the rest is empty."""

  memory: dict[str, int]  # bytes: argument, output, alias (outputs that reuse arguments), temp, code, peak
  state: dict[str, int]  # bytes of each leaf of the state, by its path, without the padding of a device's layout
  collectives: tuple[Collective, ...]
  flops: float
  text: str  # the compiled program (HLO)
  error: str | None = None

  @property
  def fits(self) -> bool:
    return self.error is None


def topology(name: str) -> Mesh:
  """One axis "data" over all devices of a TPU slice that need not exist.

  Args:
    name: a size as Google Cloud sells it ("v3-32", "v4-32", "v5e-8") or a grid of chips ("v3:4x4", "v4:2x2x4").

  Raises:
    BadSetting: libtpu is missing, or there is no such slice.
  """
  kind, grid = _grid(name)
  if os.environ.get("TPU_LIBRARY_PATH") is None and importlib.util.find_spec("libtpu") is None:
    raise BadSetting(
      f"compiling for {name} needs libtpu, which is not installed; pip install 'libtpu>=0.0.23' "
      f"(Linux on x86-64 only; this is {platform.system()} on {platform.machine()})"
    )
  quiet_libtpu()
  options: dict[str, Any] = {"chip_config_name": "megacore"} if kind in ("v4", "v5p") else {}
  if grid == "1x1":
    options["chips_per_host_bounds"] = [1, 1, 1]
  try:
    described = topologies.get_topology_desc(platform="tpu", topology_name=f"{kind}:{grid}", **options)
  except jax.errors.JaxRuntimeError as error:
    raise BadSetting(f"there is no TPU slice {name!r}: {str(error).splitlines()[0]}") from error
  return make_mesh(described.devices)


def compile_step(
  system: System, batch: AbstractBatch, mesh: Mesh, *, rules: Rules = DEFAULT_RULES, steps_per_call: int = 1
) -> Plan:
  """The call that `loop.train` makes over and over: `steps_per_call` steps in a donated state.

  Args:
    system: what is trained; `core.prepared(system, data.prepare)` where the preparation is to be part of the step.
    batch: shapes of one step's global batch, as the system takes it.
    mesh: from `topology`, or any other.
    rules: which leaves of the state are split, see `mesh.state_shardings`.
    steps_per_call: steps in one compiled call.
  """
  key, state, shardings = _abstract(system, batch, mesh, rules)
  batches = {
    name: jax.ShapeDtypeStruct((steps_per_call, *leaf.shape), leaf.dtype, sharding=batch_sharding(mesh, stacked=True))
    for name, leaf in batch.items()
  }
  call = make_calls(system, steps_per_call)
  return _compile(call, (key, state, batches), (shardings, replicated(mesh)), mesh, state, donate=(1,))


def compile_sample(system: System, batch: AbstractBatch, mesh: Mesh, n: int, *, rules: Rules = DEFAULT_RULES) -> Plan:
  """The view `sample` as `loop.train` calls it: every device makes its share where n divides, then each gets all n."""
  if "sample" not in system.views:
    raise BadSetting("this system has no view `sample`, so there is no sampler to compile")
  key, state, _ = _abstract(system, batch, mesh, rules)
  sample = jit_sample(system.views["sample"], mesh)
  return _compile(lambda key, state: sample(key, state, n), (key, state), replicated(mesh), mesh, state)


def compile_init(system: System, batch: AbstractBatch, mesh: Mesh, *, rules: Rules = DEFAULT_RULES) -> Plan:
  """The making of the state, each device its own part."""
  key, state, shardings = _abstract(system, batch, mesh, rules)
  first = {
    name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=batch_sharding(mesh)) for name, leaf in batch.items()
  }
  return _compile(system.init, (key, first), shardings, mesh, state)


def collectives(text: str) -> tuple[Collective, ...]:
  """Every exchange between devices in a compiled program's text, in its order; those in loops and fusions too."""
  lines = [_COMMENT.sub("", line) for line in text.splitlines()]
  return tuple(_collective(match, line) for line in lines if (match := _COLLECTIVE.search(line)))


def quiet_libtpu() -> None:
  """Keeps libtpu from asking a metadata server that is not there; a machine with a TPU is left as it is."""
  if any(os.path.exists(path) for path in ("/dev/accel0", "/dev/vfio/0")):
    return
  os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
  os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v3-8")
  os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
  os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # two programs may compile at once


def _grid(name: str) -> tuple[str, str]:
  kind, _, rest = name.replace(":", "-", 1).partition("-")
  sizes = _SLICES.get(kind)
  if sizes is None:
    raise BadSetting(f"there is no TPU {kind!r} in {name!r}; use one of {', '.join(_SLICES)}, as in 'v3-32'")
  kind = "v5e" if kind == "v5litepod" else kind
  if re.fullmatch(r"\d+(x\d+)+", rest):
    return kind, rest
  if not rest.isdigit() or int(rest) not in sizes:
    known = ", ".join(f"{kind}-{size}" for size in sizes)
    raise BadSetting(f"there is no TPU slice {name!r}; use {known}, or a grid of chips as in '{kind}:{sizes[8]}'")
  return kind, sizes[int(rest)]


def _abstract(system: System, batch: AbstractBatch, mesh: Mesh, rules: Rules) -> tuple[Any, Any, Any]:
  key = jax.eval_shape(lambda: jax.random.key(0))
  state = jax.eval_shape(system.init, key, dict(batch))
  shardings = state_shardings(mesh, state, rules)
  placed = jax.tree.map(lambda leaf, s: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=s), state, shardings)
  return jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=replicated(mesh)), placed, shardings


def _compile(
  function: Callable[..., Any], arguments: tuple, out: Any, mesh: Mesh, state: Any, donate: tuple[int, ...] = ()
) -> Plan:
  lowered = jax.jit(function, donate_argnums=donate, out_shardings=out).lower(*arguments)
  share = {name: _share(leaf) for name, leaf in named_leaves(state).items()}
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    if _OUT_OF_MEMORY not in str(error):
      raise
    return Plan({}, share, (), math.nan, "", _does_not_fit(str(error), mesh))
  text = compiled.as_text()
  return Plan(_memory(compiled.memory_analysis()), share, collectives(text), _flops(compiled), text)


def _share(leaf: jax.ShapeDtypeStruct) -> int:
  return math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize


def _memory(stats: Any) -> dict[str, int]:
  memory = {name: getattr(stats, f"{name}_size_in_bytes") for name in ("argument", "output", "alias", "temp")}
  memory["code"] = stats.generated_code_size_in_bytes
  held = memory["argument"] + memory["output"] - memory["alias"] + memory["temp"]
  # Older versions do not give the peak: all that is held at once is its upper bound.
  return memory | {"peak": getattr(stats, "peak_memory_in_bytes", 0) or held}


def _flops(compiled: Any) -> float:
  costs = compiled.cost_analysis()
  costs = costs[0] if isinstance(costs, list) else costs
  return float((costs or {}).get("flops", math.nan))


def _does_not_fit(message: str, mesh: Mesh) -> str:
  device = mesh.devices.flat[0].device_kind
  sizes = re.findall(r"\(?(\d+(?:\.\d+)?[KMGT])i?B?\)?", message)
  needs = f"needs {sizes[0]}B of {sizes[1]}B" if len(sizes) > 1 else message.splitlines()[0]
  return f"does not fit {mesh.size} x {device}: each {needs}; use more devices, a smaller batch, pool or net"


def _collective(match: re.Match[str], line: str) -> Collective:
  kind = match["type"]
  if match["start"] and match["name"] != "all-reduce" and kind.startswith("("):
    kind = _elements(kind)[1]  # (what is sent, what is received, ...)
  arrays = _ARRAY.findall(kind)
  source = _SOURCE.search(line)
  shapes = tuple(f"{dtype}[{sizes}]" for dtype, _, sizes in arrays)
  return Collective(match["name"], shapes, sum(map(_bytes, arrays)), source[1] if source else "")


def _elements(kind: str) -> list[str]:
  """The elements of a tuple type "(a, (b, c), d)", commas inside brackets left alone."""
  parts, depth = [""], 0
  for letter in kind[1:-1]:
    depth += (letter in "([{") - (letter in ")]}")
    if letter == "," and depth == 0:
      parts.append("")
    else:
      parts[-1] += letter
  return [part.strip() for part in parts]


def _bytes(array: tuple[str, str, str]) -> int:
  dtype, bits, sizes = array
  count = math.prod(int(size.lstrip("<=")) for size in sizes.split(",") if size)
  return math.ceil(count * {"pred": 8, "token": 0}.get(dtype, int(bits or 0)) / 8)
