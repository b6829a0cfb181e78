"""What torch.save wrote, read without PyTorch and without running a pickle.

A pickle is a program. It is not given to Python's unpickler: its few instructions that a dictionary of tensors needs
are worked off here, each name in it is compared with a list, and nothing is ever imported or called for it.

Papers   The formats of PyTorch: a zip file (since 1.6), and before that pickles one after the other (a magic number, a
         protocol, the machine, the object, the keys of the storages), followed by the storages.
Departs  torch.load: dictionaries, lists, tuples, numbers, strings and dense tensors only. Devices are ignored. Not
         read: bfloat16, the tar files of PyTorch before 0.1.10, big-endian files.
Shapes   a tensor comes as a numpy array of its own shape and type.
Checked  tests/test_torch_file.py: files that PyTorch wrote in both formats; names that are not admitted.
"""

import io
import math
import os
import pickletools
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

DAMAGES = (ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, RecursionError, zipfile.BadZipFile)
MAGIC = 0x1950A86A20F9469CFC6C
TYPES = {  # storages of PyTorch to little-endian numpy types
  "Double": "<f8",
  "Float": "<f4",
  "Half": "<f2",
  "Long": "<i8",
  "Int": "<i4",
  "Short": "<i2",
  "Char": "<i1",
  "Byte": "<u1",
  "Bool": "?",
}
STORAGES = {f"{home}.{name}Storage": kind for name, kind in TYPES.items() for home in ("torch", "torch.cuda")}
NAMES = (
  "collections.OrderedDict",
  "torch._utils._rebuild_tensor",
  "torch._utils._rebuild_tensor_v2",
  "torch._utils._rebuild_parameter",
  *STORAGES,
)


class Storage(NamedTuple):
  key: str
  kind: str  # numpy's
  start: int
  count: int


class Tensor(NamedTuple):
  storage: Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]


class Name(NamedTuple):
  """A global of the pickle: a word that stands for itself."""

  text: str


def read_torch(path: str | os.PathLike) -> Any:
  """The object in a file of torch.save, its tensors as numpy arrays.

  Raises:
    FileNotFoundError: no such file.
    ValueError: another kind of file, a damaged one, or one that asks for more than tensors; the text names it.
  """
  with open(path, "rb") as file:
    start = file.read(4)
  try:
    return _from_zip(path) if start == b"PK\x03\x04" else _from_pickles(path)
  except DAMAGES as error:
    said = error if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    raise ValueError(f'"{os.fspath(path)}" is not read: {said}') from error


# The two formats ------------------------------------------------------------------------------------------------------


def _from_zip(path: str | os.PathLike) -> Any:
  whole = os.path.getsize(path)
  with zipfile.ZipFile(path) as archive:
    (home,) = [name.removesuffix("data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")] or [None]
    if home is None:
      raise ValueError("it is a zip file without data.pkl; wanted a file of torch.save")

    def record(name: str) -> bytes:
      info = archive.getinfo(home + name)
      if info.compress_type != zipfile.ZIP_STORED or info.file_size > whole:
        raise ValueError(f"its record {name} is compressed; torch.save does not compress")
      return archive.read(info)

    if home + "byteorder" in archive.namelist() and record("byteorder") != b"little":
      raise ValueError("it was written on a big-endian machine")
    value = _worked_off(io.BytesIO(record("data.pkl")))
    contents: dict[str, bytes] = {}

    def bytes_of(key: str) -> bytes:
      if key not in contents:
        contents[key] = record(f"data/{key}")
      return contents[key]

    return _with_arrays(value, bytes_of)


