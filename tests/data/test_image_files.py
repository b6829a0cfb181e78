"""Images that other tools left: three forms of .npz, tars, and what a broken disk or a stranger puts there instead."""

import io
import os
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from genjax.data import image_files as files
from genjax.data.image_files import image_files
from genjax.data.image_set import UnreadableImage

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def pixels(source):
  return np.stack([source.read(index)[0] for index in source.order or range(source.count)])


def png(image) -> bytes:
  file = io.BytesIO()
  Image.fromarray(image).save(file, "PNG")
  return file.getvalue()


def tar(path, contents, mode="w"):
  """A tar of name -> bytes, or TarInfo for what is no file."""
  with tarfile.open(path, mode) as archive:
    for name, content in contents.items():
      info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
      info.name = name
      if isinstance(content, bytes):
        info.size = len(content)
      archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
  return str(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
  "arrays",
  [
    {"images": IMAGES},
    {"arr_0": IMAGES, "arr_1": LABELS},
    {"x": IMAGES.transpose(0, 3, 1, 2).copy(), "y": LABELS},
  ],
)
def test_the_arrays_of_three_tools_are_the_same_images(tmp_path, arrays, save):
  save(tmp_path / "set.npz", **arrays)
  source = image_files(str(tmp_path / "set.npz"))
  np.testing.assert_array_equal(pixels(source), IMAGES)
  np.testing.assert_array_equal(source.read(4)[0], IMAGES[4])
  np.testing.assert_array_equal(source.read(1)[0], IMAGES[1])  # back again
  assert source.label_names == (() if len(arrays) == 1 else ("0", "1", "2"))
  assert source.read(2)[1] == (None if len(arrays) == 1 else 2)


