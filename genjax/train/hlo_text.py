"""The text of a compiled program (HLO) as computations of instructions, and the sizes of their types.

Shapes   A type is "f32[8,4]{1,0:T(8,128)S(1)}", an array with its layout, or a tuple "(f32[8], s32[])" of types.
Checked  tests/train/test_hlo.py, by programs written by hand
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_COMMENT = re.compile(r"/\*.*?\*/")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
_LINE = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = ")
_OPCODE = re.compile(r" ?([\w\-]+)\(")
_NAME = re.compile(r"%([\w.\-]+)")
_ARRAY = re.compile(r"\b(pred|token|[a-z]+(\d+)[a-z0-9]*)\[([\d,<=]*)\](?:\{([^}]*)\})?")
_TILE = re.compile(r"T\(([\d,]+)\)")
_ON_CHIP = re.compile(r"S\([1-4]\)")  # memory spaces beside the cores; 0, the default, is the device's memory
_ROW = re.compile(r'^(\d+) (?:"(.*)"|\{(.*)\})$')
_FIELD = re.compile(r"(\w+)=(\d+)")
_OP_NAME = re.compile(r'op_name="([^"]*)"')
_LOCATION = re.compile(r'source_file="([^"]*)" source_line=(\d+)')
_FRAME = re.compile(r"stack_frame_id=(\d+)")


class Instruction(NamedTuple):
  """One line of a computation."""

  name: str
  type: str  # of its result
  opcode: str
  operands: tuple[str, ...]  # names, of the same computation
  inside: str  # what stands in the brackets: the number of a parameter, the value of a constant
  rest: str  # attributes
  root: bool


class Program(NamedTuple):
  """Computations by name; instructions by name in each."""

  computations: Mapping[str, Mapping[str, Instruction]]
  entry: str  # name of the computation that a call runs; "": the text has none
  frames: Mapping[str, str]  # number of a stack frame -> "file:line" of genjax's own code nearest to the operation


class Array(NamedTuple):
  """One array of a type."""

  dtype: str
  bits: int  # of an element
  shape: tuple[int, ...]
  layout: str  # what stands in the braces


def parse(text: str) -> Program:
  """Reads a text. Lines that are no instructions are left out."""
  computations: dict[str, dict[str, Instruction]] = {}
  tables: dict[str, dict[str, str]] = {}
  entry = name = table = ""
  for line in text.splitlines():
    if line and not line[0].isspace() and line[0] != "}":
      if row := _ROW.match(line):
        tables.setdefault(table, {})[row[1]] = row[2] or row[3]
        continue
      table = line.strip()
      if head := _HEAD.match(line):
        name = head[2]
        entry = name if head[1] else entry
        computations[name] = {}
    elif (item := _instruction(_COMMENT.sub("", line))) is not None:
      computations.setdefault(name, {})[item.name] = item
  return Program(computations, entry, _frames(tables))


def called(item: Instruction, *keys: str) -> list[str]:
  """Names of the computations that an instruction names by these attributes."""
  names = []
  for key in keys:
    for match in re.finditer(rf"\b{key}=(?:%?([\w.\-]+)|\{{([^}}]*)\}})", item.rest):
      names += [match[1]] if match[1] else _NAME.findall(match[2])
  return names


def source_of(program: Program, item: Instruction) -> str:
  """Path of the operation in the traced program, and file:line where the text has it."""
  name = _OP_NAME.search(item.rest)
  place, frame = _LOCATION.search(item.rest), _FRAME.search(item.rest)
  where = f"{place[1]}:{place[2]}" if place else program.frames.get(frame[1], "") if frame else ""
  return " ".join(filter(None, (name[1] if name else "", f"({_short(where)})" if where else "")))


def arrays(kind: str) -> list[Array]:
  """The arrays of a type, in order."""
  sizes = lambda text: tuple(int(size.lstrip("<=")) for size in text.split(",") if size)
  width = lambda dtype, bits: {"pred": 8, "token": 0}.get(dtype, int(bits or 0))
  return [Array(dtype, width(dtype, bits), sizes(shape), layout) for dtype, bits, shape, layout in _ARRAY.findall(kind)]


def shape_of(kind: str) -> tuple[int, ...]:
  """Of a type that is one array."""
  return arrays(kind)[0].shape


def size_of(kind: str) -> int:
  """Bytes of a type's elements, without padding, wherever they lie."""
  return sum(math.ceil(math.prod(array.shape) * array.bits / 8) for array in arrays(kind))


