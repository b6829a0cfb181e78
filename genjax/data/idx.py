"""MNIST and Fashion-MNIST from their official files: four idx archives in a folder, packed by gzip or not.

Papers   LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document recognition";
         Fashion-MNIST  Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747
Departs  Only the two files of the split that is asked for are opened, so that a test half without its training images
         serves. Labels that are known to be those of another set or split are refused; pixels are not compared.
         TFDS shuffles what it prepares; data/prepared.py brings these two sets back to the order of the files.
Shapes   An idx file: 0, 0, 8 (bytes), the number of axes, each axis' length as 4 bytes, big end first, and the values.
         Images come out [N, H, W, 1] uint8 with light ink on black, labels [N].
Checked  tests/data/test_idx.py
"""

import gzip
import hashlib
import math
import os
import zlib

import numpy as np

from genjax.data.image_set import ImageSet, check_request, image_set, resized
from genjax.data.splits import parse_split

NAMES = ("mnist", "fashion_mnist")
PARTS = {"train": "train", "test": "t10k"}  # how the files call the splits
LABELS = {
  "mnist": tuple("0123456789"),
  "fashion_mnist": (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
  ),
}
KNOWN = {  # the beginning of the sha256 of all labels of a published file
  "1feba77c54802fa5": ("mnist", "train"),
  "ddeff807876a9661": ("mnist", "test"),
  "657fbd221bfc9f41": ("fashion_mnist", "train"),
  "3d0e6c6ea990b53b": ("fashion_mnist", "test"),
}
_FOLDERS = ("", "raw", os.path.join("MNIST", "raw"), os.path.join("FashionMNIST", "raw"), "mnist", "fashion_mnist")
_AXES = {"images": 3, "labels": 1}
_MOST = 2**30  # bytes of values


def load_idx(
  name: str, path: str, *, split: str = "train", size: int | None = None, channels: int | None = None
) -> ImageSet:
  """Reads a split of "mnist" or "fashion_mnist".

  Args:
    name: which of the two.
    path: the folder of the four files, or of torchvision's folder of them.
    split: "train" or "test", or a slice.
    size: pixels of the side; None is 28.
    channels: 1, 3 or None (1).

  Raises:
    FileNotFoundError: a file of this split is missing.
    ValueError: a file is damaged, cut short, another kind, or that of another set or split.
  """
  check_request(size, channels)
  part = split.strip().partition("[")[0]
  if part not in PARTS:
    parse_split(split, dict.fromkeys(PARTS, 1))  # which says what there is
  images, labels = (_read(_file(path, name, PARTS[part], kind), kind) for kind in _AXES)
  where = f'the {PARTS[part]} files of {name} in "{path}"'
  if len(images) != len(labels):
    raise ValueError(f"{where} hold {len(images)} images and {len(labels)} labels; wanted as many: fetch both again")
  if len(labels) and labels.max() >= len(LABELS[name]):
    raise ValueError(f"{where} hold label {labels.max()}; wanted 0 to {len(LABELS[name]) - 1}: this is not {name}")
  belongs = KNOWN.get(hashlib.sha256(labels.tobytes()).hexdigest()[:16])
  if belongs not in (None, (name, part)):
    raise ValueError(
      f"{where} are those of {belongs[0]}'s split {belongs[1]}; set data.name or data.path to what is meant"
    )
  _, start, stop = parse_split(split, {**dict.fromkeys(PARTS, 0), part: len(images)})
  images = resized(images[start:stop, :, :, None], size=size, channels=channels)
  return image_set(images, labels[start:stop], name=name, label_names=LABELS[name])


def _file(path: str, name: str, part: str, kind: str) -> str:
  """The file of images or labels, under one of the names that are in use."""
  stem, axes = f"{part}-{kind}", _AXES[kind]
  spellings = [f"{stem}{mark}idx{axes}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
  for folder in _FOLDERS:
    for spelling in spellings:
      if os.path.isfile(file := os.path.join(path, folder, spelling)):
        return file
  if not os.path.isdir(path):
    raise FileNotFoundError(f'"{path}" is no folder; set data.path to the folder of the four idx files of {name}')
  held = ", ".join(sorted(os.listdir(path))[:6]) or "nothing"
  raise FileNotFoundError(f'"{path}" has no {spellings[0]}, .gz or not, of {name}; it holds {held}')


def _read(file: str, kind: str) -> np.ndarray:
  """The values of an idx file of bytes, in its axes."""
  axes = _AXES[kind]
  try:
    with (gzip.open if _is_gzip(file) else open)(file, "rb") as opened:
      magic = opened.read(4)
      if magic != bytes((0, 0, 8, axes)):
        raise ValueError(f'"{file}" begins with {magic.hex() or "nothing"}; wanted 000008{axes:02x}, idx {kind}')
      header = opened.read(4 * axes)
      if len(header) < 4 * axes:
        raise ValueError(f'"{file}" is cut short in its header; fetch it again')
      shape = tuple(np.frombuffer(header, ">u4").tolist())
      count = math.prod(shape)
      if not 0 < count <= _MOST:
        raise ValueError(f'"{file}" says that it holds {"x".join(map(str, shape))} bytes; wanted 1 to {_MOST}')
      content = opened.read(count + 1)  # no more: a small archive may unpack to any length
  except (EOFError, zlib.error, gzip.BadGzipFile) as error:
    raise ValueError(f'"{file}" is damaged or cut short ({error}); fetch it again') from error
  if len(content) != count:
    came = f"only {len(content)}" if len(content) < count else "more"
    raise ValueError(f'"{file}" holds {came} bytes where its header says {count}; it is damaged: fetch it again')
  return np.frombuffer(content, np.uint8).reshape(shape)


def _is_gzip(file: str) -> bool:
  """By its first bytes: a browser may have unpacked a .gz and kept its name."""
  with open(file, "rb") as opened:
    return opened.read(2) == b"\x1f\x8b"
