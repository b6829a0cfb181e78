"""The digits that ship with scikit-learn, as a TFDS builder: 1,797 handwritten digits of 8x8 pixels and 17 grey levels.

Papers   Alpaydin & Kaynak 1998, "Optical recognition of handwritten digits", UCI; the test part of that set.
Departs  Split by one fixed random permutation, 1,297 to train and 500 to test: the original order goes by writer.
Shapes   image [8, 8, 1] uint8, round(v * 255 / 16) of the levels v in 0..16; label 0..9.
Checked  tests/data/test_digits.py: equal to scikit-learn's arrays.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

TEST = 500
SPLIT_SEED = 8 * 8


class Digits(tfds.core.GeneratorBasedBuilder):
  """8x8 handwritten digits from scikit-learn."""

  VERSION = tfds.core.Version("1.0.0")
  code_path = None  # where checksums of downloads lie: none here, and TFDS needs importlib_resources to look

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description="scikit-learn's handwritten digits",
      features=tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=(8, 8, 1)), "label": tfds.features.ClassLabel(num_classes=10)}
      ),
      supervised_keys=("image", "label"),
      homepage="https://archive.ics.uci.edu/dataset/80",
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    order = split_order(1797)
    return {"train": self._generate_examples(order[TEST:]), "test": self._generate_examples(order[:TEST])}

  def _generate_examples(self, numbers: np.ndarray) -> Iterator:
    from sklearn.datasets import load_digits

    digits = load_digits()
    levels = np.round(digits.images * 255 / 16).astype(np.uint8)
    for place, number in enumerate(numbers):  # TFDS sorts by these keys
      yield place, {"image": Image.fromarray(levels[number]), "label": int(digits.target[number])}


def split_order(count: int) -> np.ndarray:
  """The fixed order of scikit-learn's examples: the first 500 are the test split, the others the train split."""
  return np.argsort(np.random.Philox(SPLIT_SEED).random_raw(count), kind="stable")
