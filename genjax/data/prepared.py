"""Data sets that TensorFlow Datasets has prepared as array_record, read without TensorFlow.

Sets of others lie in `data_dir` (else $TFDS_DATA_DIR, else ~/tensorflow_datasets) under their names; the code of their
builders is not needed. Our own are written into the cache on first use.

TFDS writes examples in the order of md5(split + key). Where keys are places in the official files (BY_PLACE), examples
are read in the order of those files, so that slices and digests are those of the files.

Checked  tests/data/test_prepared.py, tests/data/test_digits.py
"""

import difflib
import functools
import hashlib
import io
import json
import logging
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from genjax.data.cache import cache_dir
from genjax.data.image_set import Source, check_request, to_array
from genjax.data.quiet import quiet
from genjax.data.splits import parse_split

if TYPE_CHECKING:
  import tensorflow_datasets as tfds

_LOG = logging.getLogger("genjax")
_NAME = re.compile(r"(?P<set>\w+)(/(?P<config>[\w.+-]+))?(:(?P<version>\d+\.\d+\.\d+))?")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_INFO = "dataset_info.json"
_preparing = threading.Lock()
BY_PLACE = ("mnist", "fashion_mnist")  # sets of TFDS whose keys are 0, 1, 2 ... as in the official files


def is_prepared(path: str) -> bool:
  """Whether `path` is itself the version folder of a prepared set."""
  return os.path.isfile(os.path.join(path, _INFO))


def _is_sound(path: str) -> bool:
  """Whether what TFDS says of a set can be read."""
  try:
    with open(os.path.join(path, _INFO), "rb") as file:
      return isinstance(json.load(file), dict)
  except (OSError, ValueError):
    return False


def find_prepared(name: str, data_dir: str | None = None, *, own: tuple[str, ...] = ()) -> str:
  """The folder of a prepared set, the newest version if `name` ("set", "set/config", "set/config:1.0.0") names none.

  Args:
    name: as TFDS spells it.
    data_dir: the folder of prepared sets.
    own: names that are valid besides those of TFDS, for the nearest match.

  Raises:
    ValueError: TFDS knows no such set.
    FileNotFoundError: it is not prepared in `data_dir`; the text says how.
  """
  from etils import epath

  match = _NAME.fullmatch(name)
  if match is None:
    raise ValueError(f'data set "{name}" is not understood; wanted e.g. "mnist" or "lsun/bedroom"')
  root = epath.Path(
    data_dir or os.environ.get("TFDS_DATA_DIR") or os.path.join("~", "tensorflow_datasets")
  ).expanduser()
  folder = root / match["set"] / (match["config"] or "")
  versions = {child.name: child for child in _children(folder) if _VERSION.fullmatch(child.name)}
  versions = {version: child for version, child in versions.items() if (child / _INFO).exists()}
  if match["version"] in versions:
    return str(versions[match["version"]])
  if versions and match["version"] is None:
    return str(versions[max(versions, key=lambda version: tuple(map(int, version.split("."))))])
  raise _not_prepared(name, match, root, sorted(versions), own)


def _children(folder) -> list:
  return list(folder.iterdir()) if folder.is_dir() else []