def _from_pickles(path: str | os.PathLike) -> Any:
  with open(path, "rb") as opened:
    file = io.BytesIO(opened.read())
  try:
    magic = _worked_off(file)
  except DAMAGES as error:
    raise ValueError("it is no file of torch.save") from error
  if magic != MAGIC:
    raise ValueError("it is no file of torch.save, but another pickle")
  _worked_off(file)  # the protocol, 1001 since ever
  if _worked_off(file).get("little_endian") is not True:
    raise ValueError("it was written on a big-endian machine")
  kinds: dict[str, str] = {}
  value = _worked_off(file, kinds)
  contents = {}
  for key in _worked_off(file):
    count = int.from_bytes(file.read(8), "little")
    size = count * np.dtype(kinds[key]).itemsize
    contents[key] = file.read(size)
    if len(contents[key]) != size:
      raise ValueError(f"it is cut short: of storage {key} there are {len(contents[key])} bytes, not {size}")
  return _with_arrays(value, contents.__getitem__)


def _with_arrays(value: Any, bytes_of: Callable[[str], bytes]) -> Any:
  """The same with arrays for tensors; what stands in two places is copied once."""
  copies: dict[int, Any] = {}

  def copy(value: Any) -> Any:
    if not isinstance(value, Tensor | dict | list | tuple):
      return value
    if id(value) not in copies:
      copies[id(value)] = None  # only what contains itself meets it
      if isinstance(value, Tensor):
        copies[id(value)] = _array(value, bytes_of(value.storage.key))
      elif isinstance(value, dict):
        copies[id(value)] = {key: copy(item) for key, item in value.items()}
      else:
        copies[id(value)] = type(value)(map(copy, value)) if type(value) in (list, tuple) else value
    if copies[id(value)] is None:
      raise ValueError("something in it contains itself")
    return copies[id(value)]

  return copy(value)


def _array(tensor: Tensor, contents: bytes) -> np.ndarray:
  kind = np.dtype(tensor.storage.kind)
  if len(contents) % kind.itemsize:
    raise ValueError(f"storage {tensor.storage.key} has {len(contents)} bytes, no multiple of {kind.itemsize}")
  flat = np.frombuffer(contents, kind)[tensor.storage.start :][: tensor.storage.count]
  numbers = (tensor.storage.count, tensor.offset, *tensor.shape, *tensor.strides)
  size = math.prod(tensor.shape)
  last = tensor.offset + sum((side - 1) * stride for side, stride in zip(tensor.shape, tensor.strides, strict=True))
  if min(numbers) < 0 or len(flat) != tensor.storage.count or size > len(flat) or (size and last >= len(flat)):
    raise ValueError(
      f"a tensor of shape {tensor.shape} does not lie in its storage {tensor.storage.key} of {len(flat)} values"
    )
  if not size:
    return np.zeros(tensor.shape, kind.newbyteorder("="))
  steps = [stride * kind.itemsize for stride in tensor.strides]
  view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, steps)
  return view.astype(kind.newbyteorder("="), order="C")


# The instructions -----------------------------------------------------------------------------------------------------

