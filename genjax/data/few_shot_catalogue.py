"""Few-shot sets by name: rendered glyphs, the published files of five benchmarks, a folder of classes, or noise.

    glyphs                              data/glyphs.py, in the cache after its first use
    miniimagenet, cifarfs, fc100        the released MetaOptNet's pickles of {"data", "labels"}; miniImageNet also as
                                        learn2learn's, of {"image_data", "class_dict"}; the others also out of
                                        CIFAR-100 (data/cifar100.py)
    omniglot                            data/omniglot.py, with rotations, 28x28 unless `size` is given
    tieredimagenet                      {split}_images.npz and {split}_labels.pkl
    folder                              a folder a split, in it a folder a class
    mock                                noise: 20 classes of 40 images a split

Pickles are read by data/pickles.py, which builds arrays and plain values and calls nothing.

Departs  tieredImageNet's images are said to be stored blue first; they are handed on as they are, as released.
Shapes   images [N, H, W, C] uint8. Split names: train, val, test ("validation" is "val").
Checked  tests/data/test_few_shot_catalogue.py
"""

import difflib
import glob
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from genjax.data.cache import kept_arrays
from genjax.data.few_shot_sets import FewShotSet, few_shot_set
from genjax.data.image_set import gather, resized
from genjax.data.omniglot import omniglot_split
from genjax.data.pickles import read_pickle

NAMES = ("glyphs", "omniglot", "miniimagenet", "tieredimagenet", "cifarfs", "fc100", "folder", "mock")
SPLITS = ("train", "val", "test")
_IMAGENET = ((120.39586422, 115.59361427, 104.54012653), (70.68188272, 68.27635443, 72.54505529))
_CIFAR = ((129.37731888, 124.10583864, 112.47758569), (68.20947949, 65.43124043, 70.45866994))
MOMENTS = {"miniimagenet": _IMAGENET, "tieredimagenet": _IMAGENET, "cifarfs": _CIFAR, "fc100": _CIFAR}  # 0 to 255
_FILES = {  # pattern of a split's file, the first that is there
  "miniimagenet": {
    "train": ("miniImageNet_category_split_train_phase_train.pickle", "mini-imagenet-cache-train.pkl"),
    "val": ("miniImageNet_category_split_val.pickle", "mini-imagenet-cache-validation.pkl"),
    "test": ("miniImageNet_category_split_test.pickle", "mini-imagenet-cache-test.pkl"),
  },
  "cifarfs": {split: (f"CIFAR_FS_{split}.pickle",) for split in SPLITS},
  "fc100": {split: (f"FC100_{split}.pickle",) for split in SPLITS},
}
_MOCK_CLASSES, _MOCK_EACH = 20, 40


def few_shot(
  name: str,
  split: str,
  *,
  path: str | None = None,
  data_dir: str | None = None,
  size: int | None = None,
  unseen_faces: bool = False,
) -> FewShotSet:
  """Opens a split of a few-shot set, in memory.

  Args:
    name: one of NAMES.
    split: "train", "val" (or "validation"), or "test".
    path: the folder of the published files, or of the folders of `folder`; cifarfs and fc100 need none.
    data_dir: where TFDS keeps prepared sets, for the CIFAR-100 of cifarfs and fc100.
    size: pixels of the side that images are brought to; None: as they are.
    unseen_faces: glyphs' test characters in fonts of their own.

  Raises:
    ValueError, OSError: the text says what came, what was wanted and what to do.
  """
  if name not in NAMES:
    near = difflib.get_close_matches(name, NAMES, 1, 0.5)
    raise ValueError(
      f'few-shot set "{name}" is unknown{f"; did you mean {near[0]}?" if near else ""}; there are {", ".join(NAMES)}'
    )
  split = "val" if split == "validation" else split
  if split not in SPLITS:
    raise ValueError(f'split "{split}" is unknown; a few-shot set has {", ".join(SPLITS)}')
  if unseen_faces and name != "glyphs":
    raise ValueError(f"unseen_faces is about glyphs, not {name}; leave it out")
  if data_dir is not None and name not in ("cifarfs", "fc100"):
    raise ValueError(f"{name} takes no data_dir, which is where cifarfs and fc100 find CIFAR-100; leave it out")
  if name == "omniglot":
    return omniglot_split(split, path=path, size=size or 28)
  images, ids = _opened(name, split, path, data_dir, unseen_faces)
  if size is not None and images.shape[1:3] != (size, size):
    images = resized(images, size=size, channels=images.shape[3])
  return few_shot_set(images, ids, name=name, split=split)


def _opened(
  name: str, split: str, path: str | None, data_dir: str | None, unseen_faces: bool
) -> tuple[np.ndarray, Sequence]:
  if name in ("glyphs", "mock") and path is not None:
    raise ValueError(f"{name} takes no path; leave data.path unset")
  if name == "glyphs":
    return _glyphs("test_unseen_faces" if unseen_faces and split == "test" else split)
  if name == "mock":
    return _mock(split)
  if path is None and name not in ("cifarfs", "fc100"):
    raise ValueError(f"{name} needs a path; set data.path to the folder of its files")
  if path is not None and not os.path.isdir(path):
    raise FileNotFoundError(f'"{path}" is no folder; set data.path to the folder of the files of {name}')
  if name == "folder":
    return _folder(path, split)
  if name == "tieredimagenet":
    return _tiered(path, split)
  if name in ("cifarfs", "fc100"):
    from genjax.data.cifar100 import cut_cifar100, cuts_cifar100

    released = path is not None and os.path.isfile(os.path.join(path, _FILES[name][split][0]))
    if not released and cuts_cifar100(path):
      return cut_cifar100(name, split, path=path, data_dir=data_dir)
  return _pickled(name, split, path)


