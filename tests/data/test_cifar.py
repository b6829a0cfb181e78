"""The published layout: label, red, green, blue; five files to train on, one to test."""

import hashlib
import io
import tarfile

import numpy as np
import pytest

from genjax.data import load
from genjax.data.cifar import LABELS

NAMES = [*(f"data_batch_{part}.bin" for part in range(1, 6)), "test_batch.bin"]


@pytest.fixture
def small():
  """Three images a file: [18, 32, 32, 3], their labels, and the bytes of the six files."""
  generator = np.random.default_rng(0)
  images = generator.integers(0, 256, (18, 32, 32, 3), np.uint8)
  labels = generator.integers(0, 10, 18)
  records = [
    bytes([label]) + b"".join(image[..., channel].tobytes() for channel in range(3))
    for image, label in zip(images, labels, strict=True)
  ]
  files = {name: b"".join(records[3 * place : 3 * place + 3]) for place, name in enumerate(NAMES)}
  return images, labels, files


def _folder(tmp_path, files):
  folder = tmp_path / "cifar-10-batches-bin"
  folder.mkdir()
  for name, content in files.items():
    (folder / name).write_bytes(content)
  return folder


def _archive(tmp_path, files):
  archive = tmp_path / "cifar-10-binary.tar.gz"
  with tarfile.open(archive, "w:gz") as tar:
    for name in reversed(files):  # the order inside does not matter
      member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
      member.size = len(files[name])
      tar.addfile(member, io.BytesIO(files[name]))
  return archive, hashlib.sha256(archive.read_bytes()).hexdigest()


def test_the_folder_gives_the_images_upright_and_in_order(tmp_path, small):
  images, labels, files = small
  folder = _folder(tmp_path, files)
  for path in (folder, tmp_path):
    train = load("cifar10", path=str(path))
    np.testing.assert_array_equal(train.images, images[:15])
    np.testing.assert_array_equal(train.labels, labels[:15])
    assert train.label_names == LABELS
  np.testing.assert_array_equal(load("cifar10", path=str(folder), split="test").images, images[15:])
  np.testing.assert_array_equal(load("cifar10", path=str(folder), split="train[-2:]").images, images[13:15])


def test_the_archive_gives_the_same_after_its_hash_is_checked(tmp_path, small):
  images, labels, files = small
  archive, digest = _archive(tmp_path, files)
  for path in (archive, tmp_path):
    train = load("cifar10", path=str(path), sha256=digest)
    np.testing.assert_array_equal(train.images, images[:15])
    np.testing.assert_array_equal(train.labels, labels[:15])
  with pytest.raises(ValueError, match=f"has sha256 {digest}; wanted c4a38c50"):
    load("cifar10", path=str(archive))


def test_size_and_channels_are_as_asked(tmp_path, small):
  folder = _folder(tmp_path, small[2])
  assert load("cifar10", path=str(folder), split="test", size=16, channels=1).images.shape == (3, 16, 16, 1)


def test_a_file_cut_short_is_named(tmp_path, small):
  files = dict(small[2])
  files["data_batch_3.bin"] = files["data_batch_3.bin"][:-1]
  with pytest.raises(ValueError, match=r"data_batch_3\.bin has 9218 bytes; wanted a multiple of 3073"):
    load("cifar10", path=str(_folder(tmp_path, files)))


def test_a_missing_file_is_named(tmp_path, small):
  files = {name: content for name, content in small[2].items() if name != "data_batch_5.bin"}
  archive, digest = _archive(tmp_path, files)
  with pytest.raises(FileNotFoundError, match=r"has no data_batch_5\.bin"):
    load("cifar10", path=str(archive), sha256=digest)
  with pytest.raises(FileNotFoundError, match=r"has no data_batch_5\.bin"):
    load("cifar10", path=str(_folder(tmp_path, files)))


def test_a_label_above_9_is_no_cifar10(tmp_path, small):
  files = dict(small[2])
  files["test_batch.bin"] = b"\x0a" + files["test_batch.bin"][1:]
  with pytest.raises(ValueError, match=r"test_batch\.bin holds label 10"):
    load("cifar10", path=str(_folder(tmp_path, files)), split="test")


def test_another_place_or_split_is_an_error(tmp_path, small):
  with pytest.raises(FileNotFoundError, match=r"not CIFAR-10 in its binary version; wanted cifar-10-binary\.tar\.gz"):
    load("cifar10", path=str(tmp_path / "nowhere"))
  with pytest.raises(FileNotFoundError, match="not CIFAR-10 in its binary version"):
    load("cifar10", path=str(tmp_path))
  with pytest.raises(ValueError, match='split "val" does not exist; there is train and test'):
    load("cifar10", path=str(_folder(tmp_path, small[2])), split="val")
