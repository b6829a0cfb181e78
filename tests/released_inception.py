"""The weights of FID's Inception as its PyTorch ports hold them, filled by a formula, and a writer of their file."""

import importlib.util
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np

FIXTURE = Path(__file__).parent / "fixtures" / "inception" / "expected.npz"
COUNTED = ".num_batches_tracked"


def expected() -> dict[str, np.ndarray]:
  """What fixtures/inception/make.py wrote."""
  with np.load(FIXTURE) as archive:
    return {name: archive[name] for name in archive.files}


def published() -> dict[str, tuple[int, ...]]:
  """Name -> shape in the state dict of torch-fidelity's net."""
  given = expected()
  return {
    str(name): tuple(shape[shape >= 0].tolist()) for name, shape in zip(given["names"], given["shapes"], strict=True)
  }


def reference(package: str, name: str) -> ModuleType:
  """A file of an installed package, without the package's own imports, which ask for torchvision.

  Raises:
    ImportError: it is not installed.
  """
  if package not in sys.modules:
    spec = importlib.util.find_spec(package)
    if spec is None:
      raise ImportError(package)
    sys.modules[package] = ModuleType(package)
    sys.modules[package].__path__ = spec.submodule_search_locations
  return importlib.import_module(f"{package}.{name}")


def filled(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
  """Values that look random, the same on every machine: mixed bits of an element's place and its tensor's."""
  return {name: _values(name, shape, number) for number, (name, shape) in enumerate(sorted(shapes.items()))}


def _values(name: str, shape: tuple[int, ...], number: int) -> np.ndarray:
  if name.endswith(COUNTED):
    return np.int64(7)
  wave = _wave(int(np.prod(shape)), number).reshape(shape)  # in [-1, 1]
  if len(shape) > 1:
    return wave * np.float32(np.sqrt(6 / np.prod(shape[1:])))
  low, high = (0.5, 1.5) if name.endswith((".weight", ".running_var")) else (-0.3, 0.3)
  return np.float32(low) + (wave + 1) * np.float32((high - low) / 2)


def pixels(count: int, height: int, width: int, channels: int = 3) -> np.ndarray:
  """Images [B, H, W, C] uint8: noise of the same kind."""
  shape = (count, height, width, channels)
  return np.floor((_wave(int(np.prod(shape)), 4001) + 1) * 127.9).astype(np.uint8).reshape(shape)


def _wave(count: int, number: int) -> np.ndarray:
  bits = np.arange(count, dtype=np.uint32)
  bits += np.uint32(7919 * number)
  for factor in (2654435761, 2246822519, 3266489917):
    bits *= np.uint32(factor)
    bits ^= bits >> 15
  return (bits >> 8).astype(np.float32) * np.float32(2.0**-23) - 1


def sampled(block: np.ndarray) -> np.ndarray:
  """200 of a block's numbers, [B, C, H, W], and behind them its mean and deviation."""
  flat = np.asarray(block, np.float64).reshape(-1)
  places = np.arange(200) * 7919 * 31 % len(flat)
  return np.array([*flat[places], flat.mean(), flat.std()], np.float32)


# A file as torch.save writes it ---------------------------------------------------------------------------------------


def write_torch(path: Path, state: dict[str, np.ndarray]) -> None:
  """The zip format of PyTorch: data.pkl with a dictionary of tensors, and the bytes of each beside it."""
  items = b"".join(
    _word(name) + _tensor(np.asarray(value), str(key)) for key, (name, value) in enumerate(state.items())
  )
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("archive/data.pkl", b"\x80\x02}(" + items + b"u.")
    archive.writestr("archive/byteorder", b"little")
    archive.writestr("archive/version", b"3")
    for key, value in enumerate(state.values()):
      archive.writestr(f"archive/data/{key}", np.ascontiguousarray(value).tobytes())


def _tensor(value: np.ndarray, key: str) -> bytes:
  kind = {"float32": "FloatStorage", "int64": "LongStorage"}[value.dtype.name]
  storage = (
    b"(" + _word("storage") + f"ctorch\n{kind}\n".encode() + _word(key) + _word("cpu") + _number(value.size) + b"tQ"
  )
  strides = [step // value.itemsize for step in np.ascontiguousarray(value).reshape(value.shape).strides]
  sides, steps = (b"(" + b"".join(map(_number, some)) + b"t" for some in (value.shape, strides))
  return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + _number(0) + sides + steps + b"\x89NtR"


def _word(text: str) -> bytes:
  return b"X" + len(text).to_bytes(4, "little") + text.encode()


def _number(value: int) -> bytes:
  return b"J" + value.to_bytes(4, "little", signed=True)
