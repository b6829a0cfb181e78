"""CIFAR-FS and FC100, cut out of CIFAR-100 by lists of classes.

CIFAR-100 is the one that TFDS has prepared, or pictures in `data/CLASS/`, as the authors' cifar100.zip unpacks. Lists
of your own are files train.txt, val.txt and test.txt with a class a line, in the folder or in its splits/bertinetto.

Papers   CIFAR-FS  Bertinetto et al. 2019, arXiv:1805.08136. Classes as in torchmeta, assets/cifar100/cifar-fs/*.json.
         FC100     Oreshkin et al. 2018 (TADAM), arXiv:1805.10123. Superclasses to train and test on as in torchmeta,
                   assets/cifar100/fc100/*.json; for validation, the four that are left.
Departs  Class ids are names of fine classes, where the released pickles have numbers.
Shapes   images [N, 32, 32, 3] uint8, the 500 of CIFAR-100's train and the 100 of its test split of each class.
Checked  tests/data/test_cifar100.py
"""

import functools
import os

import numpy as np

from genjax.data.cache import cache_dir, kept_arrays
from genjax.data.image_set import Source, gather
from genjax.data.prepared import find_prepared, is_prepared, prepared_source

SUPERCLASSES = {  # to fine classes: those for CIFAR-FS to train on / validate on / test on
  "aquatic_mammals": "dolphin seal / beaver otter / whale",
  "fish": "aquarium_fish ray trout / flatfish shark /",
  "flowers": "orchid sunflower tulip / / poppy rose",
  "food_containers": "bottle bowl can cup plate / /",
  "fruit_and_vegetables": "apple mushroom orange pear / / sweet_pepper",
  "household_electrical_devices": "clock keyboard / lamp television / telephone",
  "household_furniture": "chair couch / / bed table wardrobe",
  "insects": "bee caterpillar cockroach / beetle butterfly /",
  "large_carnivores": "bear lion tiger wolf / / leopard",
  "large_man-made_outdoor_things": "bridge castle house road skyscraper / /",
  "large_natural_outdoor_scenes": "cloud forest mountain / sea / plain",
  "large_omnivores_and_herbivores": "elephant kangaroo / camel cattle / chimpanzee",
  "medium_mammals": "porcupine possum raccoon skunk / / fox",
  "non-insect_invertebrates": "lobster spider / crab / snail worm",
  "people": "boy girl / / baby man woman",
  "reptiles": "dinosaur lizard snake turtle / crocodile /",
  "small_mammals": "hamster mouse rabbit shrew squirrel / /",
  "trees": "oak_tree palm_tree pine_tree willow_tree / maple_tree /",
  "vehicles_1": "bus train / motorcycle / bicycle pickup_truck",
  "vehicles_2": "lawn_mower streetcar tank / tractor / rocket",
}
_FC100 = {
  "val": ("large_carnivores", "large_omnivores_and_herbivores", "non-insect_invertebrates", "small_mammals"),
  "test": ("aquatic_mammals", "insects", "medium_mammals", "people"),
}
FINE = tuple(sorted(word for words in SUPERCLASSES.values() for word in words.split() if word != "/"))  # by their label


def classes_of(name: str, split: str) -> tuple[str, ...]:
  """The fine classes of a split of "cifarfs" or "fc100", in alphabetical order; split is train, val or test."""
  if name == "cifarfs":
    place = ("train", "val", "test").index(split)
    return tuple(sorted(word for words in SUPERCLASSES.values() for word in words.split("/")[place].split()))
  held = {superclass for of in _FC100.values() for superclass in of}
  of = _FC100[split] if split in _FC100 else [superclass for superclass in SUPERCLASSES if superclass not in held]
  return tuple(sorted(set(FINE) & {word for superclass in of for word in SUPERCLASSES[superclass].split()}))


def cuts_cifar100(path: str | None) -> bool:
  """Whether a set at `path` is to be made here: no path, lists of classes, or CIFAR-100 as TFDS prepared it."""
  return path is None or is_prepared(path) or any(_list_file(path, split) for split in ("train", "val", "test"))


def cut_cifar100(
  name: str, split: str, *, path: str | None = None, data_dir: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """Images [N, 32, 32, 3] uint8 of a split and the names of their classes [N].

  Args:
    name: "cifarfs" or "fc100"; lists at `path` go before it.
    split: "train", "val" or "test".
    path: a folder of lists, with or without pictures, or the version folder of a prepared CIFAR-100.
    data_dir: where TFDS keeps prepared sets, for a CIFAR-100 that is not at `path`.

  Raises:
    ValueError, OSError: CIFAR-100 is not there, or not with its classes, or a list names a class that it does not have.
  """
  prepared = path if path is not None and is_prepared(path) else None
  wanted = classes_of(name, split) if path is None or prepared else _from_list(path, split)
  pictures = None if path is None or prepared else os.path.join(path, "data")
  if pictures and os.path.isdir(pictures):
    return _from_pictures(pictures, wanted)
  try:
    images, labels = _whole(prepared or find_prepared("cifar100", data_dir))
  except FileNotFoundError as error:
    raise FileNotFoundError(f"{name}: {error}; or set data.path to the folder of the released pickles") from error
  chosen = np.isin(labels, [FINE.index(word) for word in wanted])
  return images[chosen], np.asarray(FINE)[labels[chosen]]


def _list_file(path: str, split: str) -> str | None:
  places = (os.path.join(path, f"{split}.txt"), os.path.join(path, "splits", "bertinetto", f"{split}.txt"))
  return next(filter(os.path.isfile, places), None)


def _from_list(path: str, split: str) -> tuple[str, ...]:
  file = _list_file(path, split)
  if file is None:
    raise FileNotFoundError(f'"{path}" has no {split}.txt; wanted a list of classes for each of train, val, test')
  with open(file, encoding="utf-8") as lines:
    words = tuple(sorted({line.strip() for line in lines} - {""}))
  if not words or (unknown := [word for word in words if word not in FINE]):
    held = f"names {unknown[0]}, which is no class of CIFAR-100" if words else "is empty"
    raise ValueError(f"{file} {held}; wanted names such as aquarium_fish, one a line")
  return words


def _from_pictures(folder: str, wanted: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
  from genjax.data.folder import folder_source

  classes = [gather(folder_source(os.path.join(folder, word), size=32, channels=3)).images for word in wanted]
  return np.concatenate(classes), np.repeat(np.asarray(wanted), [len(images) for images in classes])


def _whole(folder: str) -> tuple[np.ndarray, np.ndarray]:
  """All 60,000 images and fine labels; decoded once and kept in the cache, for decoding takes half a minute."""
  parts = [prepared_source(folder, name="cifar100", split=split, size=32, channels=3) for split in ("train", "test")]
  for part in parts:
    if part.label_names not in (FINE, tuple(map(str, range(len(FINE))))):
      raise ValueError(f"{folder} has {len(part.label_names)} other classes; wanted the 100 of CIFAR-100")
  file = os.path.join(cache_dir(), f"cifar100-{parts[0].digest[:16]}.npz")
  arrays = kept_arrays(file, functools.partial(_decoded, parts))
  return arrays["images"], arrays["labels"]


def _decoded(parts: list[Source]) -> dict[str, np.ndarray]:
  sets = [gather(part) for part in parts]
  return {
    "images": np.concatenate([one.images for one in sets]),
    "labels": np.concatenate([one.labels for one in sets]),
  }
