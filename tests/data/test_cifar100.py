"""CIFAR-FS and FC100 out of CIFAR-100: the published classes, from a prepared set, from pictures, by lists."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from genjax.data import few_shot
from genjax.data.cifar100 import FINE, SUPERCLASSES, classes_of
from genjax.data.few_shot_sets import check_disjoint, merged
from genjax.data.prepared import _without_bars
from genjax.data.quiet import quiet

pytestmark = pytest.mark.usefixtures("cache_of_its_own")
SPLITS = ("train", "val", "test")
CIFARFS_VAL = """beaver otter flatfish shark lamp television beetle butterfly sea camel cattle crab crocodile maple_tree
motorcycle tractor"""
CIFARFS_TEST = """whale poppy rose sweet_pepper telephone bed table wardrobe leopard plain chimpanzee fox snail worm
baby man woman bicycle pickup_truck rocket"""
FC100_TEST = """beaver dolphin otter seal whale bee beetle butterfly caterpillar cockroach fox porcupine possum raccoon
skunk baby boy girl man woman"""


class Cifar100(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """CIFAR-100's features; two images a class to train on and one to test, whose first pixel is 10 * number, label."""

  name = "cifar100"
  VERSION = tfds.core.Version("3.0.2")
  code_path = None
  each = 100  # classes
  names = FINE

  def _info(self):
    label = tfds.features.ClassLabel(names=self.names) if self.names else tfds.features.ClassLabel(num_classes=100)
    features = {
      "id": tfds.features.Text(),
      "image": tfds.features.Image(shape=(32, 32, 3)),
      "label": label,
      "coarse_label": tfds.features.ClassLabel(num_classes=20),
    }
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(features),
      supervised_keys=("image", "label"),
      description="made for a test",
      disable_shuffling=True,
    )

  def _split_generators(self, _):
    return {"train": self._generate_examples((0, 1)), "test": self._generate_examples((2,))}

  def _generate_examples(self, numbers):
    for place, (number, label) in enumerate((number, label) for number in numbers for label in range(self.each)):
      pixels = np.zeros((32, 32, 3), np.uint8)
      pixels[0, 0, :2] = 10 * number, label
      yield place, {"id": str(place), "image": Image.fromarray(pixels), "label": label, "coarse_label": 0}


