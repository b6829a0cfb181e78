"""CIFAR-10 from its official binary archive, cifar-10-binary.tar.gz, or from the folder that it unpacks to.

Papers   Krizhevsky 2009, "Learning multiple layers of features from tiny images"; https://www.cs.toronto.edu/~kriz/cifar.html
Shapes   A record is 1 byte of label and 3 x 32 x 32 bytes, channel first; images come out [N, 32, 32, 3] uint8.
Checked  tests/data/test_cifar.py
"""

import hashlib
import os
import tarfile

import numpy as np

from genjax.data.image_set import ImageSet, check_request, image_set, resized
from genjax.data.splits import parse_split

ARCHIVE = "cifar-10-binary.tar.gz"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"  # of the published archive
FOLDER = "cifar-10-batches-bin"
FILES = {"train": tuple(f"data_batch_{part}.bin" for part in range(1, 6)), "test": ("test_batch.bin",)}
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD = 1 + 3 * 32 * 32


def load_cifar(
  path: str, *, split: str = "train", size: int | None = None, channels: int | None = None, sha256: str | None = None
) -> ImageSet:
  """Read CIFAR-10 in its binary version.

  Args:
    path: the archive, or the folder cifar-10-batches-bin, or the folder that holds either.
    split: "train" or "test", or a slice.
    size: pixels of the side; None is 32.
    channels: 1, 3 or None (3).
    sha256: expected of the archive; None is that of the published one.

  Raises:
    FileNotFoundError: archive, folder or a file in it is missing.
    ValueError: the archive is another one, or a file is cut short.
  """
  check_request(size, channels)
  place = _place(path)
  files = FILES.get(split.strip().split("[")[0], ())  # parse_split refuses other names
  if os.path.isdir(place):
    contents = _from_folder(place, files)
  else:
    _check(place, sha256 or SHA256)
    contents = _from_archive(place, files)
  records = [_records(contents[file], file) for file in files]
  _, start, stop = parse_split(split, dict.fromkeys(FILES, sum(map(len, records))))
  records = np.concatenate(records)[start:stop]
  images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
  return image_set(resized(images, size=size, channels=channels), records[:, 0], name="cifar10", label_names=LABELS)


def _place(path: str) -> str:
  """The folder of .bin files or the archive that `path` is or holds."""
  candidates = [os.path.join(path, FOLDER), os.path.join(path, ARCHIVE)] if os.path.isdir(path) else [path]
  if os.path.isfile(os.path.join(path, FILES["test"][0])):
    candidates = [path]
  for candidate in candidates:
    if os.path.exists(candidate):
      return candidate
  raise FileNotFoundError(
    f'"{path}" is not CIFAR-10 in its binary version; wanted {ARCHIVE} (from www.cs.toronto.edu/~kriz/cifar.html) '
    f"or the folder {FOLDER} that it unpacks to"
  )


def _check(archive: str, wanted: str) -> None:
  digest = hashlib.sha256()
  with open(archive, "rb") as file:
    while block := file.read(1 << 20):
      digest.update(block)
  if digest.hexdigest() != wanted:
    raise ValueError(
      f'"{archive}" has sha256 {digest.hexdigest()}; wanted {wanted}. It is cut short or another file '
      f"(the binary version is {ARCHIVE}, not cifar-10-python.tar.gz); fetch it again"
    )


def _from_folder(folder: str, files: tuple[str, ...]) -> dict[str, bytes]:
  contents = {}
  for file in files:
    try:
      with open(os.path.join(folder, file), "rb") as opened:
        contents[file] = opened.read()
    except FileNotFoundError:
      raise FileNotFoundError(f'"{folder}" has no {file}; unpack {ARCHIVE} again') from None
  return contents


def _from_archive(archive: str, files: tuple[str, ...]) -> dict[str, bytes]:
  contents = {}
  with tarfile.open(archive, "r:*") as tar:
    for member in tar:
      if member.isfile() and (file := os.path.basename(member.name)) in files:
        contents[file] = tar.extractfile(member).read()
  for file in files:
    if file not in contents:
      raise FileNotFoundError(f'"{archive}" has no {file}; wanted {ARCHIVE}')
  return contents


def _records(content: bytes, file: str) -> np.ndarray:
  if not content or len(content) % RECORD:
    raise ValueError(f"{file} has {len(content)} bytes; wanted a multiple of {RECORD} (one record); it is cut short")
  records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
  if records[:, 0].max() >= len(LABELS):
    raise ValueError(f"{file} holds label {records[:, 0].max()}; wanted 0 to 9: this is not CIFAR-10's binary version")
  return records
