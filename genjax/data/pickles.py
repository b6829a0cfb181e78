"""Pickles of strangers: an unpickler that builds numpy arrays, lists, dicts, strings and numbers, and refuses all else.

Checked  tests/data/test_few_shot_catalogue.py
"""

import math
import mmap
import os
import pickle
import pickletools
from typing import Any, BinaryIO

import numpy as np
from numpy._core.multiarray import _reconstruct

_ADMITTED = {
  ("numpy", "dtype"),
  ("numpy", "ndarray"),
  ("numpy.core.multiarray", "_reconstruct"),
  ("numpy.core.multiarray", "scalar"),
  ("numpy._core.multiarray", "_reconstruct"),
  ("numpy._core.multiarray", "scalar"),
  ("numpy.core.numeric", "_frombuffer"),
  ("numpy._core.numeric", "_frombuffer"),
  ("collections", "OrderedDict"),
  ("collections", "defaultdict"),
  ("_codecs", "encode"),  # how Python 3 writes bytes in old protocols
  *((module, name) for module in ("builtins", "__builtin__") for name in ("list", "dict", "int", "bytearray")),
}


class _Unpickler(pickle.Unpickler):
  """Refuses what is not admitted, and memory that the file does not fill."""

  def __init__(self, file: BinaryIO, size: int):
    super().__init__(file, encoding="latin1")
    self._size = size

  def find_class(self, module: str, name: str) -> Any:
    if (module, name) not in _ADMITTED:
      raise pickle.UnpicklingError(f"it asks for {module}.{name}, which a data set does not need")
    member = super().find_class(module.replace("numpy.core", "numpy._core"), name)
    if member is np.ndarray:
      return _Subtype  # a pickle of numpy names the type as an argument, and never calls it
    return {bytearray: self._bytes, _reconstruct: self._array}.get(member, member)

  def _bytes(self, *given: Any) -> bytearray:
    if given and isinstance(given[0], int):
      raise pickle.UnpicklingError(f"it asks for {given[0]} bytes, and the file has {self._size}")
    return bytearray(*given)

  def _array(self, subtype: type, shape: tuple[int, ...], kind: Any) -> np.ndarray:
    if subtype is not _Subtype or math.prod(shape) > self._size:
      raise pickle.UnpicklingError(f"it asks for an array of {shape}, and the file has {self._size} bytes")
    return _reconstruct(np.ndarray, shape, kind)


class _Subtype:
  """Stands for numpy.ndarray in a pickle."""

  def __init__(self, *given: Any):
    raise pickle.UnpicklingError(f"it asks for an empty array of {given}, of which the file has no values")


def _check_memo(content: mmap.mmap, size: int) -> None:
  """Refuses a place in the unpickler's memo, an array of 16 bytes a place, that lies beyond the bytes of the file."""
  for opcode, place, _ in pickletools.genops(content):
    if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and place > size:
      raise pickle.UnpicklingError(f"it asks for a memo of {place} places, and the file has {size} bytes")


def read_pickle(file: str) -> Any:
  """Arrays, lists, dicts, strings and numbers from a pickle of Python 2 or 3; nothing else is built or called.

  Raises:
    ValueError: it holds something else, or is damaged; names what was refused.
  """
  with open(file, "rb") as stream:
    try:
      size = os.fstat(stream.fileno()).st_size
      with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        _check_memo(content, size)
      return _Unpickler(stream, size).load()
    except Exception as error:  # a damaged pickle raises nearly anything
      raise ValueError(f"{file} is no pickle of arrays, lists and dicts: {error}") from error