def memory_of(kind: str, *, anywhere: bool = False) -> int:
  """Bytes that a type takes in the device's memory, with the padding of its tiles; arrays on chip take none.

  Args:
    kind: the type.
    anywhere: count arrays on chip too.
  """
  held = [array for array in arrays(kind) if anywhere or not _ON_CHIP.search(array.layout)]
  return sum(math.ceil(math.prod(_padded(array)) * array.bits / 8) for array in held)


def elements(kind: str) -> list[str]:
  """The types of a tuple "(a, (b, c), d)", commas inside brackets left alone; a type that is no tuple alone."""
  if not kind.startswith("("):
    return [kind]
  parts, depth = [""], 0
  for letter in kind[1:-1]:
    depth += (letter in "([{") - (letter in ")]}")
    if letter == "," and depth == 0:
      parts.append("")
    else:
      parts[-1] += letter
  return [part.strip() for part in parts]


def _padded(array: Array) -> Iterator[int]:
  """Sizes of the axes, the minor ones rounded up to the layout's tile."""
  tile = _TILE.search(array.layout)
  order = [int(axis) for axis in array.layout.partition(":")[0].split(",") if axis]
  if tile is None or len(order) != len(array.shape):
    return iter(array.shape)
  edges = [int(edge) for edge in tile[1].split(",")][::-1]
  sizes = [array.shape[axis] for axis in order]
  return (-(-size // edge) * edge for size, edge in zip(sizes, edges + [1] * len(sizes), strict=False))


def _instruction(line: str) -> Instruction | None:
  head = _LINE.match(line)
  if head is None:
    return None
  start = head.end()
  end = _closing(line, start) if line[start : start + 1] == "(" else line.find(" ", start)
  opcode = _OPCODE.match(line, end) if end > 0 else None
  if opcode is None:
    return None
  close = _closing(line, opcode.end() - 1)
  inside = line[opcode.end() : close - 1]
  return Instruction(
    head[2], line[start:end], opcode[1], tuple(_NAME.findall(inside)), inside, line[close:], bool(head[1])
  )


def _closing(line: str, start: int) -> int:
  """The place behind the bracket that closes the one at `start`."""
  depth = 0
  for place in range(start, len(line)):
    depth += (line[place] == "(") - (line[place] == ")")
    if depth == 0:
      return place + 1
  return len(line)


def _frames(tables: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
  """Number of a stack frame -> "file:line", from the tables in the head of a text."""
  files, fields = tables.get("FileNames", {}), lambda row: dict(_FIELD.findall(row))
  places = {number: fields(row) for number, row in tables.get("FileLocations", {}).items()}
  stack = {number: fields(row) for number, row in tables.get("StackFrames", {}).items()}

  def where(number: str) -> str:
    place = places.get(stack[number].get("file_location_id", ""), {})
    return f"{files.get(place.get('file_name_id', ''), '')}:{place.get('line', '')}"

  def nearest(number: str) -> str:
    seen, at = [], number
    while at in stack and at not in seen:
      seen.append(at)
      at = str(int(stack[at].get("parent_frame_id", 0)) - 1)  # counted from 1: 1 is nobody
    return next((place for place in map(where, seen) if "/genjax/" in place), where(number))

  return {number: nearest(number) for number in stack}


def _short(place: str) -> str:
  """A path from the package's folder on."""
  head, folder, tail = place.rpartition("/genjax/")
  return f"genjax/{tail}" if folder else place
