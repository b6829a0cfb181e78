"""Images that any tool left on disk: a folder of pictures, a .tar or .tar.gz of them, or an .npz.

Pictures of an archive are read like those of a folder (data/folder.py), and nothing is unpacked to disk. A tar is read
without its first folder where all pictures lie in it, so that the tar of a folder is the folder. Of an .npz the images
are the array that one of these tools writes; its labels, if any, stand beside it:

    images, label     genjax sample --out NAME.npz                         uint8 [N, H, W, C]
    arr_0, arr_1      guided-diffusion: reference and sample batches       uint8 [N, H, W, 3]
    x, y              StudioGAN until 2022-01 and BigGAN-PyTorch           uint8 [N, 3, H, W]

StudioGAN writes a folder of .png since then.

Departs  All images are read in colour; a grey one has three equal channels.
Shapes   An image is [H, W, 3] uint8, each of its own size.
Checked  tests/data/test_image_files.py
"""

import hashlib
import io
import math
import os
import stat
import tarfile
import threading
import weakref
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import IO, NamedTuple

import numpy as np

from genjax.data.folder import colour_pictures, decoded, held, labels_of, may_be_picture, open_picture, shown
from genjax.data.image_set import Source, UnreadableImage

ARRAYS = {"images": "label", "arr_0": "arr_1", "x": "y"}  # an archive's images -> their labels
CHANNELS_FIRST = ("x",)
MOST_BYTES = 1 << 28  # of a picture's file in a tar, as it is held in memory
MOST_VALUES, MOST_IMAGES = 1 << 28, 10**7  # of an image of an .npz, and of images
_DEFLATED = 1100  # bytes that one byte of a zip becomes at most
_WANTED = "wanted a folder of images, a .tar or .tar.gz of them, or an .npz"
_DAMAGED = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, tarfile.TarError, NotImplementedError)


def image_files(path: str) -> Source:
  """The images at `path`, each [H, W, 3] uint8 of its own size; none is decoded yet.

  Raises:
    ValueError, OSError: nothing there, no images, or a file that is none of these; the text is one line.
  """
  if not os.path.exists(path):
    raise FileNotFoundError(f'"{path}" does not exist; {_WANTED}')
  if os.path.isdir(path):
    return colour_pictures(path)
  if not stat.S_ISREG(os.stat(path).st_mode):
    raise ValueError(f'"{path}" is no regular file; {_WANTED}')
  if zipfile.is_zipfile(path):
    return _npz(path)
  try:
    with tarfile.open(path) as archive:
      archive.next()
  except _DAMAGED:
    raise ValueError(f'"{path}" is none of these, or damaged; {_WANTED}') from None
  return _tar(path)


# tar ------------------------------------------------------------------------------------------------------------------


def _tar(path: str) -> Source:
  """The pictures of a tar, in the order of their names."""
  members, others = _members(path)
  if not members:
    raise ValueError(f'"{path}" holds {held(others)}; wanted images such as .png or .jpg')
  names = [_inside(member.name) for member in members]
  if len({name.partition("/")[0] for name in names}) == 1 and all("/" in name for name in names):
    names = [name.partition("/")[2] for name in names]
  places = sorted(range(len(names)), key=names.__getitem__)
  names, members = [names[place] for place in places], [members[place] for place in places]
  labels, label_names = labels_of(names)
  archive, lock = tarfile.open(path), threading.Lock()  # noqa: SIM115  open as long as the source is

  def read(index: int) -> tuple[np.ndarray, int | None]:
    with lock:
      content = _content(archive, members[index])
    with open_picture(io.BytesIO(content), names[index]) as picture:
      image = decoded(picture, names[index], size=None, channels=3)
    return image, None if labels is None else labels[index]

  weakref.finalize(read, archive.close)
  lines = "\n".join(f"{member.name}\0{member.size}" for member in members)
  digest = hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
  order = np.argsort(places).tolist() if _compressed(archive) else None
  name_of = lambda index: shown(names[index])
  return Source(read, len(members), None, "tar", digest, label_names, order, name_of)


def _members(path: str) -> tuple[list[tarfile.TarInfo], set[str]]:
  """What may be a picture, links and pipes of such names too, and the suffixes of the rest."""
  members, others = [], set()
  try:
    with tarfile.open(path) as archive:
      for member in archive:
        if member.isdir():
          continue
        if member.size > MOST_BYTES and _compressed(archive):  # it would have to be unpacked to get behind it
          raise ValueError(f"{shown(member.name)} is of {member.size} bytes; a picture has {MOST_BYTES} at most")
        file = member.name.rpartition("/")[2]
        if may_be_picture(file):
          members.append(member)
        else:
          others.add(os.path.splitext(file)[1].lower())
  except _DAMAGED as error:
    raise ValueError(f'"{path}" is damaged: {error}') from error
  return members, others


def _compressed(archive: tarfile.TarFile) -> bool:
  return not isinstance(archive.fileobj, io.BufferedReader)


def _inside(name: str) -> str:
  return name.removeprefix("./")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
  """The bytes of a picture. Raises UnreadableImage for what is no file of the archive."""
  name = shown(member.name)
  if name.startswith("/") or ".." in name.split("/"):
    raise UnreadableImage(f"{name} (its path leads out of the archive)")
  if not member.isreg() or member.issparse():
    raise UnreadableImage(f"{name} ({'a link' if member.issym() or member.islnk() else 'no regular file'})")
  if member.size > MOST_BYTES:
    raise UnreadableImage(f"{name} ({member.size} bytes are more than {MOST_BYTES})")
  try:
    return archive.extractfile(member).read()
  except _DAMAGED as error:
    raise UnreadableImage(f"{name} ({type(error).__name__}: {error})") from error


