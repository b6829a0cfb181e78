"""What a set of images is, and how one picture becomes an array of the asked size and number of channels.

Shapes   N images, H W C image. ImageSet.images [N, H, W, C] uint8 in 0..255; labels [N] int32.
Departs  Pictures are cut to the centre square and resized by PIL's bicubic filter, which also smooths when it shrinks.
         Transparent pixels are laid on white. 16-bit grey is scaled to 8 bits; the camera's orientation tag is obeyed.
Checked  tests/data/test_image_set.py
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

RESIZE = "bicubic"  # named on metric cards
THREADS = 4  # that decode; PIL lets go of the interpreter lock while it does
CHUNK = 64  # images that a thread reads in one go
NAMED_FAILURES = 5  # unreadable pictures named in the log

_log = logging.getLogger("genjax")


class UnreadableImage(OSError):
  """One picture that cannot be read; the others of its set may be fine."""


@dataclass(frozen=True)
class ImageSet:
  """Images in memory. `digest` is the sha256 of shape, pixels and labels; `label_names` is empty without labels."""

  images: np.ndarray  # [N, H, W, C] uint8
  labels: np.ndarray | None  # [N] int32
  name: str
  digest: str
  label_names: tuple[str, ...] = ()

  @property
  def count(self) -> int:
    return len(self.images)

  @property
  def shape(self) -> tuple[int, int, int]:
    """H, W, C of every image."""
    return self.images.shape[1:]

  @property
  def classes(self) -> int | None:
    """The number of labels; None where there are none."""
    return len(self.label_names) or None


@dataclass(frozen=True)
class Source:
  """Images that are read one by one.

  `read(index)` gives (image [H, W, C] uint8, label or None) or raises UnreadableImage; threads may share it, unless it
  has an `order`: the indices as they lie in the file, which is quick in that order, and for one thread. `shape` is that
  of every image, or None where each has a size of its own; `digest` names the content without reading it;
  `name_of(index)` names one image.
  """

  read: Callable[[int], tuple[np.ndarray, int | None]]
  count: int
  shape: tuple[int, int, int] | None
  name: str
  digest: str
  label_names: tuple[str, ...] = ()
  order: Sequence[int] | None = None
  name_of: Callable[[int], str] = "image {}".format

  @property
  def classes(self) -> int | None:
    """The number of labels; None where there are none."""
    return len(self.label_names) or None


def image_set(images: np.ndarray, labels: np.ndarray | None, *, name: str, label_names: Sequence[str] = ()) -> ImageSet:
  """Check arrays and name their content: images [N, H, W, C] uint8, labels [N] integers or None."""
  if images.ndim != 4 or images.dtype != np.uint8:
    raise ValueError(f"{name}: images are {images.dtype}{list(images.shape)}; wanted uint8 [N, H, W, C]")
  if labels is not None and labels.shape != images.shape[:1]:
    raise ValueError(f"{name}: {len(images)} images but labels of shape {list(labels.shape)}")
  images = np.ascontiguousarray(images)
  labels = None if labels is None else np.ascontiguousarray(labels, dtype=np.int32)
  return ImageSet(images, labels, name, _digest(images, labels), tuple(label_names) if labels is not None else ())


def _digest(images: np.ndarray, labels: np.ndarray | None) -> str:
  """sha256 over the shape, the pixels and the labels (little-endian on every machine)."""
  digest = hashlib.sha256(repr(images.shape).encode())
  digest.update(images.data)
  if labels is not None:
    digest.update(labels.astype("<i4").tobytes())
  return digest.hexdigest()


def gather(source: Source) -> ImageSet:
  """Read a whole source into memory; unreadable pictures are left out and named in one line of the log.

  Raises:
    ValueError: more than half of the pictures are unreadable.
  """
  images = np.empty((source.count, *source.shape), np.uint8)
  labels = np.full(source.count, -1, np.int32)
  failures: list[tuple[int, str]] = []

  def read(start: int) -> None:
    for index in range(start, min(start + CHUNK, source.count)):
      try:
        image, label = source.read(index)
      except UnreadableImage as error:
        failures.append((index, str(error)))
        continue
      images[index] = image
      labels[index] = -1 if label is None else label

  with ThreadPoolExecutor(THREADS) as pool:
    for _ in pool.map(read, range(0, source.count, CHUNK)):
      pass
  if failures:
    report(source.name, source.count, [reason for _, reason in sorted(failures)])
    good = np.setdiff1d(np.arange(source.count), [index for index, _ in failures])
    images, labels = images[good], labels[good]
  named = bool(source.label_names)
  return image_set(images, labels if named else None, name=source.name, label_names=source.label_names)


def report(name: str, count: int, reasons: list[str]) -> None:
  """Names unreadable pictures in one line of the log. Raises ValueError where they are more than half."""
  more = ", ..." if len(reasons) > NAMED_FAILURES else ""
  text = f"{name}: {len(reasons)} of {count} images are unreadable: {', '.join(reasons[:NAMED_FAILURES])}{more}"
  if 2 * len(reasons) > count:
    raise ValueError(f"{text}; that is more than half: is this a folder of images?")
  _log.warning("%s; they are left out", text)


def inverted(images: ImageSet | Source) -> ImageSet | Source:
  """The negative of every image, 255 - x, under a name of its own."""
  name = f"inverted {images.name}"
  if isinstance(images, ImageSet):
    return image_set(255 - images.images, images.labels, name=name, label_names=images.label_names)

  def read(index: int) -> tuple[np.ndarray, int | None]:
    image, label = images.read(index)
    return 255 - image, label

  digest = hashlib.sha256(f"inverted {images.digest}".encode()).hexdigest()
  return Source(read, images.count, images.shape, name, digest, images.label_names)


def check_request(size: int | None, channels: int | None) -> None:
  """Refuse sizes and channel counts that no image can have."""
  if size is not None and size < 1:
    raise ValueError(f"size {size} was asked for; wanted at least 1 pixel, or None for the native size")
  if channels not in (None, 1, 3):
    raise ValueError(f"channels {channels} was asked for; wanted 1 (grey), 3 (colour) or None (as it is)")


def native_channels(mode: str) -> int:
  """1 for the grey modes of PIL, 3 for all others (a palette counts as colour)."""
  return 1 if mode in ("1", "L", "LA", "La", "I", "F") or mode.startswith("I;") else 3


def to_array(picture: Image.Image, *, size: int | None, channels: int) -> np.ndarray:
  """A picture of any mode as [H, W, channels] uint8; with `size`, its centre square at size x size.

  A picture that already has the size is not resampled. Grey from colour is PIL's ITU-R 601 luma.
  """
  picture = ImageOps.exif_transpose(picture)
  picture = _eight_bits(picture).convert("L" if channels == 1 else "RGB")
  if size is not None:
    picture = _square(picture, size)
  array = np.asarray(picture, dtype=np.uint8)
  return array[..., None] if array.ndim == 2 else array


def _square(picture: Image.Image, size: int) -> Image.Image:
  width, height = picture.size
  side = min(width, height)
  left, top = (width - side) // 2, (height - side) // 2
  if width != height:
    picture = picture.crop((left, top, left + side, top + side))
  return picture if side == size else picture.resize((size, size), Image.Resampling.BICUBIC)


def _eight_bits(picture: Image.Image) -> Image.Image:
  """Bring the modes that PIL would clip or leave transparent to L or RGB."""
  if picture.mode == "I" or picture.mode.startswith("I;"):
    deep = np.asarray(picture).astype(np.int64)
    if deep.min() < 0 or deep.max() > 65535:
      raise ValueError(f"grey values {deep.min()}..{deep.max()} do not fit in 16 bits")
    return Image.fromarray(((deep + 128) // 257).astype(np.uint8))
  if picture.mode == "F":
    raise ValueError("float pixels have no stated range; save as 8-bit or 16-bit")
  if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
  return picture


def resized(images: np.ndarray, *, size: int | None, channels: int | None) -> np.ndarray:
  """`to_array` over images [N, H, W, C] uint8 that are in memory already; C is 1 or 3."""
  channels = channels or images.shape[-1]
  if size in (None, images.shape[1]) and images.shape[1] == images.shape[2] and channels == images.shape[-1]:
    return images
  pictures = (Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image) for image in images)
  return np.stack([to_array(picture, size=size, channels=channels) for picture in pictures])
