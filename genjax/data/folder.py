"""A folder of pictures: every file that PIL reads, in all subfolders, in the order of their names.

The subfolders of the first level are the labels where there are two or more and every picture lies in one.
A slice of the split ("train[:90%]") takes files in a fixed random order, so that every label is in every slice.

Departs  EPS is not read (PIL runs Ghostscript on it). Pictures of more pixels than PIL's limit count as unreadable.
Checked  tests/data/test_folder.py
"""

import functools
import hashlib
import os
import stat
import warnings
from typing import BinaryIO

import numpy as np
from PIL import Image

from genjax.data.image_set import Source, UnreadableImage, check_request, native_channels, to_array
from genjax.data.splits import parse_split

SHUFFLE_SEED = 0  # of the order that slices of the split are taken in
_ROTATED = (5, 6, 7, 8)  # values of the orientation tag that swap width and height
_ORIENTATION = 0x0112


def folder_source(path: str, *, split: str = "train", size: int | None = None, channels: int | None = None) -> Source:
  """Find the pictures of a folder; nothing is decoded yet.

  Args:
    path: the folder.
    split: "train", or a slice of it in TFDS's syntax.
    size: pixels of the side of the centre square; None keeps the native size, which must then be the same in all files.
    channels: 1, 3, or None: 1 if every picture is grey, else 3.

  Raises:
    FileNotFoundError, NotADirectoryError: there is no such folder.
    ValueError: it holds no pictures, or no readable ones, or their sizes differ and no size is asked for.
  """
  check_request(size, channels)
  warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged files, from threads that may outlive any context
  names = _sliced(_names(path), split)
  if size is None or channels is None:
    height, width, native = _native(path, names, size is None)
    shape = (size or height, size or width, channels or native)
  else:
    shape = (size, size, channels)
  labels, label_names = labels_of(names)
  read = functools.partial(_read, path, names, labels, size, shape)
  return Source(read, len(names), shape, "folder", _digest(path, names, split, size, shape), label_names)


def colour_pictures(path: str) -> Source:
  """All pictures of a folder in colour, each of its own size. Raises as `folder_source` does."""
  warnings.filterwarnings("ignore", module=r"PIL\.")
  names = _names(path)
  labels, label_names = labels_of(names)
  read = functools.partial(_read, path, names, labels, None, None)
  digest = _digest(path, names, "train[:100%]", None, None)
  return Source(read, len(names), None, "folder", digest, label_names, name_of=lambda index: shown(names[index]))


def _names(path: str) -> list[str]:
  """The relative paths, with "/", of all files that may be pictures, sorted."""
  if not os.path.exists(path):
    raise FileNotFoundError(f'folder "{path}" does not exist; set data.path to a folder of images')
  if not os.path.isdir(path):
    raise NotADirectoryError(f'"{path}" is a file; set data.path to a folder of images')
  names, others, seen = [], set(), set()
  for folder, subfolders, files in os.walk(path, followlinks=True):
    real = os.path.realpath(folder)
    subfolders[:] = [] if real in seen else [name for name in subfolders if not name.startswith(".")]
    if real in seen:
      continue
    seen.add(real)
    for file in files:
      if may_be_picture(file):
        names.append(os.path.relpath(os.path.join(folder, file), path).replace(os.sep, "/"))
      else:
        others.add(os.path.splitext(file)[1].lower())
  if not names:
    raise ValueError(
      f'folder "{path}" holds {held(others)}; wanted images such as .png or .jpg, subfolders are searched too'
    )
  return sorted(names)


def may_be_picture(file: str) -> bool:
  """Whether the name of a file, without its folders, says a format that PIL reads, or none; hidden files are none."""
  return not file.startswith(".") and os.path.splitext(file)[1].lower() in _suffixes()


def held(others: set[str]) -> str:
  """What a folder or an archive without pictures holds, by the suffixes of its files."""
  return f"only files of type {', '.join(sorted(others))}" if others else "no files"


@functools.cache
def _suffixes() -> frozenset[str]:
  return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in _formats()) | {""}


@functools.cache
def _formats() -> tuple[str, ...]:
  Image.init()
  return tuple(kind for kind in Image.OPEN if kind != "EPS")


def _sliced(names: list[str], split: str) -> list[str]:
  _, start, stop = parse_split(split, {"train": len(names)})
  if (start, stop) == (0, len(names)):
    return names
  words = np.random.Philox(SHUFFLE_SEED).random_raw(len(names))
  return [names[index] for index in np.sort(np.argsort(words, kind="stable")[start:stop])]


def shown(name: str) -> str:
  """A name as it can be printed; another than `name` only where that is not UTF-8."""
  return name.encode("utf-8", "backslashreplace").decode()


