"""Data sets of images.

Shapes   raw: "image" [B, H, W, C] uint8 in 0..255 and, where there are labels, "label" [B] int32. Prepared: "image"
         float32 in [-1, 1]. Facts: shape (H, W, C) after the crop, classes (number of labels, or None), train_split,
         name, describe.
Checked  tests/data/test_images.py

Arguments that several of them have:
    batch           examples of a step, over all processes
    seed            of the order of examples
    split           to train on: "train", or a slice in TFDS's syntax such as "train[:90%]"
    size            pixels of the side; images are cut to the centre square and resized. None: as they are
    channels        1 grey, 3 colour, None: as they are
    flip, pad, crop mirror with chance 1/2, pad with black, cut a random patch of this side (0: none), inside the step
    invert          255 - x in place of every x
    in_memory       None: up to 4 GiB of pixels are held in memory, and what is larger is streamed from disk
    process, processes   which of equal shares of the batch is loaded here
All raise ValueError or OSError; the text says what came, what was wanted and what to do.
"""

import functools

from genjax.core import Dataset
from genjax.data.catalogue import OFFICIAL, OWN, open_images
from genjax.data.epochs import Share
from genjax.data.image_dataset import Augment, image_dataset
from genjax.data.splits import with_held_out_tenth


def digits(
  *,
  batch: int,
  seed: int = 0,
  split: str = "train",
  size: int | None = None,
  channels: int | None = None,
  flip: bool = False,
  pad: int = 0,
  crop: int = 0,
  invert: bool = False,
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """scikit-learn's handwritten digits: 1,297 images of 8x8x1 to train on, 500 to test; 10 classes. Bundled."""
  return image_dataset(
    functools.partial(open_images, "digits", size=size, channels=channels),
    Share(batch, seed, process, processes),
    split=split,
    augment=Augment(flip, pad, crop),
    invert=invert,
  )


def textures(
  *,
  batch: int,
  texture: str = "all",
  seed: int = 0,
  split: str = "train",
  size: int | None = None,
  channels: int | None = None,
  flip: bool = False,
  pad: int = 0,
  crop: int = 0,
  invert: bool = False,
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """scikit-image's photographs of textures, 512x512x1, no test split; a batch may hold one many times. Bundled.

  texture: "brick", "grass", "gravel", or "all" three, which are then the classes.
  """
  name = "textures" if texture == "all" else f"textures/{texture}"
  return image_dataset(
    functools.partial(open_images, name, size=size, channels=channels),
    Share(batch, seed, process, processes),
    split=split,
    augment=Augment(flip, pad, crop),
    invert=invert,
  )


def folder(
  *,
  batch: int,
  path: str | None = None,
  seed: int = 0,
  split: str = "train",
  size: int | None = None,
  channels: int | None = None,
  flip: bool = False,
  pad: int = 0,
  crop: int = 0,
  invert: bool = False,
  in_memory: bool | None = None,
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """Your own pictures: every file that PIL reads in the folder `path`, its subfolders being the classes.

  "train" is nine tenths of them and "test" the tenth that is held out, in a fixed random order; every other slice, such
  as "train[:100%]", is of all.

  Shapes: raw "image" [B, size, size, C] uint8, "label" [B] int32 where there are subfolders; prepared [-1, 1] float32.

  Args:
    batch: B, over all processes.
    path: of the folder.
    seed: orders the epochs.
    split: "train", "test", or a slice of all pictures.
    size: of the side; each picture is cut to its centre square and resized. None: as they are, all of one size.
    channels: 1 grey, 3 colour, None: as they are.
    flip, pad, crop: augmentation of training batches, see ops.augment.prepare.
    invert: 255 - x.
    in_memory: None holds up to 4 GiB of pixels in memory, and streams what is larger.
    process, processes: this process's share.
  """
  return image_dataset(
    functools.partial(open_images, "folder", path=path, size=size, channels=channels),
    Share(batch, seed, process, processes),
    split=split,
    augment=Augment(flip, pad, crop),
    invert=invert,
    in_memory=in_memory,
    resolve=with_held_out_tenth,
  )


def cifar10(
  *,
  batch: int,
  path: str | None = None,
  data_dir: str | None = None,
  sha256: str | None = None,
  seed: int = 0,
  split: str = "train",
  size: int | None = None,
  channels: int | None = None,
  flip: bool = False,
  pad: int = 0,
  crop: int = 0,
  invert: bool = False,
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """CIFAR-10: 50,000 images of 32x32x3 to train on, 10,000 to test; 10 classes.

  path: of the official cifar-10-binary.tar.gz, or of the folder that it unpacks to. None: as TFDS prepared it in
    `data_dir` (None: $TFDS_DATA_DIR or ~/tensorflow_datasets).
  sha256: of another archive than the published one.
  """
  return image_dataset(
    functools.partial(
      open_images, "cifar10", path=path, data_dir=data_dir, sha256=sha256, size=size, channels=channels
    ),
    Share(batch, seed, process, processes),
    split=split,
    augment=Augment(flip, pad, crop),
    invert=invert,
  )


def mnist(
  *,
  batch: int,
  path: str | None = None,
  data_dir: str | None = None,
  seed: int = 0,
  split: str = "train",
  size: int | None = None,
  channels: int | None = None,
  flip: bool = False,
  pad: int = 0,
  crop: int = 0,
  invert: bool = False,
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """MNIST: 60,000 images of 28x28x1 to train on, 10,000 to test; 10 classes.

  path: of the folder of the four official idx files, .gz or not. None: as TFDS prepared it in `data_dir` (None:
    $TFDS_DATA_DIR or ~/tensorflow_datasets); order and digest are the same.
  """
  return image_dataset(
    functools.partial(open_images, "mnist", path=path, data_dir=data_dir, size=size, channels=channels),
    Share(batch, seed, process, processes),
    split=split,
    augment=Augment(flip, pad, crop),
    invert=invert,
  )


def fashion_mnist(
  *,
  batch: int,
  path: str | None = None,
  data_dir: str | None = None,
  seed: int = 0,
  split: str = "train",
  size: int | None = None,
  channels: int | None = None,
  flip: bool = False,
  pad: int = 0,
  crop: int = 0,
  invert: bool = False,
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """Fashion-MNIST: 60,000 images of 28x28x1 to train on, 10,000 to test; 10 classes; arguments as in `mnist`."""
  return image_dataset(
    functools.partial(open_images, "fashion_mnist", path=path, data_dir=data_dir, size=size, channels=channels),
    Share(batch, seed, process, processes),
    split=split,
    augment=Augment(flip, pad, crop),
    invert=invert,
  )


def tfds(
  *,
  dataset: str,
  batch: int,
  path: str | None = None,
  data_dir: str | None = None,
  seed: int = 0,
  split: str = "train",
  size: int | None = None,
  channels: int | None = None,
  flip: bool = False,
  pad: int = 0,
  crop: int = 0,
  invert: bool = False,
  in_memory: bool | None = None,
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """A set of images that TensorFlow Datasets prepared as array_record; it is read without TensorFlow.

  dataset: as TFDS spells it: "svhn_cropped", "celeb_a", "lsun/bedroom", "lsun/bedroom:3.0.0".
  path: of its version folder. None: it is looked for in `data_dir` (None: $TFDS_DATA_DIR or ~/tensorflow_datasets).
  """
  kind = dataset.partition("/")[0]
  if kind in (*OWN, "mock") and kind not in OFFICIAL:
    raise ValueError(f'"{dataset}" comes with genjax and not from TFDS; set data.name={kind}')
  return image_dataset(
    functools.partial(open_images, dataset, path=path, data_dir=data_dir, size=size, channels=channels),
    Share(batch, seed, process, processes),
    split=split,
    augment=Augment(flip, pad, crop),
    invert=invert,
    in_memory=in_memory,
  )


def mock(
  *,
  batch: int,
  seed: int = 0,
  split: str = "train",
  size: int | None = None,
  channels: int | None = None,
  flip: bool = False,
  pad: int = 0,
  crop: int = 0,
  invert: bool = False,
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """Noise with 10 classes, 32x32x3, where a real set is not at hand: 4,096 images to train on, 1,024 to test."""
  return image_dataset(
    functools.partial(open_images, "mock", size=size, channels=channels),
    Share(batch, seed, process, processes),
    split=split,
    augment=Augment(flip, pad, crop),
    invert=invert,
  )
