"""From a name to images: what `load` knows, and how each set is opened.

    digits                 scikit-learn's handwritten digits
    textures[/brick]       scikit-image's photographs
    ring, grid             points in the plane, a mixture of 8 or 25 Gaussians
    folder                 your own pictures, at `path`
    cifar10                the official binary archive at `path`, or as TFDS prepared it
    mnist, fashion_mnist   the official idx archives in the folder `path`, or as TFDS prepared it, in the same order
    mock                   noise of any size, where the real set is not at hand
    any other              a set that TFDS prepared: svhn_cropped, celeb_a, lsun/bedroom

Readers are imported when they are needed, so that a folder of images needs no TFDS.

Shapes   H W C image; images are uint8 in 0..255 (ops/augment.py brings them to [-1, 1] on the device).
Checked  tests/data/test_catalogue.py
"""

from genjax.data.image_set import ImageSet, Source, gather

OFFICIAL = ("cifar10", "mnist", "fashion_mnist")  # read from their official files, or as TFDS prepared them
OWN = ("digits", "textures", "ring", "grid", "folder", *OFFICIAL)


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
  """Reads a data set of images into memory.

  Shapes: `images` [N, H, W, C] uint8 in 0..255, `labels` [N] int32 or None.

  Args:
    name: "digits", "textures", "textures/brick", "ring", "grid", "folder", "cifar10", "mnist", "fashion_mnist",
      "mock", or what TFDS prepared.
    split: "train", "test" or what the set has, or a slice: "train[:90%]".
    size: pixels of the side; images are cut to the centre square and resized (bicubic). None: the native size.
    channels: 1 grey, 3 colour, None: as the images are.
    path: of the folder, the official files, or the version folder of a set prepared by TFDS.
    data_dir: where TFDS keeps prepared sets; None: $TFDS_DATA_DIR or ~/tensorflow_datasets.
    sha256: of another CIFAR archive than the published one.

  Raises:
    ValueError, OSError: the text says what came, what was wanted and what to do.
  """
  images = open_images(name, split, size=size, channels=channels, path=path, data_dir=data_dir, sha256=sha256)
  return gather(images) if isinstance(images, Source) else images


def open_images(
  name: str,
  split: str,
  *,
  size: int | None = None,
  channels: int | None = None,
  path: str | None = None,
  data_dir: str | None = None,
  sha256: str | None = None,
) -> Source | ImageSet:
  """Opens a set by its name, arguments as in `load`: a Source, of which nothing is read yet, where that is possible."""
  form = {"split": split, "size": size, "channels": channels}
  if name == "folder":
    from genjax.data.folder import folder_source

    if path is None:
      raise ValueError('data set "folder" needs a path; set data.path to a folder of images')
    return folder_source(path, **form)

  if name in ("ring", "grid", "mock") and path is not None:
    raise ValueError(f'data set "{name}" takes no path; leave data.path unset')
  if name in ("ring", "grid"):
    from genjax.data.mixtures import mixture

    return mixture(name, **form)
  if name == "mock":
    from genjax.data.mock import mock

    return mock(**form)

  from genjax.data import prepared

  if name in OFFICIAL and path is not None and not prepared.is_prepared(path):
    if name == "cifar10":
      from genjax.data.cifar import load_cifar

      return load_cifar(path, sha256=sha256, **form)
    from genjax.data.idx import load_idx

    return load_idx(name, path, **form)
  return prepared.prepared_source(_folder_of(name, path, data_dir), name=name, **form)


def _folder_of(name: str, path: str | None, data_dir: str | None) -> str:
  """The version folder of a set that TFDS prepared, or that we prepare ourselves."""
  from genjax.data import prepared

  if path is not None:
    if not prepared.is_prepared(path):
      raise ValueError(f'data set "{name}" takes no path but that of a prepared TFDS folder, which "{path}" is not')
    return path
  try:
    return _own(name) or prepared.find_prepared(name, data_dir, own=OWN)
  except FileNotFoundError as error:
    if name not in OFFICIAL:
      raise
    files = "the official cifar-10-binary.tar.gz" if name == "cifar10" else "the folder of the official idx files"
    raise FileNotFoundError(f"{error}; or set data.path to {files}") from error


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