def _mock(split: str) -> tuple[np.ndarray, np.ndarray]:
  place = SPLITS.index(split)
  images = np.random.default_rng(place).integers(0, 256, (_MOCK_CLASSES * _MOCK_EACH, 32, 32, 3), np.uint8)
  return images, np.repeat(np.arange(_MOCK_CLASSES) + place * _MOCK_CLASSES, _MOCK_EACH)


def _glyphs(split: str) -> tuple[np.ndarray, np.ndarray]:
  """From the prepared set; its pixels are kept beside it as one array, which opens quicker than PNGs."""
  from genjax.data.glyphs import Glyphs
  from genjax.data.prepared import prepare_own, prepared_source

  folder = prepare_own(Glyphs, name="glyphs")

  def decoded() -> dict[str, np.ndarray]:
    glyphs = gather(prepared_source(folder, name="glyphs", split={"val": "validation"}.get(split, split)))
    return {"images": glyphs.images, "labels": glyphs.labels}

  arrays = kept_arrays(os.path.join(folder, f"pixels-{split}.npz"), decoded)
  return arrays["images"], arrays["labels"]


def _folder(path: str, split: str) -> tuple[np.ndarray, np.ndarray]:
  from genjax.data.folder import folder_source

  places = [os.path.join(path, one) for one in ((split, "validation") if split == "val" else (split,))]
  place = next((one for one in places if os.path.isdir(one)), None)
  if place is None:
    raise FileNotFoundError(f'"{path}" has no folder {split}; a few-shot folder has {", ".join(SPLITS)}')
  pictures = gather(folder_source(place))
  if pictures.labels is None:
    raise ValueError(f'"{place}" has no classes; wanted a folder for each class')
  return pictures.images, np.asarray(pictures.label_names)[pictures.labels]


def _tiered(path: str, split: str) -> tuple[np.ndarray, Sequence]:
  wanted = [f"{split}_images.npz", f"{split}_labels.pkl"]
  if not all(os.path.isfile(os.path.join(path, one)) for one in wanted):
    originals = os.path.isfile(os.path.join(path, f"{split}_images_png.pkl"))
    why = ": these are Ren et al.'s originals, whose class ids of splits overlap" if originals else ""
    raise FileNotFoundError(
      f'"{path}" has no {" and ".join(wanted)} of the released MetaOptNet; it holds {_held(path)}{why}'
    )
  images_file, labels_file = (os.path.join(path, f"{split}_{kind}") for kind in ("images.npz", "labels.pkl"))
  with np.load(images_file, allow_pickle=False) as file:
    if "images" not in file:
      raise ValueError(f"{images_file} holds {', '.join(file)}; wanted images")
    images = file["images"]
  labels = read_pickle(labels_file)
  if not isinstance(labels, dict) or "labels" not in labels:
    held = ", ".join(map(str, labels)) if isinstance(labels, dict) else type(labels).__name__
    raise ValueError(
      f"{labels_file} holds {held}; wanted labels, as in the files of the released MetaOptNet, "
      "not Ren et al.'s originals"
    )
  return images, _ids(labels["labels"])


def _pickled(name: str, split: str, path: str) -> tuple[np.ndarray, Sequence]:
  names = _FILES[name][split]
  file = next(filter(os.path.isfile, (os.path.join(path, one) for one in names)), None)
  if file is None:
    raise FileNotFoundError(f'"{path}" has no {" and no ".join(names)}; it holds {_held(path)}')
  content = read_pickle(file)
  if isinstance(content, dict) and {"data", "labels"} <= set(content):
    images, ids = content["data"], _ids(content["labels"])
  elif isinstance(content, dict) and {"image_data", "class_dict"} <= set(content):
    images, ids = content["image_data"], np.empty(len(content["image_data"]), object)
    for label, rows in content["class_dict"].items():
      ids[np.asarray(rows, int)] = str(label)
    ids = ids.astype(str)
  else:
    held = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
    raise ValueError(f"{file} holds {held}; wanted data and labels, or image_data and class_dict")
  images = np.asarray(images)
  if images.dtype != np.uint8 or images.ndim != 4:
    raise ValueError(f"images of {file} are {images.dtype} {list(images.shape)}; wanted uint8 [N, H, W, C]")
  return images, ids


def _ids(labels: Any) -> np.ndarray:
  ids = np.asarray(labels)
  return ids.astype(str) if ids.dtype.kind in "SO" else ids


def _held(path: str) -> str:
  """The first files of a folder, for an error."""
  return ", ".join(sorted(os.path.basename(one) for one in glob.glob(os.path.join(path, "*")))[:8]) or "nothing"