_MARK = object()
_VALUES = (
  "BININT",
  "BININT1",
  "BININT2",
  "LONG1",
  "LONG4",
  "BINFLOAT",
  "BINUNICODE",
  "SHORT_BINUNICODE",
  "BINSTRING",
  "SHORT_BINSTRING",
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _worked_off(file: io.BytesIO, kinds: dict[str, str] | None = None) -> Any:
  """The value of the one pickle at the file's place. kinds: gets the numpy type of every storage."""
  stack: list[Any] = []
  memo: dict[int, Any] = {}

  def since_mark() -> list[Any]:
    place = len(stack) - 1
    while stack[place] is not _MARK:
      place -= 1
      if place < 0:
        raise ValueError("its pickle is damaged: an end without a beginning")
    items = stack[place + 1 :]
    del stack[place:]
    return items

  for opcode, argument, at in pickletools.genops(file):
    code = opcode.name
    if code in _VALUES:
      stack.append(argument)
    elif code in _CONSTANTS:
      stack.append(_CONSTANTS[code])
    elif code in _TUPLES:
      count = _TUPLES[code]
      stack.append(tuple(_taken(stack, count)))
    elif code in ("EMPTY_DICT", "EMPTY_LIST"):
      stack.append({} if code == "EMPTY_DICT" else [])
    elif code == "MARK":
      stack.append(_MARK)
    elif code == "TUPLE":
      stack.append(tuple(since_mark()))
    elif code in ("SETITEM", "SETITEMS"):
      items = _taken(stack, 2) if code == "SETITEM" else since_mark()
      _set(stack[-1], zip(items[::2], items[1::2], strict=True))
    elif code in ("APPEND", "APPENDS"):
      items = _taken(stack, 1) if code == "APPEND" else since_mark()
      if type(stack[-1]) is not list:
        raise ValueError("its pickle is damaged: something is put at the end of what is no list")
      stack[-1].extend(items)
    elif code in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
      memo[len(memo) if code == "MEMOIZE" else argument] = stack[-1]
    elif code in ("BINGET", "LONG_BINGET"):
      stack.append(memo[argument])
    elif code in ("GLOBAL", "STACK_GLOBAL"):
      words = argument.split(" ") if code == "GLOBAL" else _taken(stack, 2)
      stack.append(_admitted(".".join(map(str, words))))
    elif code == "REDUCE":
      name, given = _taken(stack, 2)
      stack.append(_made(name, given))
    elif code == "BUILD":
      _taken(stack, 1)  # attributes, such as the versions of a state dict's modules
      if type(stack[-1]) is not dict:
        raise ValueError(f"its pickle sets attributes of {type(stack[-1]).__name__}")
    elif code == "BINPERSID":
      stack.append(_storage(stack.pop(), kinds))
    elif code == "STOP":
      (value,) = stack
      return value
    elif code not in ("PROTO", "FRAME"):
      raise ValueError(f"its pickle has the instruction {code} at {at}, which no dictionary of tensors needs")
  raise ValueError("its pickle is cut short")


def _taken(stack: list[Any], count: int) -> list[Any]:
  if len(stack) < count:
    raise ValueError("its pickle is damaged: it takes more than there is")
  taken = stack[len(stack) - count :]
  del stack[len(stack) - count :]
  return taken


def _admitted(text: str) -> Name:
  if text not in NAMES:
    raise ValueError(f"its pickle asks for {text}; only tensors in dictionaries are read, and nothing else was run")
  return Name(text)


def _set(target: Any, items: Any) -> None:
  if type(target) is not dict:
    raise ValueError(f"its pickle sets items of {type(target).__name__}")
  for key, value in items:
    if type(key) not in (str, int):
      raise ValueError(f"its pickle has a key of type {type(key).__name__}; wanted words or numbers")
    target[key] = value


def _made(name: Any, given: Any) -> Any:
  """What one of the admitted names, called in a pickle, stands for."""
  text = name.text if isinstance(name, Name) else None
  if text == "collections.OrderedDict" and type(given) is tuple and len(given) < 2:
    ordered: dict[Any, Any] = {}
    _set(ordered, given[0] if given else ())  # Python 2 gives the pairs at once
    return ordered
  if text == "torch._utils._rebuild_parameter" and isinstance(given[0], Tensor):
    return given[0]
  if text in ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2") and isinstance(given[0], Storage):
    storage, offset, shape, strides = given[:4]
    if any(type(number) is not int for number in (offset, *shape, *strides)):
      raise ValueError("its pickle is damaged: a tensor's shape is not of whole numbers")
    return Tensor(storage, offset, shape, strides)
  raise ValueError(f"its pickle calls {text or type(name).__name__} as torch.save does not")


def _storage(given: Any, kinds: dict[str, str] | None) -> Storage:
  """From ("storage", type, key, device, count) and, before 1.6, a part of the storage: None or (key, start, count)."""
  if type(given) is not tuple or len(given) not in (5, 6) or given[0] != "storage":
    raise ValueError("its pickle refers to something that is no storage")
  _, name, key, _, count, part = (*given, None)[:6]
  if not isinstance(name, Name) or name.text not in STORAGES or type(key) is not str or type(count) is not int:
    raise ValueError("its pickle refers to a storage that is not described as torch.save does")
  kind = STORAGES[name.text]
  if kinds is not None:
    kinds[key] = kind
  start, count = (0, count) if part is None else part[1:]
  return Storage(key, kind, start, count)
