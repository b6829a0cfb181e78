"""Sets that TFDS prepared are found by name and read without TensorFlow; what is missing is said."""

import json
import resource
import types

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from genjax.data import images as datasets
from genjax.data import load
from genjax.data.cache import kept_arrays
from genjax.data.prepared import _without_bars, find_prepared, prepare_own
from genjax.data.quiet import quiet


def _builder(name: str, examples, features: dict, *, supervised=None, version="1.0.0", configs=()):
  """A TFDS builder as a user might have; `examples` go to train, the first two also to test."""

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(features),
      supervised_keys=supervised,
      description="made for a test",
      disable_shuffling=True,
    )

  body = {
    "name": name,
    "VERSION": tfds.core.Version(version),
    "BUILDER_CONFIGS": [tfds.core.BuilderConfig(name=config) for config in configs],
    "code_path": None,
    "__module__": __name__,
    "_info": _info,
    "_split_generators": lambda self, _: {
      "train": self._generate_examples(examples),
      "test": self._generate_examples(examples[:2]),
    },
    "_generate_examples": lambda self, chosen: enumerate(chosen),
  }
  return types.new_class(
    name, (tfds.core.GeneratorBasedBuilder,), {"skip_registration": True}, lambda names: names.update(body)
  )


def _prepare(builder_class, data_dir, **kwargs) -> None:
  with quiet():
    _without_bars(builder_class(data_dir=str(data_dir), file_format="array_record", **kwargs))


IMAGE = tfds.features.Image(shape=(28, 28, 1))
COLOUR = tfds.features.Image(shape=(None, None, 3))


def _pictures(count: int, *shape: int) -> np.ndarray:
  return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


@pytest.fixture
def mnist(tmp_path):
  """A set called mnist with the features of the real one."""
  pixels = _pictures(10, 28, 28)
  examples = [{"image": Image.fromarray(image), "label": number % 10} for number, image in enumerate(pixels)]
  features = {"image": IMAGE, "label": tfds.features.ClassLabel(num_classes=10)}
  _prepare(_builder("mnist", examples, features, supervised=("image", "label")), tmp_path)
  return tmp_path, pixels


def test_a_prepared_set_is_read_by_name(mnist, monkeypatch):
  folder, pixels = mnist
  images = load("mnist", data_dir=str(folder))
  np.testing.assert_array_equal(images.images[..., 0], pixels)
  np.testing.assert_array_equal(images.labels, np.arange(10))
  assert images.label_names == tuple("0123456789")
  np.testing.assert_array_equal(load("mnist", data_dir=str(folder), split="test").images[..., 0], pixels[:2])
  np.testing.assert_array_equal(load("mnist", data_dir=str(folder), split="train[:90%]").images[..., 0], pixels[:9])
  assert load("mnist", data_dir=str(folder), size=14, channels=3).images.shape == (10, 14, 14, 3)
  monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
  assert load("mnist").digest == load("mnist:1.0.0").digest == images.digest
  assert load("mnist", path=str(folder / "mnist" / "1.0.0")).digest == images.digest


def test_streamed_batches_equal_those_from_memory(mnist):
  folder, _ = mnist
  share = {"dataset": "mnist", "batch": 4, "seed": 7, "data_dir": str(folder), "size": 16, "invert": True}
  held, streamed = datasets.tfds(**share), datasets.tfds(in_memory=False, **share)
  for data in (held, streamed):
    assert (data.facts["shape"], data.facts["classes"], data.facts["name"]) == ((16, 16, 1), 10, "inverted mnist")
  assert streamed.facts["describe"].endswith("10 images of 16x16x1, 10 classes, read from disk")
  for step in (0, 1, 2, 7, 1):
    for key in ("image", "label"):
      np.testing.assert_array_equal(streamed.batch(step)[key], held.batch(step)[key])


def test_the_newest_version_is_taken_and_a_config_is_part_of_the_name(tmp_path):
  for version, value in (("2.0.0", 1), ("10.0.0", 2)):
    examples = [{"image": Image.new("RGB", (5, 4), (value, 0, 0))}] * 3
    _prepare(_builder("rooms", examples, {"image": COLOUR}, version=version, configs=["bed"]), tmp_path, config="bed")
  images = load("rooms/bed", data_dir=str(tmp_path), size=4)
  assert images.images.shape == (3, 4, 4, 3)
  assert images.images[0, 0, 0].tolist() == [2, 0, 0]
  assert images.labels is None
  assert load("rooms/bed:2.0.0", data_dir=str(tmp_path), size=4).images[0, 0, 0, 0] == 1
  with pytest.raises(FileNotFoundError, match=r"rooms has: bed"):
    load("rooms", data_dir=str(tmp_path))
  with pytest.raises(FileNotFoundError, match=r"only version 10\.0\.0, 2\.0\.0 is prepared"):
    load("rooms/bed:3.0.0", data_dir=str(tmp_path))
  with pytest.raises(ValueError, match=r"images of rooms/bed differ in size; set data\.size"):
    load("rooms/bed", data_dir=str(tmp_path))


