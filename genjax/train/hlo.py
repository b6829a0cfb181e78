"""Reads the text of a compiled program: what one device computes, moves and sends, every loop in full.

XLA's own cost analysis counts the body of a loop once; here it counts as often as it runs. How often is in the text
(known_trip_count, or the constant that the loop's condition compares with: an upper bound where a loop may end
earlier), or the caller knows it. Of the branches of a conditional the one with most products counts; where none has
any, the one that moves least, for such a conditional is a check that hardly ever takes the other.

Shapes   Everything is of one device. Products: 2 operations for each multiply-add of a matrix product or convolution
         that meets no padding (see flops.py); `passes` is these times the passes of bfloat16 that their precision
         takes. Bytes: what an instruction reads and writes in the device's memory, in padded tiles; a slice of an
         array counts as the slice, an update in place as the update, an array in on-chip memory not at all.
Checked  tests/train/test_hlo.py, by programs written by hand; tests/test_tpu.py: products against the traced program
"""

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from genjax.train.chips import PASSES
from genjax.train.flops import taps
from genjax.train.hlo_text import (
  Instruction,
  Program,
  arrays,
  called,
  elements,
  memory_of,
  parse,
  shape_of,
  size_of,
  source_of,
)

COLLECTIVES = (
  "all-reduce",
  "all-gather",
  "all-to-all",
  "ragged-all-to-all",
  "collective-permute",
  "collective-broadcast",
  "reduce-scatter",
)
_FREE = """parameter constant tuple get-tuple-element bitcast after-all partition-id replica-id opt-barrier domain
  add-dependency while conditional call async-start async-update async-done"""
_SLICES = ("dynamic-slice", "slice", "gather")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_LABELS = re.compile(r"dim_labels=([\w?]+)_([\w?]+)->([\w?]+)")
_WINDOW = re.compile(r"window=\{([^}]*)\}")
_PRECISION = re.compile(r"operand_precision=\{([^}]*)\}")
_CONTRACTED = re.compile(r"lhs_contracting_dims=\{([\d,]*)\}")
_GROUPS = re.compile(r"replica_groups=(?:\{\{([\d,]*)\}|\[\d+,(\d+)\])")


class Work(NamedTuple):
  """An instruction that runs, and what it costs each time."""

  name: str
  times: float
  flops: float  # of products
  passes: float  # the same as operations of bfloat16
  bytes: int  # from and to memory


class Collective(NamedTuple):
  """One exchange between devices, as it stands in the compiled program."""

  name: str  # all-reduce, all-gather, ...
  shapes: tuple[str, ...]  # what one device ends up with, as in "f32[32,64]"
  bytes: int  # of these
  source: str  # path of the operation in the traced program, and file:line where the text has it
  times: float = 1.0  # in one call; 0 in a branch that does not count
  group: int = 0  # devices that exchange with each other; 0: all


class Reading(NamedTuple):
  """What one call of a program does."""

  work: tuple[Work, ...]
  collectives: tuple[Collective, ...]  # in the order of the text, those in loops, branches and fusions too
  unknown_loops: int  # counted once

  def total(self, of: Callable[[Work], float]) -> float:
    """The sum of a number over all that runs."""
    return math.fsum(work.times * of(work) for work in self.work)


def read(text: str, trips: Sequence[int] = (), *, steps: bool = False) -> Reading:
  """Reads a compiled program.

  Args:
    text: of `compiled.as_text()`; of a text without an ENTRY only the exchanges are read.
    trips: lengths of the loops whose length is not in the text, from the traced program. The text does not say which
      is which, so they are used where all are the same, and as many.
    steps: the outermost loop of unknown length is that of the steps of a call, of which one is wanted.
  """
  program = parse(text)
  items = [(name, item) for name, body in program.computations.items() for item in body.values()]
  loops = [name for name, item in items if item.opcode == "while" and _trips(program, item) is None]
  nameless = [name for name in loops if not (steps and name == program.entry)]
  guess = trips[0] if len(set(trips)) == 1 and len(nameless) == len(trips) else None
  runs, fused, unknown = _runs(program, guess, steps)
  often = {**dict.fromkeys(program.computations, 0.0 if program.entry else 1.0), **fused, **runs}
  exchanges = tuple(_collective(program, item, often[name]) for name, item in items if exchange(item))
  work = tuple(_work(program, name, item, runs[name]) for name, item in items if runs.get(name) and _costs(item))
  return Reading(work, exchanges, unknown)


def exchange(item: Instruction) -> str:
  """Which collective an instruction starts, or ""."""
  return next((name for name in COLLECTIVES if item.opcode in (name, f"{name}-start")), "")


def _costs(item: Instruction) -> bool:
  return item.opcode not in _FREE.split() and not item.opcode.endswith("-done") and not exchange(item)