def labels_of(names: list[str]) -> tuple[list[int] | None, tuple[str, ...]]:
  """Numbers and names of the folders of the first level; None where there are no two, or a picture lies in none."""
  folders = sorted({name.split("/")[0] for name in names if "/" in name})
  if len(folders) < 2 or not all("/" in name for name in names):
    return None, ()
  numbers = {folder: number for number, folder in enumerate(folders)}
  return [numbers[name.split("/")[0]] for name in names], tuple(map(shown, folders))


def _native(path: str, names: list[str], need_size: bool) -> tuple[int, int, int]:
  """Height, width and channels from the files' headers; unreadable ones are passed over here."""
  first, channels, reason = None, 1, ""
  for name in names:
    try:
      with _open(path, name) as picture:
        extent = _extent(picture, name) if need_size else picture.size
        channels = max(channels, native_channels(picture.mode))
    except UnreadableImage as error:
      reason = str(error)
      continue
    if first is None:
      first = (name, extent)
    elif need_size and extent != first[1]:
      (height, width), (other_height, other_width) = first[1], extent
      raise ValueError(
        f'images of "{path}" differ in size: {first[0]} is {width}x{height}, {name} is {other_width}x{other_height}; '
        "set data.size to bring all to one square size"
      )
  if first is None:
    raise ValueError(f'no file of "{path}" is a readable image, e.g. {reason}')
  return *first[1], channels


def _extent(picture: Image.Image, name: str) -> tuple[int, int]:
  """Height and width once the picture is upright."""
  try:
    exif = Image.Exif()
    if picture.format != "PNG":
      exif = picture.getexif()
    elif "exif" in picture.info:  # PNG's getexif would decode the pixels
      exif.load(picture.info["exif"])
    rotated = exif.get(_ORIENTATION) in _ROTATED
  except Exception as error:  # as in _open
    raise UnreadableImage(f"{name} ({type(error).__name__}: {error})") from error
  return picture.size if rotated else picture.size[::-1]


def _open(path: str, name: str) -> Image.Image:
  """`open_picture` of a file of the folder."""
  file = os.path.join(path, name)
  if shown(name) == name:
    try:
      regular = stat.S_ISREG(os.stat(file).st_mode)
    except OSError as error:
      raise UnreadableImage(f"{name} ({type(error).__name__}: {error})") from error
    if not regular:  # opening a pipe waits for whoever writes into it
      raise UnreadableImage(f"{name} (no regular file)")
  return open_picture(file, name)


def open_picture(file: str | BinaryIO, name: str) -> Image.Image:
  """Open without decoding; whatever is wrong with the file becomes an UnreadableImage that names it."""
  if shown(name) != name:
    raise UnreadableImage(f"{shown(name)} (its name is not UTF-8; rename it)")
  try:
    picture = Image.open(file, formats=_formats())
  except Image.UnidentifiedImageError:
    raise UnreadableImage(f"{name} (not an image, or damaged)") from None
  except Exception as error:  # PIL's readers raise almost anything on damaged files
    raise UnreadableImage(f"{name} ({type(error).__name__}: {error})") from error
  width, height = picture.size
  if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
    picture.close()
    raise UnreadableImage(f"{name} ({width}x{height} is more than {Image.MAX_IMAGE_PIXELS} pixels)")
  return picture


def decoded(picture: Image.Image, name: str, *, size: int | None, channels: int) -> np.ndarray:
  """`to_array`; whatever goes wrong becomes an UnreadableImage that names the file."""
  try:
    return to_array(picture, size=size, channels=channels)
  except Exception as error:  # as above
    raise UnreadableImage(f"{name} ({type(error).__name__}: {error})") from error


def _read(
  path: str,
  names: list[str],
  labels: list[int] | None,
  size: int | None,
  shape: tuple[int, int, int] | None,
  index: int,
) -> tuple[np.ndarray, int | None]:
  name = names[index]
  with _open(path, name) as picture:
    image = decoded(picture, name, size=size, channels=3 if shape is None else shape[-1])
  if shape not in (None, image.shape):
    raise UnreadableImage(f"{name} (is {list(image.shape)}, wanted {list(shape)})")
  return image, None if labels is None else labels[index]


def _digest(path: str, names: list[str], split: str, size: int | None, shape: tuple | None) -> str:
  """sha256 of names and lengths of the files and of what is made of them: cheap, and blind to edits of equal length."""
  digest = hashlib.sha256(repr((split, size, shape)).encode())
  for name in names:
    line = f"{name}\0{_length(os.path.join(path, name))}\n"
    digest.update(line.encode("utf-8", "surrogateescape"))
  return digest.hexdigest()


def _length(file: str) -> int:
  """Bytes of a file; -1 of a link that leads nowhere."""
  try:
    return os.path.getsize(file)
  except OSError:
    return -1
