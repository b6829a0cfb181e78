"""The bundled digits: scikit-learn's own, written once, also by several at once."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from sklearn.datasets import load_digits

from genjax.data import load
from genjax.data.cache import cache_dir

pytestmark = pytest.mark.usefixtures("cache_of_its_own")
GOLDEN_ORDER = [522, 617, 414, 1306]
GOLDEN_DIGEST = "87923c6a53635df5c1dab687d6eedd96438af430ddb15700400f344177284ee4"


def _expected() -> np.ndarray:
  """round(v * 255 / 16) in whole numbers; no level is half-way."""
  return ((load_digits().images.astype(int) * 510 + 16) // 32).astype(np.uint8)[..., None]


def _sorted(images: np.ndarray, labels: np.ndarray) -> list[bytes]:
  return sorted(image.tobytes() + bytes([label]) for image, label in zip(images, labels, strict=True))


def test_train_and_test_together_are_scikit_learns_digits():
  train, test = load("digits"), load("digits", split="test")
  assert train.images.shape == (1297, 8, 8, 1)
  assert test.images.shape == (500, 8, 8, 1)
  assert train.label_names == tuple("0123456789")
  images, labels = np.concatenate([train.images, test.images]), np.concatenate([train.labels, test.labels])
  assert _sorted(images, labels) == _sorted(_expected(), load_digits().target)


def test_the_split_is_the_documented_permutation_on_every_machine():
  from genjax.data.digits import split_order

  order = split_order(1797)
  np.testing.assert_array_equal(np.sort(order), np.arange(1797))
  test, train = load("digits", split="test"), load("digits")
  np.testing.assert_array_equal(test.images, _expected()[order[:500]])
  np.testing.assert_array_equal(test.labels, load_digits().target[order[:500]])
  np.testing.assert_array_equal(train.images, _expected()[order[500:]])
  assert order[:4].tolist() == GOLDEN_ORDER
  assert train.digest == GOLDEN_DIGEST


def test_train_and_test_are_alike():
  train, test = load("digits"), load("digits", split="test")
  for images in (train, test):
    shares = np.bincount(images.labels, minlength=10) / len(images.labels)
    assert abs(shares - 0.1).max() < 0.03
  assert abs(train.images.mean() - test.images.mean()) < 2


def test_size_8_is_the_identity_and_others_are_scaled_up():
  assert load("digits", size=8).digest == load("digits").digest
  native = load("digits").images.astype(float)
  for size in (16, 28, 32):
    images = load("digits", size=size, channels=3).images
    assert images.shape == (1297, size, size, 3)
    assert abs(images.mean() - native.mean()) < 3
    assert (images[..., 0] == images[..., 2]).all()
  halves = load("digits", size=16).images.reshape(-1, 8, 2, 8, 2, 1).mean((2, 4))
  assert abs(halves - native).mean() < 12  # upright: mirrored digits differ by 60 and more
  assert abs(halves[:, :, ::-1] - native).mean() > 40


def test_slices_are_in_tfds_syntax():
  np.testing.assert_array_equal(load("digits", split="train[:90%]").images, load("digits").images[:1167])
  with pytest.raises(ValueError, match='digits: split "val" is not understood or empty; there is train and test'):
    load("digits", split="val")


def test_the_second_load_writes_nothing(cache_of_its_own):
  load("digits")
  files = {path: os.stat(path).st_mtime_ns for path in cache_of_its_own.rglob("*")}
  load("digits")
  assert {path: os.stat(path).st_mtime_ns for path in cache_of_its_own.rglob("*")} == files


def test_threads_and_processes_may_prepare_at_once(tmp_path, monkeypatch):
  monkeypatch.setenv("GENJAX_CACHE", str(tmp_path))
  code = "from genjax.data import load; print(load('digits').digest)"
  processes = [
    subprocess.Popen([sys.executable, "-W", "error", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(2)
  ]
  digests = []
  threads = [threading.Thread(target=lambda: digests.append(load("digits").digest)) for _ in range(2)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  for process in processes:
    out, err = process.communicate(timeout=120)
    assert err == b""
    digests.append(out.decode().strip())
  assert len(digests) == 4
  assert len(set(digests)) == 1
  assert [path.name for path in tmp_path.iterdir()] == ["digits"]  # nothing half done is left


def test_losing_the_race_keeps_the_winners_files(tmp_path, monkeypatch):
  from genjax.data import prepared

  monkeypatch.setenv("GENJAX_CACHE", str(tmp_path))
  load("digits")
  made = tmp_path / "made"
  made.mkdir()
  (made / "file").write_text("")
  final = tmp_path / "digits" / "1.0.0"
  prepared._rename(str(made), str(final))
  assert not (final / "file").exists()
  with pytest.raises(OSError, match="not empty"):
    prepared._rename(str(made), str(tmp_path / "digits"))


def test_loading_imports_no_tensorflow_and_says_nothing(tmp_path):
  code = (
    "import sys; from genjax.data import load; load('digits'); load('textures'); "
    "from genjax.data.catalogue import open_images; from genjax.data.image_batches import stream; "
    "stream(open_images('digits', 'train'), batch=2, seed=0)(0); "
    "print([m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'torch')])"
  )
  done = subprocess.run(
    [sys.executable, "-W", "error", "-c", code],
    capture_output=True,
    text=True,
    env={**os.environ, "GENJAX_CACHE": str(tmp_path)},
    check=True,
  )
  assert done.stdout == "[]\n"
  assert done.stderr == ""


def test_an_unwritable_cache_is_one_clear_line(tmp_path, monkeypatch):
  (tmp_path / "file").write_text("")
  for path in (tmp_path / "file" / "cache", "/proc/genjax"):
    monkeypatch.setenv("GENJAX_CACHE", str(path))
    with pytest.raises(OSError, match=r'cache folder ".*" cannot be written to; set GENJAX_CACHE to one that can'):
      load("digits")


def test_the_cache_is_in_the_home_folder_unless_said_otherwise(tmp_path, monkeypatch):
  monkeypatch.delenv("GENJAX_CACHE")
  monkeypatch.setenv("HOME", str(tmp_path))
  assert cache_dir() == str(tmp_path / ".cache" / "genjax")


def test_a_damaged_cache_is_named(tmp_path, monkeypatch):
  monkeypatch.setenv("GENJAX_CACHE", str(tmp_path))
  load("digits")
  (file,) = tmp_path.glob("digits/1.0.0/*train*")
  content = file.read_bytes()
  changed = bytearray(content)
  changed[len(changed) // 3] ^= 1
  for damaged in (bytes(changed), content[: len(content) // 2]):
    file.write_bytes(damaged)
    with pytest.raises(OSError, match=r"digits/1\.0\.0 is damaged .*; delete that folder and prepare it again"):
      load("digits")