def test_other_features_are_passed_over(tmp_path):
  faces = [{"photo": Image.new("L", (6, 6), value), "attributes": {"hat": True}, "note": "x"} for value in (3, 4)]
  features = {
    "photo": tfds.features.Image(shape=(6, 6, 1)),
    "attributes": {"hat": np.bool_},
    "note": tfds.features.Text(),
  }
  _prepare(_builder("faces", faces, features), tmp_path)
  images = load("faces", data_dir=str(tmp_path))
  assert images.images[:, 0, 0, 0].tolist() == [3, 4]
  assert images.labels is None
  _prepare(_builder("words", [{"note": "x"}], {"note": tfds.features.Text()}), tmp_path)
  with pytest.raises(ValueError, match="words has no images; its features are note"):
    load("words", data_dir=str(tmp_path))


def test_cifar10_as_tfds_prepared_it_is_accepted_too(tmp_path):
  examples = [{"image": Image.fromarray(image), "label": 1} for image in _pictures(2, 32, 32, 3)]
  features = {"image": tfds.features.Image(shape=(32, 32, 3)), "label": tfds.features.ClassLabel(num_classes=10)}
  _prepare(_builder("cifar10", examples, features), tmp_path)
  for place in ({"data_dir": str(tmp_path)}, {"path": str(tmp_path / "cifar10" / "1.0.0")}):
    np.testing.assert_array_equal(load("cifar10", **place).images, _pictures(2, 32, 32, 3))


def test_a_set_that_is_not_prepared_says_how_to_prepare_it(tmp_path):
  with pytest.raises(
    FileNotFoundError, match=r"\"mnist\" is not prepared in .*tfds\.builder\('mnist', data_dir='.*array_record"
  ):
    load("mnist", data_dir=str(tmp_path))
  with pytest.raises(FileNotFoundError, match=r"tfds\.builder\('lsun/bedroom'"):
    load("lsun/bedroom", data_dir=str(tmp_path))
  with pytest.raises(FileNotFoundError, match=r"or set data\.path to the official cifar-10-binary\.tar\.gz"):
    load("cifar10", data_dir=str(tmp_path))


@pytest.mark.parametrize(
  ("name", "hint"),
  [("mnits", "did you mean mnist"), ("digts", "did you mean digits"), ("celeba", "celeb_a"), ("svhn", "")],
)
def test_an_unknown_name_is_an_error_with_the_nearest_ones(tmp_path, name, hint):
  with pytest.raises(ValueError, match=f'data set "{name}" is unknown.*{hint}'):
    load(name, data_dir=str(tmp_path))


def test_a_malformed_name_is_an_error(tmp_path):
  with pytest.raises(ValueError, match=r'"\.\./x" is not understood'):
    find_prepared("../x", str(tmp_path))


def test_a_split_that_does_not_exist_or_is_empty_is_an_error(mnist):
  folder, _ = mnist
  for split in ("val", "train[:x]", "train[5:5]", "train[7:3]", "train[:99]"):
    with pytest.raises(
      ValueError, match=r'mnist: split ".*" is not understood or empty; there is test and train|train'
    ):
      load("mnist", data_dir=str(folder), split=split)


def test_another_file_format_is_an_error_that_says_how_to_convert(mnist):
  folder, _ = mnist
  info = folder / "mnist" / "1.0.0" / "dataset_info.json"
  described = json.loads(info.read_text())
  info.write_text(json.dumps({**described, "fileFormat": "tfrecord"}))
  with pytest.raises(ValueError, match="is stored as tfrecord; wanted array_record: tfds convert_format"):
    load("mnist", data_dir=str(folder))


def test_an_empty_description_of_a_set_is_one_line_and_our_own_sets_are_prepared_again(mnist, tmp_path, monkeypatch):
  info = mnist[0] / "mnist" / "1.0.0" / "dataset_info.json"
  info.write_bytes(b"")
  with pytest.raises(ValueError, match=r"dataset_info.json is empty or damaged; delete .* and prepare mnist again"):
    load("mnist", data_dir=str(mnist[0]))
  monkeypatch.setenv("GENJAX_CACHE", str(tmp_path / "cache"))
  words = _builder("own", [{"image": Image.new("L", (28, 28))}] * 3, {"image": IMAGE})
  folder = prepare_own(words, name="own")
  (tmp_path / "cache" / "own" / "1.0.0" / "dataset_info.json").write_bytes(b"")
  assert prepare_own(words, name="own") == folder
  assert json.loads((tmp_path / "cache" / "own" / "1.0.0" / "dataset_info.json").read_text())["name"] == "own"


def test_a_disk_that_is_full_while_data_are_prepared_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, caplog):
  monkeypatch.setenv("GENJAX_CACHE", str(tmp_path))
  pictures = [{"image": Image.fromarray(image)} for image in _pictures(4, 28, 28)]
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  try:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))  # every larger file fails, as on a full disk
    with pytest.raises(OSError, match=r'"own" cannot be written into the cache \(.*set GENJAX_CACHE'):
      prepare_own(_builder("own", pictures, {"image": IMAGE}), name="own")
    arrays = kept_arrays(str(tmp_path / "kept.npz"), lambda: {"x": np.zeros(1000)})
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  np.testing.assert_array_equal(arrays["x"], np.zeros(1000))
  assert "kept.npz is not kept and will be made again" in caplog.text
  assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_no_prepared_set_is_an_error(tmp_path):
  with pytest.raises(ValueError, match='"svhn_cropped" takes no path but that of a prepared TFDS folder'):
    load("svhn_cropped", path=str(tmp_path))