# npz ------------------------------------------------------------------------------------------------------------------


class _Header(NamedTuple):
  """Of an array of an .npz."""

  shape: tuple[int, ...]
  dtype: np.dtype
  start: int  # bytes before its values


def _npz(path: str) -> Source:
  """The images of an .npz, read one after the other: never all at once, and no pickle."""
  headers = _headers(path)
  key = next((key for key in ARRAYS if key in headers), None)
  if key is None:
    there = ", ".join(map(shown, list(headers)[:5])) or "nothing"
    raise ValueError(f'"{path}" holds {there}; wanted images in one of the arrays {", ".join(ARRAYS)}')
  header = headers[key]
  order = _channels_at(header.shape, first=key in CHANNELS_FIRST)
  if header.dtype != np.uint8 or order is None:
    came = f"{header.dtype}{list(header.shape)}"
    raise ValueError(f'"{path}": {key} is {came}; wanted uint8 [N, H, W, C] or [N, C, H, W] with C 1 or 3')
  labels = _labels(path, headers, ARRAYS[key], header.shape[0])
  row = _rows(path, key, header)

  def read(index: int) -> tuple[np.ndarray, int | None]:
    image = row(index).transpose(order)
    image = np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))
    return image, None if labels is None else int(labels[index])

  digest = hashlib.sha256(repr((key, header.shape, os.path.getsize(path))).encode()).hexdigest()
  label_names = () if labels is None else tuple(map(str, range(int(labels.max()) + 1)))
  return Source(read, header.shape[0], None, "npz", digest, label_names, range(header.shape[0]))


def _channels_at(shape: tuple[int, ...], *, first: bool) -> tuple[int, int, int] | None:
  """The axes of an image in the order H, W, C; None where it is no image."""
  if len(shape) != 4 or 0 in shape or math.prod(shape[1:]) > MOST_VALUES or shape[0] > MOST_IMAGES:
    return None
  places = ((1, 2, 0), (0, 1, 2)) if first else ((0, 1, 2), (1, 2, 0))
  return next((place for place in places if shape[1 + place[2]] in (1, 3)), None)


def _headers(path: str) -> dict[str, _Header]:
  """Name -> header of every array, as numpy.save wrote it. Raises ValueError for a pickle, and for a damaged file."""
  headers = {}
  try:
    with zipfile.ZipFile(path) as archive:
      for info in archive.infolist():
        if not info.filename.endswith(".npy"):
          continue
        name = info.filename.removesuffix(".npy")
        if name in (*ARRAYS, *ARRAYS.values()):
          if info.file_size > _DEFLATED * max(info.compress_size, 1):
            raise ValueError(f"{name} has {info.compress_size} bytes and claims {info.file_size}")
          with archive.open(info) as file:
            headers[name] = _header(file, info.file_size)
        else:
          headers[name] = _Header((), np.dtype(np.uint8), 0)
  except (*_DAMAGED, RuntimeError) as error:
    raise ValueError(f'"{path}" is damaged, or no archive of images: {error}') from error
  return headers


def _header(file: IO[bytes], size: int) -> _Header:
  version = np.lib.format.read_magic(file)
  read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
  if read is None:
    raise ValueError(f"an array of format {version}")
  shape, by_columns, dtype = read(file)
  start = file.tell()
  if dtype.hasobject:
    raise ValueError("it holds a pickle, which is not run")
  if by_columns and len(shape) > 1:
    raise ValueError("its array is in Fortran order; save numpy.ascontiguousarray of it")
  values = size - start
  if any(extent < 0 for extent in shape) or math.prod(shape) * dtype.itemsize != values:
    raise ValueError(f"an array says {dtype}{list(shape)} and has {values} bytes")
  return _Header(shape, dtype, start)


def _labels(path: str, headers: Mapping[str, _Header], key: str, count: int) -> np.ndarray | None:
  """Labels [N] 0 ... K - 1, or None where there are none that could be."""
  header = headers.get(key)
  if header is None or header.shape != (count,) or not np.issubdtype(header.dtype, np.integer):
    return None
  with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
    labels = np.frombuffer(file.read()[header.start :], header.dtype)
  return labels.astype(np.int32) if labels.min() >= 0 and labels.max() < count else None


def _rows(path: str, key: str, header: _Header) -> Callable[[int], np.ndarray]:
  """index -> an image [...] uint8 of an array; in ascending order the file is read on from where it stands."""
  shape, archive = header.shape[1:], zipfile.ZipFile(path)
  size, place, file = math.prod(shape), -1, None

  def read(index: int) -> np.ndarray:
    nonlocal file, place
    try:
      if file is None:
        file = archive.open(f"{key}.npy")
      if place != index:
        file.seek(header.start + index * size)
      place = -1  # unless the read succeeds
      content = file.read(size)
    except _DAMAGED as error:
      raise ValueError(f'"{path}" is damaged from image {index} of {header.shape[0]} on: {error}') from error
    if len(content) != size:
      raise ValueError(f'"{path}" says {header.shape[0]} images and ends before image {index} does')
    place = index + 1
    return np.frombuffer(content, np.uint8).reshape(shape)

  weakref.finalize(read, archive.close)
  return read
