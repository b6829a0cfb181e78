"""A folder of anything that a camera, a scanner or a broken disk leaves behind."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from genjax.data import image_set, load
from genjax.data import images as datasets
from genjax.data.folder import folder_source


def _save(path, pixels, mode=None, **kwargs):
  path.parent.mkdir(parents=True, exist_ok=True)
  picture = Image.fromarray(np.asarray(pixels))
  (picture.convert(mode) if mode else picture).save(path, **kwargs)


def _grey(value: int, height: int = 8, width: int = 8) -> np.ndarray:
  return np.full((height, width), value, np.uint8)


def test_files_come_in_the_order_of_their_names_from_all_subfolders(tmp_path):
  for value, name in enumerate(["a.png", "b/c/d.png", "b/e.bmp", "z.tiff"]):
    _save(tmp_path / name, _grey(value))
  images = load("folder", path=str(tmp_path))
  assert images.images.shape == (4, 8, 8, 1)
  assert images.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
  assert images.labels is None
  assert images.classes is None


def test_first_level_subfolders_are_labels_when_every_image_is_in_one(tmp_path):
  for name, value in {"cat/1.png": 1, "cat/deep/2.png": 2, "dog/3.png": 3, "bird/4.png": 4}.items():
    _save(tmp_path / name, _grey(value))
  images = load("folder", path=str(tmp_path))
  assert images.label_names == ("bird", "cat", "dog")
  assert images.labels.tolist() == [0, 1, 1, 2]
  assert images.images[:, 0, 0, 0].tolist() == [4, 1, 2, 3]
  _save(tmp_path / "stray.png", _grey(5))
  assert load("folder", path=str(tmp_path)).labels is None


def test_one_subfolder_alone_is_no_label(tmp_path):
  _save(tmp_path / "images" / "1.png", _grey(1))
  assert load("folder", path=str(tmp_path)).labels is None


def test_every_mode_and_odd_size_comes_out_as_asked(tmp_path):
  noise = np.random.default_rng(0).integers(0, 256, (9, 14, 4), np.uint8)
  _save(tmp_path / "rgba.png", noise)
  _save(tmp_path / "rgb.jpg", noise[..., :3])
  _save(tmp_path / "grey.png", noise[..., 0])
  _save(tmp_path / "palette.gif", noise[..., :3], "P")
  _save(tmp_path / "transparent.png", noise[..., :3], "P", transparency=b"\x00\x80")
  _save(tmp_path / "deep.png", noise[..., 0].astype(np.uint16) * 257)
  _save(tmp_path / "bits.png", noise[..., 0], "1")
  _save(tmp_path / "cmyk.jpg", noise[..., :3], "CMYK")
  _save(tmp_path / "la.png", noise[..., 0], "LA")
  _save(tmp_path / "tall.webp", noise.transpose(1, 0, 2)[..., :3])
  _save(tmp_path / "one.png", noise[:1, :1, 0])
  for channels in (1, 3):
    images = load("folder", path=str(tmp_path), size=6, channels=channels)
    assert images.images.shape == (11, 6, 6, channels)
    deep, grey = images.images[3], images.images[4]
    np.testing.assert_array_equal(deep, grey)
  assert load("folder", path=str(tmp_path), size=6).images.shape[-1] == 3


def test_sizes_that_differ_need_a_size(tmp_path):
  _save(tmp_path / "a.png", _grey(1, 4, 6))
  _save(tmp_path / "b.png", _grey(1, 5, 6))
  with pytest.raises(ValueError, match=r"a\.png is 6x4, b\.png is 6x5; set data\.size"):
    load("folder", path=str(tmp_path))
  assert load("folder", path=str(tmp_path), size=4).images.shape == (2, 4, 4, 1)


def test_a_native_size_need_not_be_square(tmp_path):
  _save(tmp_path / "a.png", _grey(1, 4, 6))
  assert load("folder", path=str(tmp_path)).images.shape == (1, 4, 6, 1)


def _damaged(tmp_path):
  for number in range(6):
    noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
    _save(tmp_path / f"good{number}.png", noise)
  whole = (tmp_path / "good0.png").read_bytes()
  (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
  (tmp_path / "empty.jpg").write_bytes(b"")
  (tmp_path / "text.png").write_text("<html>not found</html>")
  os.symlink("nowhere.png", tmp_path / "lost.png")
  os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
  _save(tmp_path / "good6.png", noise)
  os.rename(os.fsencode(tmp_path / "good6.png"), os.fsencode(tmp_path) + b"/a\xff.png")
  (tmp_path / "notes.txt").write_text("other kinds of file are passed over")
  (tmp_path / ".hidden.png").write_text("so are hidden ones")
  return tmp_path


@pytest.mark.parametrize("size", [None, 8])
def test_unreadable_files_are_left_out_and_named_in_one_line(tmp_path, caplog, size, monkeypatch):
  monkeypatch.setattr(image_set, "NAMED_FAILURES", 6)
  images = load("folder", path=str(_damaged(tmp_path)), size=size)
  assert len(images.images) == 6
  (record,) = caplog.records
  assert record.name == "genjax"
  assert record.levelname == "WARNING"
  assert record.message.startswith(r"folder: 6 of 12 images are unreadable: a\udcff.png (its name is not UTF-8")
  for part in (
    "cut.png (",
    "empty.jpg (",
    "lost.png (FileNotFound",
    "pipe.png (no regular file)",
    "text.png (not an image",
  ):
    assert part in record.message


def test_a_stream_of_a_damaged_folder_goes_on(tmp_path, caplog):
  form = {"path": str(_damaged(tmp_path)), "size": 8, "channels": 3, "split": "train[:100%]"}
  data = datasets.folder(batch=12, in_memory=False, **form)
  assert data.facts["describe"] == "folder: 12 images of 8x8x3, no labels, read from disk"
  assert data.batch(0)["image"].shape == (12, 8, 8, 3)
  assert len(caplog.records) == 6


def test_only_damaged_files_is_an_error(tmp_path):
  (tmp_path / "a.png").write_bytes(b"nothing")
  with pytest.raises(ValueError, match=r"1 of 1 images are unreadable: a\.png"):
    load("folder", path=str(tmp_path), size=8, channels=1)
  with pytest.raises(ValueError, match=r"no file of .* is a readable image, e\.g\. a\.png"):
    load("folder", path=str(tmp_path))


def test_a_picture_of_too_many_pixels_is_not_decoded(tmp_path, monkeypatch, caplog):
  for name in "abc":
    _save(tmp_path / f"{name}.png", _grey(1))
  _save(tmp_path / "bomb.png", _grey(1, 50, 50))
  _save(tmp_path / "worse.png", _grey(1, 90, 90))
  monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
  with pytest.raises(ValueError, match="more than half"):
    load("folder", path=str(tmp_path), size=8, channels=1)
  monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2400)
  assert len(load("folder", path=str(tmp_path), size=8, channels=1).images) == 3
  assert "bomb.png (50x50 is more than 2400 pixels)" in caplog.records[-1].message
  assert "worse.png (DecompressionBombError" in caplog.records[-1].message


def test_missing_empty_and_wrong_folders_are_errors_that_say_so(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'folder ".*nowhere" does not exist; set data\.path'):
    load("folder", path=str(tmp_path / "nowhere"))
  with pytest.raises(ValueError, match="holds no files; wanted images"):
    load("folder", path=str(tmp_path))
  (tmp_path / "a.txt").write_text("")
  (tmp_path / "b.csv").write_text("")
  with pytest.raises(ValueError, match=r"holds only files of type \.csv, \.txt; wanted images"):
    load("folder", path=str(tmp_path))
  with pytest.raises(NotADirectoryError, match=r'a\.txt" is a file'):
    load("folder", path=str(tmp_path / "a.txt"))
  with pytest.raises(ValueError, match=r"needs a path; set data\.path"):
    load("folder")


def test_slices_of_a_folder_share_the_labels_and_lose_nothing(tmp_path):
  for number in range(40):
    _save(tmp_path / "ab"[number // 20] / f"{number:02}.png", _grey(number))
  train = load("folder", path=str(tmp_path), split="train[:75%]")
  rest = load("folder", path=str(tmp_path), split="train[75%:]")
  assert len(train.images) == 30
  together = np.concatenate([train.images, rest.images])[:, 0, 0, 0]
  assert sorted(together.tolist()) == list(range(40))
  assert set(rest.labels.tolist()) == {0, 1}
  with pytest.raises(ValueError, match='split "test" does not exist; there is train'):
    load("folder", path=str(tmp_path), split="test")


def test_linked_folders_are_followed_and_loops_end(tmp_path):
  _save(tmp_path / "real" / "a.png", _grey(1))
  (tmp_path / "set").mkdir()
  os.symlink(tmp_path / "real", tmp_path / "set" / "linked")
  os.symlink(tmp_path / "set", tmp_path / "set" / "loop")
  assert folder_source(str(tmp_path / "set")).count == 1


def test_the_digest_of_a_stream_follows_the_files(tmp_path):
  noise = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
  _save(tmp_path / "a.png", noise)
  first = folder_source(str(tmp_path)).digest
  assert folder_source(str(tmp_path)).digest == first
  assert folder_source(str(tmp_path), size=4).digest != first
  _save(tmp_path / "b.png", noise)
  assert folder_source(str(tmp_path)).digest != first


def test_a_folder_needs_neither_tfds_nor_jax(tmp_path):
  _save(tmp_path / "a.png", _grey(1))
  code = (
    "import sys, genjax.data as data; "
    f"data.load('folder', path={str(tmp_path)!r}); "
    "print({'jax', 'tensorflow', 'tensorflow_datasets', 'sklearn', 'skimage', 'grain'} & set(sys.modules))"
  )
  done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
  assert done.stdout == "set()\n"
  assert done.stderr == ""