def test_grey_images_have_three_equal_channels(tmp_path):
  np.savez(tmp_path / "grey.npz", images=IMAGES[..., :1])
  np.testing.assert_array_equal(pixels(image_files(str(tmp_path / "grey.npz"))), IMAGES[..., :1].repeat(3, -1))
  (tmp_path / "grey").mkdir()
  Image.fromarray(IMAGES[0, ..., 0]).save(tmp_path / "grey" / "a.png")
  assert image_files(str(tmp_path / "grey")).read(0)[0].shape == (4, 5, 3)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_is_its_folder(tmp_path, mode):
  for number in (5, 0, 3, 1, 4, 2):
    (tmp_path / "set" / "ab"[number // 3]).mkdir(parents=True, exist_ok=True)
    (tmp_path / "set" / "ab"[number // 3] / f"{number}.png").write_bytes(png(IMAGES[number]))
  folder = image_files(str(tmp_path / "set"))
  contents = {f"set/{'ab'[number // 3]}/{number}.png": png(IMAGES[number]) for number in (3, 1, 0, 5, 2, 4)}
  source = image_files(tar(tmp_path / "set.tar", {**contents, "set/notes.txt": b""}, mode))
  assert source.label_names == folder.label_names == ("a", "b")
  for index in range(6):
    np.testing.assert_array_equal(source.read(index)[0], IMAGES[index])
    assert source.read(index)[1] == folder.read(index)[1] == index // 3
    assert source.name_of(index) == folder.name_of(index) == f"{'ab'[index // 3]}/{index}.png"
  assert (source.order == [3, 1, 0, 5, 2, 4]) if mode == "w:gz" else (source.order is None)


def link(kind):
  info = tarfile.TarInfo()
  info.type, info.linkname = kind, "/etc/passwd"
  return info


def test_what_a_tar_should_not_hold_is_named(tmp_path, monkeypatch):
  good = png(IMAGES[0])
  contents = {
    "good.png": good,
    "/root/absolute.png": good,
    "../../above.png": good,
    "symbolic.png": link(tarfile.SYMTYPE),
    "hard.png": link(tarfile.LNKTYPE),
    "pipe.png": link(tarfile.FIFOTYPE),
    "cut.png": good[:40],
    "empty.png": b"",
    "b\udcff.png": good,
    "long.png": good + bytes(1000),
  }
  monkeypatch.setattr(files, "MOST_BYTES", 900)
  source = image_files(tar(tmp_path / "bad.tar", contents))
  said = {}
  for index in range(source.count):
    try:
      source.read(index)
    except UnreadableImage as error:
      said[source.name_of(index)] = str(error)
  assert len(said) == source.count - 1 == 9
  parts = ("leads out", "leads out", "a link", "a link", "no regular file", "cut.png (", "empty.png (", "UTF-8", "1")
  for (name, line), part in zip(
    sorted(said.items(), key=lambda one: list(map(files.shown, contents)).index(one[0])), parts, strict=True
  ):
    assert part in line, name
  with pytest.raises(ValueError, match=r"long\.png is of .* bytes; a picture has 900 at most"):
    image_files(tar(tmp_path / "bad.tgz", contents, "w:gz"))


def npy(header: str, values: bytes = b"") -> bytes:
  text = header.encode().ljust(118) + b"\n"
  return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + values


def archive(path, **members):
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
    for name, content in members.items():
      file.writestr(f"{name}.npy", content)
  return str(path)


def test_an_npz_that_lies_is_one_line(tmp_path):
  path = tmp_path / "bad.npz"
  lines = {
    r"holds a pickle": {"images": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n")},
    r"says uint8\[1000000, 256, 256, 3\] and has 12 bytes": {
      "images": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 256, 256, 3), }", bytes(12))
    },
    r"Fortran order": {"images": npy("{'descr': '|u1', 'fortran_order': True, 'shape': (1, 2, 2, 3), }", bytes(12))},
    r"damaged": {"arr_0": b"\x93NUMPY"},
    r"holds mu, sigma; wanted images in one of the arrays images, arr_0, x": {"mu": b"", "sigma": b""},
  }
  for line, members in lines.items():
    with pytest.raises(ValueError, match=line):
      image_files(archive(path, **members))
  for array in (IMAGES / 255.0, IMAGES[0], IMAGES[..., :2], IMAGES[:0]):
    np.savez(path, images=array)
    with pytest.raises(ValueError, match=r"images is .*; wanted uint8 \[N, H, W, C\]"):
      image_files(str(path))
  np.savez(path, images=np.array([{}], object))
  with pytest.raises(ValueError, match="holds a pickle, which is not run"):
    image_files(str(path))
  np.savez(path, images=IMAGES)
  content = bytearray(path.read_bytes())
  content[400] ^= 1
  path.write_bytes(content)
  with pytest.raises(ValueError, match=r"is damaged.*: Bad CRC"):
    pixels(image_files(str(path)))


def test_other_places_are_one_line(tmp_path):
  (tmp_path / "notes.txt").write_text("no images")
  (tmp_path / "cut.tgz").write_bytes(b"\x1f\x8b\x08\x00cut")
  (tmp_path / "empty").write_bytes(b"")
  os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
  (tmp_path / "folder").mkdir()
  for name, line in {
    "nowhere": "does not exist; wanted a folder of images, a .tar",
    "notes.txt": "is none of these, or damaged; wanted",
    "cut.tgz": "is none of these, or damaged",
    "empty": "is none of these, or damaged",
    "pipe": "is no regular file",
    "folder": "holds no files; wanted images",
  }.items():
    with pytest.raises((ValueError, OSError), match=line):
      image_files(str(tmp_path / name))
  with pytest.raises(ValueError, match=r"holds only files of type \.txt; wanted images"):
    image_files(tar(tmp_path / "text.tar", {"a.txt": b"x"}))
  whole = (tmp_path / "text.tar").read_bytes()
  (tmp_path / "short.tar").write_bytes(whole[:100])
  with warnings.catch_warnings(), pytest.raises(ValueError, match="none of these, or damaged"):
    image_files(str(tmp_path / "short.tar"))
