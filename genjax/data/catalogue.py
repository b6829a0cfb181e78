"""From a name to images: the one list of data sets, and the decision what is held in memory.

    digits                 scikit-learn's handwritten digits
    textures[/brick]       scikit-image's photographs
    ring, grid             points in the plane, a mixture of 8 or 25 Gaussians
    folder                 your own pictures, at `path`
    cifar10                the official binary archive at `path`, or as TFDS prepared it
    mock                   noise of any size, where the real set is not at hand
    any other              a set that TFDS prepared: mnist, svhn_cropped, celeb_a, lsun/bedroom

Shapes   H W C image; raw batches are uint8 in 0..255 (ops/augment.py brings them to [-1, 1] on the device).
Checked  tests/data/test_catalogue.py
"""

from collections.abc import Callable
from dataclasses import dataclass

from genjax.data.batches import RawBatch, batches
from genjax.data.images import ImageSet, Source, gather
from genjax.data.stream import stream

OWN = ("digits", "textures", "ring", "grid", "folder", "cifar10")
MEMORY_LIMIT = 4 * 2**30  # bytes of uint8 pixels that are held in memory


@dataclass(frozen=True)
class Data:
  """An open data set: `batch(step)` gives this process's share of the step's raw uint8 batch.

  `images` is None when the set is streamed; the digest is then of its description, not of its pixels.
  """

  batch: Callable[[int], RawBatch]
  shape: tuple[int, int, int]
  count: int
  name: str
  digest: str
  label_names: tuple[str, ...]
  images: ImageSet | None

  @property
  def classes(self) -> int | None:
    return len(self.label_names) or None


def load(
  name: str,
  *,
  split: str = "train",
  size: int | None = None,
  channels: int | None = None,
  path: str | None = None,
  data_dir: str | None = None,
  sha256: str | None = None,
) -> ImageSet:
  """Read a data set into memory.

  Args:
    name: see above.
    split: "train", "test" or what the set has, or a slice: "train[:90%]".
    size: pixels of the side; images are cut to the centre square and resized (bicubic). None: the native size.
    channels: 1 grey, 3 colour, None: as the images are.
    path: of the folder, the CIFAR archive, or the version folder of a set prepared by TFDS.
    data_dir: where TFDS keeps prepared sets; None: $TFDS_DATA_DIR or ~/tensorflow_datasets.
    sha256: of another CIFAR archive than the published one.

  Raises:
    ValueError, OSError: the text says what came, what was wanted and what to do.
  """
  found = _find(name, split=split, size=size, channels=channels, path=path, data_dir=data_dir, sha256=sha256)
  return gather(found) if isinstance(found, Source) else found


def open_data(
  name: str,
  *,
  batch: int,
  seed: int,
  split: str = "train",
  size: int | None = None,
  channels: int | None = None,
  path: str | None = None,
  data_dir: str | None = None,
  sha256: str | None = None,
  in_memory: bool | None = None,
  process: int = 0,
  processes: int = 1,
) -> Data:
  """Open a data set for training: batches by step, from memory or streamed from disk.

  Args:
    name, split, size, channels, path, data_dir, sha256: as in `load`.
    batch, seed, process, processes: as in `batches`.
    in_memory: None holds up to MEMORY_LIMIT bytes of pixels in memory and streams what is larger.
  """
  found = _find(name, split=split, size=size, channels=channels, path=path, data_dir=data_dir, sha256=sha256)
  share = {"batch": batch, "seed": seed, "process": process, "processes": processes}
  if isinstance(found, Source):
    height, width, depth = found.shape
    fits = found.count * height * width * depth <= MEMORY_LIMIT
    if not (fits if in_memory is None else in_memory):
      at = stream(found, **share)
      return Data(at, found.shape, found.count, found.name, found.digest, found.label_names, None)
    found = gather(found)
  elif in_memory is False:
    raise ValueError(f"{name} from its archive is always held in memory; leave data.in_memory unset")
  at = batches(found, **share)
  return Data(at, found.images.shape[1:], len(found.images), found.name, found.digest, found.label_names, found)


def _find(
  name: str,
  *,
  split: str,
  size: int | None,
  channels: int | None,
  path: str | None,
  data_dir: str | None,
  sha256: str | None,
) -> Source | ImageSet:
  """Sources are imported here, so that a folder of images needs no TFDS and the CLI starts quickly."""
  if name == "folder":
    from genjax.data.folder import folder_source

    if path is None:
      raise ValueError('data set "folder" needs a path; set data.path to a folder of images')
    return folder_source(path, split=split, size=size, channels=channels)

  if name in ("ring", "grid"):
    from genjax.data.mixtures import mixture

    if path is not None:
      raise ValueError(f'data set "{name}" takes no path; leave data.path unset')
    return mixture(name, split=split, size=size, channels=channels)

  if name == "mock":
    from genjax.data.mock import mock

    if path is not None:
      raise ValueError('data set "mock" takes no path; leave data.path unset')
    return mock(split=split, size=size, channels=channels)

  from genjax.data import prepared

  if path is not None and prepared.is_prepared(path):
    return prepared.prepared_source(path, name=name, split=split, size=size, channels=channels)
  if name == "cifar10" and path is not None:
    from genjax.data.cifar import load_cifar

    return load_cifar(path, split=split, size=size, channels=channels, sha256=sha256)
  if path is not None:
    raise ValueError(f'data set "{name}" takes no path but that of a prepared TFDS folder, which "{path}" is not')
  try:
    folder = _own(name) or prepared.find_prepared(name, data_dir, own=OWN)
  except FileNotFoundError as error:
    if name != "cifar10":
      raise
    raise FileNotFoundError(f"{error}; or set data.path to the official cifar-10-binary.tar.gz") from error
  return prepared.prepared_source(folder, name=name, split=split, size=size, channels=channels)


def _own(name: str) -> str | None:
  """The prepared folder of a set that we make ourselves; None for other names."""
  from genjax.data.prepared import prepare_own

  kind, _, config = name.partition("/")
  if name == "digits":
    from genjax.data.digits import Digits

    return prepare_own(Digits, name="digits")
  if kind == "textures":
    from genjax.data.textures import ALL, TEXTURES, Textures

    if config and config not in (ALL, *TEXTURES):
      raise ValueError(f'data set "{name}" is unknown; wanted textures or textures/{", textures/".join(TEXTURES)}')
    return prepare_own(Textures, name="textures", config=config or ALL)
  return None