# How often ------------------------------------------------------------------------------------------------------------


def _runs(program: Program, guess: int | None, steps: bool) -> tuple[dict[str, float], dict[str, float], int]:
  """How often each computation runs in one call, each fused one too, and how many loops are of unknown length."""
  runs: dict[str, float] = {}
  fused: dict[str, float] = {}
  unknown = 0

  def trips(name: str, loop: Instruction) -> int | None:
    return _trips(program, loop) or (1 if steps and name == program.entry else guess)

  @functools.cache
  def cost(name: str) -> tuple[float, float]:
    """(products, bytes) of a computation with all that it calls."""
    flops = size = 0.0
    for item in program.computations[name].values():
      if _costs(item):
        work = _work(program, name, item, 1.0)
        flops, size = flops + work.flops, size + work.bytes
      for inner, times in inside(name, item):
        more = cost(inner)
        flops, size = flops + times * more[0], size + times * more[1]
    return flops, size

  def inside(name: str, item: Instruction) -> list[tuple[str, float]]:
    """The computations that an instruction of computation `name` runs, and how often."""
    if item.opcode == "while":
      times = float(trips(name, item) or 1)
      of = lambda key, times: [(inner, times) for inner in called(item, key)]
      return of("body", times) + of("condition", times + 1)
    if item.opcode == "conditional":
      branches = called(item, "branch_computations", "true_computation", "false_computation")
      dearest = max(branches, key=lambda name: (cost(name)[0], -cost(name)[1]), default=None)
      return [(branch, float(branch == dearest)) for branch in branches]
    if item.opcode in ("call", "async-start"):
      return [(inner, 1.0) for inner in called(item, "to_apply", "calls")]
    return []

  def visit(name: str, times: float) -> None:
    nonlocal unknown
    runs[name] = runs.get(name, 0.0) + times
    for item in program.computations[name].values():
      unknown += bool(item.opcode == "while" and times and trips(name, item) is None)
      for inner, count in inside(name, item):
        visit(inner, times * count)
      if item.opcode == "fusion":
        fuse(item, times)

  def fuse(item: Instruction, times: float) -> None:
    for name in called(item, "calls"):
      fused[name] = fused.get(name, 0.0) + times
      for inner in program.computations.get(name, {}).values():
        if inner.opcode == "fusion":
          fuse(inner, times)

  if program.entry:
    visit(program.entry, 1.0)
  return runs, fused, unknown


def _trips(program: Program, loop: Instruction) -> int | None:
  """How often the body of a loop runs at most; None: that is not in the text."""
  if known := _TRIPS.search(loop.rest):
    return int(known[1])
  names = called(loop, "condition")
  names += [inner for name in names for item in program.computations[name].values() for inner in called(item, "calls")]
  items = [item for name in names for item in program.computations[name].values()]
  bounds = [
    int(item.inside)
    for item in items
    if item.opcode == "constant" and re.match(r"[su]\d+\[\]", item.type) and item.inside.lstrip("-").isdigit()
  ]
  compares = any(item.opcode == "compare" and re.search(r"direction=(LT|GT)", item.rest) for item in items)
  return bounds[0] if compares and len(bounds) == 1 and bounds[0] > 0 else None


# How much -------------------------------------------------------------------------------------------------------------


def _work(program: Program, name: str, item: Instruction, times: float) -> Work:
  body = program.computations[name]
  flops, passes = _products(program, body, item)
  return Work(item.name, times, flops, passes, _bytes(program, body, item))


def _bytes(program: Program, body: Mapping[str, Instruction], item: Instruction) -> int:
  types = [body[name].type for name in item.operands if name in body]
  inner = program.computations.get(next(iter(called(item, "calls")), "")) if item.opcode == "fusion" else None
  if inner is not None:
    return _bytes_of_fusion(inner, types, item.type)
  if item.opcode.endswith("-start"):  # (what it makes, what it reads, ...) or ((what it reads), what it makes, ...)
    parts = elements(item.type)
    made = parts[1] if parts[0].startswith("(") else parts[0]
    return _moved(types[:1], made, size=memory_of(made, anywhere=True))
  if item.opcode in _SLICES:
    return _moved(types[:1], item.type, size=memory_of(item.type, anywhere=True))
  if item.opcode == "dynamic-update-slice":
    return memory_of(types[1]) + _moved([], item.type, size=memory_of(types[1], anywhere=True))
  if item.opcode == "scatter":
    return 2 * memory_of(types[-1]) + _moved([], item.type, size=memory_of(types[-1], anywhere=True))
  return sum(map(memory_of, types)) + memory_of(item.type)


def _moved(read: Sequence[str], written: str, *, size: int) -> int:
  """Bytes of a part of `size` of what is read and of what is written, where they lie in memory."""
  return size * (sum(memory_of(kind) > 0 for kind in read) + (memory_of(written) > 0))


