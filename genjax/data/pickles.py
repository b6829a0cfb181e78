"""Pickles of strangers: an unpickler that builds numpy arrays, lists, dicts, strings and numbers, and refuses all else.

Checked  tests/data/test_few_shot_catalogue.py
"""

import pickle
from typing import Any

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
  def find_class(self, module: str, name: str) -> Any:
    if (module, name) not in _ADMITTED:
      raise pickle.UnpicklingError(f"it asks for {module}.{name}, which a data set does not need")
    return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_pickle(file: str) -> Any:
  """Arrays, lists, dicts, strings and numbers from a pickle of Python 2 or 3; nothing else is built or called.

  Raises:
    ValueError: it holds something else, or is damaged; names what was refused.
  """
  with open(file, "rb") as stream:
    try:
      return _Unpickler(stream, encoding="latin1").load()
    except Exception as error:  # a damaged pickle raises nearly anything
      raise ValueError(f"{file} is no pickle of arrays, lists and dicts: {error}") from error
