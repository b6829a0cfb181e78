"""The published layout of MNIST and Fashion-MNIST: what is read is in order, and what is damaged is named."""

import gzip
import hashlib
import struct

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from genjax.data import idx, images, load
from genjax.data.prepared import _without_bars
from genjax.data.quiet import quiet

COUNTS = {"train": 12, "t10k": 5}
PIXELS = {
  part: np.random.default_rng(count).integers(0, 256, (count, 28, 28), np.uint8) for part, count in COUNTS.items()
}
LABELS = {part: (np.arange(count) * 7 % 10).astype(np.uint8) for part, count in COUNTS.items()}


def _packed(values):
  return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def _files(folder, *, packed=True, parts=("train", "t10k")):
  folder.mkdir(parents=True, exist_ok=True)
  for part in parts:
    for kind, values in (("images-idx3", PIXELS[part]), ("labels-idx1", LABELS[part])):
      content = _packed(values)
      name = f"{part}-{kind}-ubyte"
      if packed:
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1))
      else:
        (folder / name).write_bytes(content)
  return folder


@pytest.mark.parametrize(("packed", "below"), [(True, ""), (False, "MNIST/raw")])
def test_images_and_labels_are_in_the_order_of_the_files(tmp_path, packed, below):
  _files(tmp_path / below, packed=packed)
  train = load("mnist", path=str(tmp_path))
  np.testing.assert_array_equal(train.images[..., 0], PIXELS["train"])
  np.testing.assert_array_equal(train.labels, LABELS["train"])
  assert (train.name, train.label_names) == ("mnist", tuple("0123456789"))
  np.testing.assert_array_equal(load("mnist", path=str(tmp_path), split="train[-2:]").labels, LABELS["train"][-2:])
  small = load("mnist", path=str(tmp_path), split="test[:40%]", size=14, channels=3)
  assert small.images.shape == (2, 14, 14, 3)
  data = images.mnist(batch=4, path=str(tmp_path))
  assert (data.facts["shape"], data.facts["classes"], data.split("test").name) == ((28, 28, 1), 10, "mnist/test")


def test_the_test_half_serves_without_the_training_images(tmp_path):
  _files(tmp_path, parts=("t10k",))
  assert load("fashion_mnist", path=str(tmp_path), split="test").label_names[9] == "Ankle boot"
  assert images.fashion_mnist(batch=1, path=str(tmp_path), split="test").batch(0)["image"].shape == (1, 28, 28, 1)
  with pytest.raises(FileNotFoundError, match=r"no train-images-idx3-ubyte, \.gz or not, of fashion_mnist; it holds"):
    load("fashion_mnist", path=str(tmp_path))


def test_a_set_that_tfds_shuffled_is_brought_back_to_the_order_of_the_files(tmp_path):
  class Mnist(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The features and the keys of TFDS's own, which needs TensorFlow to read the archives."""

    name, VERSION, code_path = "mnist", tfds.core.Version("3.0.1"), None

    def _info(self):
      features = {"image": tfds.features.Image(shape=(28, 28, 1)), "label": tfds.features.ClassLabel(num_classes=10)}
      return tfds.core.DatasetInfo(
        builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
      )

    def _split_generators(self, _):
      return {"train": self._generate_examples("train"), "test": self._generate_examples("t10k")}

    def _generate_examples(self, part):
      for key, (image, label) in enumerate(zip(PIXELS[part], LABELS[part], strict=True)):
        yield key, {"image": Image.fromarray(image), "label": int(label)}

  with quiet():
    _without_bars(Mnist(data_dir=str(tmp_path / "tfds"), file_format="array_record"))
  prepared, files = {"data_dir": str(tmp_path / "tfds")}, {"path": str(_files(tmp_path / "files"))}
  for split in ("train", "test", "train[3:-4]"):
    assert load("mnist", split=split, **prepared).digest == load("mnist", split=split, **files).digest
  written = load("mnist", split="train+test", **prepared)  # a sum of splits has no official order
  assert written.count == 17
  assert (written.labels[:12] != LABELS["train"]).any()
  streamed = images.tfds(dataset="mnist", batch=12, in_memory=False, **prepared).batch(0)
  np.testing.assert_array_equal(streamed["image"], images.mnist(batch=12, **files).batch(0)["image"])


HEADER = _packed(PIXELS["t10k"])[:16]
DAMAGED = {
  "a truncated archive": (gzip.compress(_packed(PIXELS["t10k"]))[:-900], "is damaged or cut short"),
  "no archive inside": (b"\x1f\x8bnot at all", "is damaged or cut short"),
  "a truncated file": (_packed(PIXELS["t10k"])[:-1], "holds only 3919 bytes where its header says 3920"),
  "an empty file": (b"", "begins with nothing; wanted 00000803, idx images"),
  "labels in place of images": (_packed(LABELS["t10k"]), "begins with 00000801; wanted 00000803"),
  "a header alone": (HEADER[:9], "is cut short in its header"),
  "a bomb": (gzip.compress(HEADER + bytes(1 << 22)), "holds more bytes where its header says 3920"),
  "a bomb in the header": (HEADER[:4] + b"\xff" * 12, "wanted 1 to 1073741824"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_file_that_is_not_as_it_should_be_is_named(tmp_path, what):
  content, wanted = DAMAGED[what]
  (_files(tmp_path) / "t10k-images-idx3-ubyte.gz").write_bytes(content)
  with pytest.raises(ValueError, match=wanted) as caught:
    load("mnist", path=str(tmp_path), split="test")
  assert str(caught.value).startswith(f'"{tmp_path / "t10k-images-idx3-ubyte.gz"}"')
  assert "\n" not in str(caught.value)


def test_files_that_do_not_belong_together_are_refused(tmp_path, monkeypatch):
  file = _files(tmp_path) / "t10k-labels-idx1-ubyte.gz"
  file.write_bytes(_packed(LABELS["t10k"][:4]))
  with pytest.raises(ValueError, match="hold 5 images and 4 labels; wanted as many"):
    load("mnist", path=str(tmp_path), split="test")
  file.write_bytes(_packed(LABELS["t10k"] + np.uint8(20)))
  with pytest.raises(ValueError, match="hold label 28; wanted 0 to 9: this is not mnist"):
    load("mnist", path=str(tmp_path), split="test")
  file.write_bytes(_packed(LABELS["t10k"]))
  known = hashlib.sha256(LABELS["t10k"].tobytes()).hexdigest()[:16]
  monkeypatch.setitem(idx.KNOWN, known, ("fashion_mnist", "test"))
  with pytest.raises(ValueError, match=r"are those of fashion_mnist's split test; set data\.name or data\.path"):
    load("mnist", path=str(tmp_path), split="test")
  with pytest.raises(ValueError, match='split "val" does not exist; there is train and test'):
    load("mnist", path=str(tmp_path), split="val")
  with pytest.raises(FileNotFoundError, match="is no folder"):
    load("mnist", path=str(tmp_path / "nowhere"))