def _bytes_of_fusion(inner: Mapping[str, Instruction], types: Sequence[str], result: str) -> int:
  """Operands in full, or the slices of them that are read; the result, or the part that is updated in place."""
  total, root = 0, next(item for item in inner.values() if item.root)
  for item in inner.values():
    if item.opcode != "parameter" or int(item.inside) >= len(types):
      continue
    kind = types[int(item.inside)]
    users = [user for user in inner.values() if item.name in user.operands]
    if users and all(_sliced(user, item.name) for user in users):
      updates = lambda user: user.opcode == "dynamic-update-slice"
      total += sum(_moved([kind], "", size=memory_of(user.type, anywhere=True)) for user in users if not updates(user))
    else:
      total += memory_of(kind)
  roots = [inner[name] for name in root.operands if name in inner] if root.opcode == "tuple" else [root]
  for item, kind in zip(roots, elements(result), strict=False):
    while item.opcode == "bitcast" and item.operands[0] in inner:
      item = inner[item.operands[0]]
    part = inner[item.operands[1]].type if item.opcode == "dynamic-update-slice" else kind
    total += _moved([], kind, size=memory_of(part, anywhere=True))
  return total


def _sliced(user: Instruction, name: str) -> bool:
  """Whether an instruction reads a part of an operand alone, or writes into it."""
  return user.opcode in (*_SLICES, "dynamic-update-slice") and user.operands[:1] == (name,)


def _products(program: Program, body: Mapping[str, Instruction], item: Instruction) -> tuple[float, float]:
  """Operations of the products of an instruction, with those of what it fuses: as they are, and in passes."""
  if item.opcode in ("convolution", "dot"):
    flops = _convolution(body, item) if item.opcode == "convolution" else _dot(body, item)
    kind = arrays(body[item.operands[0]].type)[0].dtype
    if kind[0] not in "fbc":
      return 0.0, 0.0
    flops *= 4.0 if kind[0] == "c" else 1.0
    words = _PRECISION.search(item.rest)
    wanted = max((PASSES.get(word, 1) for word in re.split("[, ]+", words[1])), default=1) if words else 1
    return flops, flops * (wanted if kind == "f32" else 1)
  if item.opcode != "fusion":
    return 0.0, 0.0
  inner = [program.computations.get(name, {}) for name in called(item, "calls")]
  each = [_products(program, fused, one) for fused in inner for one in fused.values()]
  return sum(flops for flops, _ in each), sum(passes for _, passes in each)


def _dot(body: Mapping[str, Instruction], item: Instruction) -> float:
  axes = _CONTRACTED.search(item.rest)
  shape = shape_of(body[item.operands[0]].type)
  contracted = [shape[int(axis)] for axis in axes[1].split(",") if axis] if axes else []
  return 2.0 * math.prod(shape_of(item.type)) * math.prod(contracted)


def _convolution(body: Mapping[str, Instruction], item: Instruction) -> float:
  labels = _LABELS.search(item.rest)
  if labels is None:
    return 0.0
  image, kernel, out = labels.groups()
  of_image, of_kernel = (shape_of(body[name].type) for name in item.operands[:2])
  of_out, window = shape_of(item.type), _window(item.rest)
  count = of_out[out.index("b")] * of_out[out.index("f")] * of_kernel[kernel.index("i")]
  for axis in filter(str.isdigit, image):
    of = lambda key, default, axis=axis: window[key][int(axis)] if key in window else default
    count *= taps(
      of_image[image.index(axis)],
      of_kernel[kernel.index(axis)],
      of_out[out.index(axis)],
      int(str(of("pad", "0_0")).split("_")[0]),
      int(of("stride", 1)),
      int(of("lhs_dilate", 1)),
      int(of("rhs_dilate", 1)),
    )
  return 2.0 * count


def _window(rest: str) -> dict[str, list[str]]:
  """Attributes of a window, each with a value for every axis."""
  match = _WINDOW.search(rest)
  pairs = (field.split("=", 1) for field in match[1].split()) if match else ()
  return {key: value.split("x") for key, value in pairs}


def _collective(program: Program, item: Instruction, times: float) -> Collective:
  name, kind = exchange(item), item.type
  if item.opcode.endswith("-start") and name != "all-reduce" and kind.startswith("("):
    kind = elements(kind)[1]  # (what is sent, what is received, ...)
  shapes = tuple(f"{array.dtype}[{','.join(map(str, array.shape))}]" for array in arrays(kind))
  groups = _GROUPS.search(item.rest)
  group = 0 if groups is None else int(groups[2]) if groups[2] else len(groups[1].split(","))
  return Collective(name, shapes, size_of(kind), source_of(program, item), times, group)