def _not_prepared(name: str, match: re.Match, root, versions: list[str], own: tuple[str, ...]) -> Exception:
  if versions:
    return FileNotFoundError(f'"{name}": only version {", ".join(versions)} is prepared in {root}')
  configs = [child.name for child in _children(root / match["set"]) if any(map(_is_version, _children(child)))]
  if configs:
    return FileNotFoundError(
      f'"{name}" is not prepared in {root}, but {match["set"]} has: {", ".join(sorted(configs))}'
    )
  import tensorflow_datasets as tfds

  known = tfds.list_builders(with_community_datasets=False)
  if match["set"] not in known:
    near = difflib.get_close_matches(match["set"], {*own, *known}, n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return ValueError(f'data set "{name}" is unknown{hint} (wanted {", ".join(own)} or a TensorFlow Datasets name)')
  code = f"tfds.builder('{name}', data_dir='{root}', file_format='array_record').download_and_prepare()"
  return FileNotFoundError(
    f'"{name}" is not prepared in {root}; do so once, with network and, for some sets, with TensorFlow installed: '
    f'python -c "import tensorflow_datasets as tfds; {code}" (or set data.data_dir to where it is)'
  )


def _is_version(folder) -> bool:
  return _VERSION.fullmatch(folder.name) is not None


def prepared_source(
  folder: str, *, name: str, split: str = "train", size: int | None = None, channels: int | None = None
) -> Source:
  """Open a prepared set for random access; examples keep the order of its files, or of the official ones (BY_PLACE).

  Args:
    folder: the version folder, which holds dataset_info.json.
    name: what to call it.
    split: in TFDS's syntax.
    size: pixels of the side of the centre square; None where all images have one native size.
    channels: 1, 3 or None: as the images are.

  Raises:
    ValueError: not array_record, no such split, no image feature, or images of several sizes and no size is asked for.
  """
  check_request(size, channels)
  if is_prepared(folder) and not _is_sound(folder):
    raise ValueError(f"{os.path.join(folder, _INFO)} is empty or damaged; delete {folder} and prepare {name} again")
  with quiet():
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    if builder.info.file_format != tfds.core.FileFormat.ARRAY_RECORD:
      raise ValueError(
        f"{name} in {folder} is stored as {builder.info.file_format.value}; wanted array_record: tfds convert_format "
        f"--dataset_version_dir={folder} --out_file_format=array_record --out_dir=NEW_FOLDER (with TensorFlow)"
      )
    image, label, label_names = _features(builder.info, name)
    shape = _shape(builder.info.features[image].shape, size, channels, name)
    try:  # PIL decodes the images, as for folders, not whatever TFDS finds installed
      part, places = _places(builder.info, name, split)
      records = builder.as_data_source(part, decoders={image: tfds.decode.SkipDecoding()})
      wanted = split if places is None else f"{split}, in the official order"
      places = range(len(records)) if places is None else places
    except ValueError as error:
      there = " and ".join(builder.info.splits)
      raise ValueError(
        f'{name}: split "{split}" is not understood or empty; there is {there}, and slices like "train[:90%]"'
      ) from error
  read = functools.partial(_read, records, places, folder, image, label, size, shape)
  return Source(read, len(places), shape, name, _digest(folder, wanted, size, shape), label_names)


def _features(info: "tfds.core.DatasetInfo", name: str) -> tuple[str, str | None, tuple[str, ...]]:
  """The image's key, the label's key and the labels' names."""
  import tensorflow_datasets as tfds

  features = info.features
  images = [key for key in features if isinstance(features[key], tfds.features.Image)]
  if not images:
    raise ValueError(f"{name} has no images; its features are {', '.join(features)}")
  image = "image" if "image" in images else images[0]
  supervised = info.supervised_keys[1:] if info.supervised_keys else ()
  for key in (*supervised, "label"):
    if isinstance(key, str) and key in features and isinstance(features[key], tfds.features.ClassLabel):
      return image, key, tuple(features[key].names)
  return image, None, ()


def _shape(native: tuple, size: int | None, channels: int | None, name: str) -> tuple[int, int, int]:
  if size is None and None in native[:2]:
    raise ValueError(f"images of {name} differ in size; set data.size to bring all to one square size")
  height, width = (native[0], native[1]) if size is None else (size, size)
  return height, width, channels or (1 if native[2] == 1 else 3)


def _places(info: "tfds.core.DatasetInfo", name: str, split: str) -> tuple[str, np.ndarray | None]:
  """The split to open and the place in it of every example wanted; None: all, as they are."""
  if name.partition(":")[0] not in BY_PLACE or info.disable_shuffling or "+" in split:
    return split, None
  part, start, stop = parse_split(split, {each: info.splits[each].num_examples for each in info.splits})
  keys = [hashlib.md5(f"{part}{key}".encode()).digest() for key in range(info.splits[part].num_examples)]
  written = sorted(range(len(keys)), key=keys.__getitem__)  # place in the prepared set -> key
  return part, np.argsort(written)[start:stop]


def _read(
  records,
  places: Sequence[int],
  folder: str,
  image: str,
  label: str | None,
  size: int | None,
  shape: tuple[int, int, int],
  index: int,
):
  try:
    example = records[int(places[index])]
    with Image.open(io.BytesIO(example[image])) as picture:
      array = to_array(picture, size=size, channels=shape[-1])
  except (RuntimeError, OSError) as error:  # array_record checks every chunk's hash
    raise OSError(
      f"example {index} of {folder} is damaged ({error}); delete that folder and prepare it again"
    ) from error
  return array, None if label is None else int(example[label])


def _digest(folder: str, split: str, size: int | None, shape: tuple[int, int, int]) -> str:
  """sha256 of what TFDS says of the set, which names its source and version, and of what is made of it."""
  from etils import epath

  digest = hashlib.sha256(repr((split, size, shape)).encode())
  digest.update((epath.Path(folder) / _INFO).read_bytes())
  return digest.hexdigest()


def prepare_own(builder_class: "type[tfds.core.GeneratorBasedBuilder]", *, name: str, config: str | None = None) -> str:
  """Write one of our own sets into the cache unless it is there; gives its version folder.

  It is written elsewhere and then renamed: several processes may do this at once, and a kill leaves nothing half done.
  """
  root = cache_dir()
  parts = (name, *([config] if config else []), str(builder_class.VERSION))
  final = os.path.join(root, *parts)
  with _preparing:
    if _is_sound(final):
      return final
    if os.path.lexists(final):
      _LOG.warning("%s is damaged; it is prepared again", final)
      shutil.rmtree(final, ignore_errors=True)
    try:
      scratch = tempfile.mkdtemp(prefix=".preparing-", dir=root)
      try:
        with quiet():
          builder = builder_class(
            data_dir=scratch, file_format="array_record", **({"config": config} if config else {})
          )
          _without_bars(builder)
        os.makedirs(os.path.dirname(final), exist_ok=True)
        _rename(os.path.join(scratch, *parts), final)
      finally:
        shutil.rmtree(scratch, ignore_errors=True)
    except (OSError, RuntimeError) as error:  # array_record says RuntimeError of a full disk
      raise OSError(
        f'"{name}" cannot be written into the cache ({error}); set GENJAX_CACHE to another folder'
      ) from error
  return final


def _without_bars(builder: "tfds.core.GeneratorBasedBuilder") -> None:
  import tensorflow_datasets as tfds

  tfds.disable_progress_bar()
  try:
    builder.download_and_prepare()
  finally:
    tfds.enable_progress_bar()


def _rename(made: str, final: str) -> None:
  try:
    os.rename(made, final)
  except OSError:
    if not _is_sound(final):  # another process was first otherwise, with the same content
      raise
