"""Few-shot data sets: episodes of a few classes, of each a few images to learn from and some to be asked about.

Shapes   E episodes, K ways, H W C image; n = K * shots, m = K * queries. Raw: "support" [E, n, H, W, C] and "query"
         [E, m, H, W, C] uint8, "support_label" [E, n], "query_label" [E, m] int32 in 0..K-1, "class" [E, K] int32.
         Prepared: images float32, see data/episode_dataset.py. Facts: shape, ways, classes (None: episodes have labels
         of their own), train_split, name, describe.
Checked  tests/data/test_episodes.py

Arguments that several of them have:
    batch           episodes of a step, over all processes
    seed            of the draws
    split           to train on: "train", or "trainval" for the classes of training and validation together
    ways, shots, queries   classes of an episode, support and query images of each class
    size            pixels of the side; None: as they are
    pad, jitter, flip      augmentation inside the step: padded crops, colours (0 to 1), mirroring with chance 1/2
    process, processes     which of equal shares of the batch is loaded here
All raise ValueError or OSError; the text says what came, what was wanted and what to do.
"""

import functools
from typing import Literal

from genjax.core import Dataset
from genjax.data.episode_dataset import Augment, Form, episode_dataset
from genjax.data.epochs import Share
from genjax.data.few_shot_catalogue import few_shot
from genjax.data.omniglot import omniglot_split


def glyphs(
  *,
  batch: int,
  unseen_faces: bool = False,
  seed: int = 0,
  split: str = "train",
  ways: int = 5,
  shots: int = 5,
  queries: int = 6,
  size: int | None = None,
  pad: int = 0,
  jitter: float = 0.0,
  flip: bool = False,
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """Characters rendered from the fonts of matplotlib, 28x28x1: Latin to train on, Cyrillic to test. Bundled.

  unseen_faces: the test characters come in fonts that training does not see.
  """
  return episode_dataset(
    functools.partial(few_shot, "glyphs", unseen_faces=unseen_faces, size=size),
    Share(batch, seed, process, processes),
    split=split,
    form=Form(ways, shots, queries),
    augment=Augment(pad, jitter, flip),
  )


def omniglot(
  *,
  batch: int,
  path: str | None = None,
  characters: Literal["vinyals", "lake"] = "vinyals",
  rotations: bool = True,
  seed: int = 0,
  split: str = "train",
  ways: int = 5,
  shots: int = 5,
  queries: int = 5,
  size: int = 28,
  pad: int = 0,
  jitter: float = 0.0,
  flip: bool = False,
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """Omniglot, 28x28x1, 20 drawings a class: 1,028, 172 and 423 characters, each turned four ways; Snell et al. 2017.

  path: of the folder of images_background and images_evaluation, as folders or as the published zips.
  characters: that train: Vinyals' 1,200, the 172 that choose among them, or Lake's background set.
  rotations: whether each character turned by 90, 180 and 270 degrees is three classes more.
  """
  return episode_dataset(
    functools.partial(omniglot_split, path=path, characters=characters, rotations=rotations, size=size),
    Share(batch, seed, process, processes),
    split=split,
    form=Form(ways, shots, queries),
    augment=Augment(pad, jitter, flip),
  )


def miniimagenet(
  *,
  batch: int,
  path: str | None = None,
  seed: int = 0,
  split: str = "train",
  ways: int = 5,
  shots: int = 15,
  queries: int = 6,
  size: int | None = None,
  pad: int = 8,
  jitter: float = 0.4,
  flip: bool = True,
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """miniImageNet, 84x84x3: 64 classes to train on, 16 to validate, 20 to test; the training of Lee et al. 2019.

  path: of the folder of the released pickles, or of learn2learn's.
  """
  return episode_dataset(
    functools.partial(few_shot, "miniimagenet", path=path, size=size),
    Share(batch, seed, process, processes),
    split=split,
    form=Form(ways, shots, queries),
    augment=Augment(pad, jitter, flip),
  )


def tieredimagenet(
  *,
  batch: int,
  path: str | None = None,
  seed: int = 0,
  split: str = "train",
  ways: int = 5,
  shots: int = 10,
  queries: int = 6,
  size: int | None = None,
  pad: int = 8,
  jitter: float = 0.4,
  flip: bool = True,
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """tieredImageNet, 84x84x3: 351, 97 and 160 classes; the training of Lee et al. 2019.

  path: of the folder of the released files.
  """
  return episode_dataset(
    functools.partial(few_shot, "tieredimagenet", path=path, size=size),
    Share(batch, seed, process, processes),
    split=split,
    form=Form(ways, shots, queries),
    augment=Augment(pad, jitter, flip),
  )


def cifarfs(
  *,
  batch: int,
  path: str | None = None,
  data_dir: str | None = None,
  seed: int = 0,
  split: str = "train",
  ways: int = 5,
  shots: int = 5,
  queries: int = 6,
  size: int | None = None,
  pad: int = 4,
  jitter: float = 0.4,
  flip: bool = True,
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """CIFAR-FS, 32x32x3: 64, 16 and 20 classes of CIFAR-100; the training of Lee et al. 2019.

  path: of the folder of the released pickles, of lists of classes, or of a CIFAR-100 that TFDS prepared. None: that is
    looked for in `data_dir` (None: $TFDS_DATA_DIR or ~/tensorflow_datasets).
  """
  return episode_dataset(
    functools.partial(few_shot, "cifarfs", path=path, data_dir=data_dir, size=size),
    Share(batch, seed, process, processes),
    split=split,
    form=Form(ways, shots, queries),
    augment=Augment(pad, jitter, flip),
  )


def fc100(
  *,
  batch: int,
  path: str | None = None,
  data_dir: str | None = None,
  seed: int = 0,
  split: str = "train",
  ways: int = 5,
  shots: int = 15,
  queries: int = 6,
  size: int | None = None,
  pad: int = 4,
  jitter: float = 0.4,
  flip: bool = True,
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """FC100, 32x32x3: 60, 20 and 20 classes of CIFAR-100, no superclass in two splits; arguments as in `cifarfs`."""
  return episode_dataset(
    functools.partial(few_shot, "fc100", path=path, data_dir=data_dir, size=size),
    Share(batch, seed, process, processes),
    split=split,
    form=Form(ways, shots, queries),
    augment=Augment(pad, jitter, flip),
  )


def folder_episodes(
  *,
  batch: int,
  path: str | None = None,
  seed: int = 0,
  split: str = "train",
  ways: int = 5,
  shots: int = 5,
  queries: int = 6,
  size: int | None = None,
  pad: int = 0,
  jitter: float = 0.0,
  flip: bool = False,
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """Your own pictures: in the folder `path` a folder a split (train, val, test), in it a folder a class."""
  return episode_dataset(
    functools.partial(few_shot, "folder", path=path, size=size),
    Share(batch, seed, process, processes),
    split=split,
    form=Form(ways, shots, queries),
    augment=Augment(pad, jitter, flip),
  )


def mock_episodes(
  *,
  batch: int,
  seed: int = 0,
  split: str = "train",
  ways: int = 5,
  shots: int = 5,
  queries: int = 6,
  size: int | None = None,
  pad: int = 0,
  jitter: float = 0.0,
  flip: bool = False,
  process: int = 0,
  processes: int = 1,
) -> Dataset:
  """Noise, 32x32x3, where a real set is not at hand: 20 classes of 40 images a split."""
  return episode_dataset(
    functools.partial(few_shot, "mock", size=size),
    Share(batch, seed, process, processes),
    split=split,
    form=Form(ways, shots, queries),
    augment=Augment(pad, jitter, flip),
  )