def _prepare(builder, folder):
  with quiet():
    _without_bars(builder(data_dir=str(folder), file_format="array_record"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
  folder = tmp_path_factory.mktemp("tfds")
  _prepare(Cifar100, folder)
  return folder


def test_the_classes_are_the_published_ones():
  assert [len(classes_of("cifarfs", split)) for split in SPLITS] == [64, 16, 20]
  assert [len(classes_of("fc100", split)) for split in SPLITS] == [60, 20, 20]
  assert classes_of("cifarfs", "val") == tuple(sorted(CIFARFS_VAL.split()))
  assert classes_of("cifarfs", "test") == tuple(sorted(CIFARFS_TEST.split()))
  assert classes_of("fc100", "test") == tuple(sorted(FC100_TEST.split()))
  for name in ("cifarfs", "fc100"):
    assert sorted(word for split in SPLITS for word in classes_of(name, split)) == sorted(FINE)


def test_cifar_100_has_20_superclasses_of_5():
  assert len(set(FINE)) == len(FINE) == 100
  assert len(SUPERCLASSES) == 20
  assert {len(words.replace("/", "").split()) for words in SUPERCLASSES.values()} == {5}
  assert (FINE[0], FINE[39], FINE[99]) == ("apple", "keyboard", "worm")  # labels of the original archive


@pytest.mark.parametrize("name", ["cifarfs", "fc100"])
def test_a_prepared_cifar_100_is_cut_into_splits_with_all_images_of_their_classes(prepared, name):
  sets = [few_shot(name, split, data_dir=str(prepared)) for split in SPLITS]
  check_disjoint(*sets)
  for split, few in zip(SPLITS, sets, strict=True):
    assert few.class_ids == classes_of(name, split)
    assert few.shape == (32, 32, 3)
    assert set(few.counts) == {3}
    labels = few.images[:, 0, 0, 1]
    np.testing.assert_array_equal(np.asarray(FINE)[labels], np.asarray(few.class_ids)[few.labels])
    np.testing.assert_array_equal(few.images[:, 0, 0, 0], np.tile([0, 10, 20], few.classes))
  assert merged(*sets[:2]).classes == 80


def test_it_is_decoded_once(prepared, cache_of_its_own):
  first = few_shot("fc100", "val", data_dir=str(prepared))
  (kept,) = cache_of_its_own.glob("cifar100-*.npz")
  written = kept.stat().st_mtime_ns
  assert few_shot("fc100", "val", path=str(prepared / "cifar100" / "3.0.2")).digest == first.digest
  assert kept.stat().st_mtime_ns == written
  kept.write_bytes(kept.read_bytes()[:-100])
  assert few_shot("fc100", "val", data_dir=str(prepared)).digest == first.digest
  assert kept.stat().st_mtime_ns != written


def test_lists_of_the_users_own_go_before_the_published_ones(prepared, tmp_path):
  (tmp_path / "val.txt").write_text("worm\napple\n\n")
  few = few_shot("cifarfs", "val", path=str(tmp_path), data_dir=str(prepared))
  assert few.class_ids == ("apple", "worm")
  np.testing.assert_array_equal(few.images[:, 0, 0, 1], [0] * 3 + [99] * 3)
  with pytest.raises(FileNotFoundError, match=r"has no train\.txt"):
    few_shot("cifarfs", "train", path=str(tmp_path), data_dir=str(prepared))
  (tmp_path / "val.txt").write_text("worm\nunicorn\n")
  with pytest.raises(ValueError, match="names unicorn, which is no class of CIFAR-100"):
    few_shot("cifarfs", "val", path=str(tmp_path), data_dir=str(prepared))
  (tmp_path / "val.txt").write_text("\n")
  with pytest.raises(ValueError, match=r"val\.txt is empty"):
    few_shot("cifarfs", "val", path=str(tmp_path), data_dir=str(prepared))


def test_the_authors_folder_of_pictures_and_lists_is_read(tmp_path):
  lists = tmp_path / "splits" / "bertinetto"
  lists.mkdir(parents=True)
  (lists / "test.txt").write_text("whale\nbed\n")
  for level, word in enumerate(("bed", "whale", "apple")):
    (tmp_path / "data" / word).mkdir(parents=True)
    for number in range(2):
      pixels = np.full((32, 32, 3), 10 * level + number, np.uint8)
      Image.fromarray(pixels).save(tmp_path / "data" / word / f"{number}.png")
  few = few_shot("cifarfs", "test", path=str(tmp_path))
  assert few.class_ids == ("bed", "whale")
  np.testing.assert_array_equal(few.images[:, 0, 0, 0], [0, 1, 10, 11])


def test_labels_that_were_stored_without_names_go_by_number(tmp_path):
  class Numbered(Cifar100, skip_registration=True):
    name = "cifar100"
    names = None

  _prepare(Numbered, tmp_path)
  few = few_shot("fc100", "test", data_dir=str(tmp_path))
  assert few.class_ids == tuple(sorted(FC100_TEST.split()))
  np.testing.assert_array_equal(np.unique(few.images[:, 0, 0, 1]), [FINE.index(word) for word in few.class_ids])


def test_another_set_and_a_missing_one_are_refused(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'fc100: "cifar100" is not prepared in .*; or set data\.path to'):
    few_shot("fc100", "test", data_dir=str(tmp_path))

  class Other(Cifar100, skip_registration=True):
    name = "cifar100"
    names = ("cat", "dog")
    each = 2

  _prepare(Other, tmp_path)
  with pytest.raises(ValueError, match="has 2 other classes; wanted the 100 of CIFAR-100"):
    few_shot("fc100", "test", data_dir=str(tmp_path))
